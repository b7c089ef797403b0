"""What the domain panel asks for: finding domains, comparing their numbers, changing them by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

from napari_mclstexp.core.progress import Progress
from napari_mclstexp.errors import MclstexpError
from napari_mclstexp.gui.telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from napari_mclstexp.core.domain_colours import Profiles
    from napari_mclstexp.core.domain_edits import Edit
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.stability import Stability
    from napari_mclstexp.gui.jobs import Jobs
    from napari_mclstexp.session import Session


class DomainActions:
    """Turns intents about domains into the session's state.

    Parameters
    ----------
    session : Session
        State of the window.
    jobs : Jobs
        Its background work.
    """

    def __init__(self, session: Session, jobs: Jobs) -> None:
        self._session, self._jobs = session, jobs
        self._profiles: Profiles | None = None
        self._colours: dict[int, str] = {}
        session.result_changed.connect(self._remember)
        session.domains_changed.connect(self._recolour)

    def disconnect(self) -> None:
        """Follow the session no longer."""
        self._session.result_changed.disconnect(self._remember)
        self._session.domains_changed.disconnect(self._recolour)

    def known(self) -> Profiles | None:
        """Domains shown last, of this slide or the one before, in the colours that they had at the end."""
        if self._profiles is None:
            return None
        known = self._profiles
        colours = (self._colours.get(i, own) for i, own in zip(known.labels, known.colours, strict=True))
        return replace(known, colours=tuple(colours))

    def _remember(self) -> None:
        """Work out, on a worker, by what the domains shown are known on the next slide."""
        result = self._session.result
        if result is None or result.domains is None:
            return

        def work() -> Profiles:
            from napari_mclstexp.core.domain_colours import profiles

            return profiles(result)

        self._jobs.aside(work, self._take)

    def _take(self, found: Profiles) -> None:
        self._profiles = found
        self._recolour()

    def _recolour(self) -> None:
        result = self._session.result
        if result is not None and result.domains is not None:
            self._colours = dict(result.domains.colours)

    def find(self) -> None:
        """Find domains anew on a worker, as is chosen; those like the former ones have their colours."""
        result, choice = self._session.result, self._session.domain_choice
        if result is None:
            return

        def steps() -> Generator[Progress, None, Result]:
            yield Progress("Finding domains", 0, 0)
            from napari_mclstexp.core.domain_colours import coloured_like, profiles
            from napari_mclstexp.core.domains import find_domains

            found = find_domains(result, choice.count, result.provenance.seed, choice.method)
            return coloured_like(found, profiles(result))

        self._start(steps(), self._session.set_result)

    def compare_numbers(self) -> None:
        """Find on a worker which number of domains is stable, by the method chosen."""
        result, method = self._session.result, self._session.domain_choice.method
        if result is None:
            return

        def steps() -> Generator[Progress, None, Stability]:
            yield Progress("Comparing numbers of domains", 0, 0)
            from napari_mclstexp.core.stability import stability

            return (yield from stability(result, method, result.provenance.seed))

        self._start(steps(), self._session.set_stability)

    def edit(self, edit: Edit) -> None:
        """Change the domains by hand."""
        try:
            self._session.edit_domains(edit)
        except MclstexpError as error:
            tell(error)

    def import_annotations(self, path: Path) -> None:
        """Add the annotations of a file, on a worker."""

        def work() -> Edit:
            from napari_mclstexp.core.annotations import read_annotations
            from napari_mclstexp.core.domain_edits import Import

            return Import(tuple(read_annotations(path)))

        self._jobs.aside(work, self.edit)

    def _start(self, steps: Generator, done: Callable) -> None:  # type: ignore[type-arg]
        if not self._jobs.start(steps, done, "Done.", "domains"):
            show_info("Something is still running. Wait for it, or cancel it.")
