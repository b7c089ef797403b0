"""Cohorts: many slides predicted by one model into one folder.

What is asked for is in :mod:`.request`, the folder in :mod:`.folder`; :mod:`.work` is what a worker does,
:mod:`.engine` where workers come from, :mod:`.run` who does what when; :mod:`.joint` finds domains over all
slides, :mod:`.combined` joins their expression, and :mod:`.page` shows them beside each other.
"""
