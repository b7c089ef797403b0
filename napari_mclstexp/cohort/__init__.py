"""Cohorts: many slides predicted by one model into one folder.

What is asked for is in :mod:`.request`, the folder in :mod:`.folder` and :mod:`.names`. :mod:`.run` goes from
the slides to the page: :mod:`.plan` finds out what is to be done, :mod:`.engine` has the workers,
:mod:`.dispatch` gives them tasks, each a :mod:`.job`, and :mod:`.work` is what they do, with the model of
:mod:`.loaded`. :mod:`.joint` finds domains over all slides, :mod:`.combined` joins their expression;
:mod:`.table`, :mod:`.page` and :mod:`.pictures` tell of them. :mod:`.paging` opens one of them again.
"""
