"""What the command line says, asks and heeds: descriptions, progress, the scale of a slide, Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Generic, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from napari_mclstexp.cohort.plan import CohortProgress
    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.predict import Progress
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide
    from napari_mclstexp.training.evaluate import EvaluationProgress
    from napari_mclstexp.training.options import TrainingProgress

__all__ = [
    "Interruptible",
    "ask_mpp",
    "describe_bundle",
    "describe_slide",
    "disclose",
    "follow_cohort",
    "follow_prediction",
    "follow_training",
]

PREDICTING = "Predicting"
"""Stage of a cohort whose rate is told."""

Step = TypeVar("Step")
Outcome = TypeVar("Outcome")


class Interruptible(Generic[Step, Outcome]):
    """Steps of a generator, until they end or Ctrl-C is pressed; the second press does not wait.

    Python drops a KeyboardInterrupt that falls into a callback; a flag that each step looks at is not lost.

    Parameters
    ----------
    steps : generator
        The work; it is closed when it is interrupted.

    Attributes
    ----------
    outcome
        What `steps` returned; there once they have ended.

    Raises
    ------
    KeyboardInterrupt
        From the iteration, at the first step after Ctrl-C.
    """

    outcome: Outcome

    def __init__(self, steps: Generator[Step, None, Outcome]) -> None:
        self._steps = steps
        self._pressed = False

    def __iter__(self) -> Iterator[Step]:
        former = signal.signal(signal.SIGINT, self._press)
        try:
            self.outcome = yield from self._watched()
        finally:
            signal.signal(signal.SIGINT, former)

    def _watched(self) -> Generator[Step, None, Outcome]:
        while True:
            try:
                step = next(self._steps)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                step = None
            if self._pressed:
                self._steps.close()
                raise KeyboardInterrupt
            if step is None:
                return outcome
            yield step

    def _press(self, *_: object) -> None:
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True


def follow_prediction(steps: Generator[Progress, None, Outcome]) -> Outcome:
    """Show a prediction's progress in a bar, where there is a terminal, and return its outcome."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Starting", total=None)
        told: set[str] = set()
        for step in (run := Interruptible(steps)):
            for note in step.notes:
                if note not in told:
                    console.print(note, highlight=False)
                told.add(note)
            bar.update(task, description=step.stage, completed=step.done, total=step.total or None)
    return run.outcome


def follow_cohort(steps: Generator[CohortProgress, None, Outcome]) -> Outcome:
    """Show how far a cohort is, in a bar where there is a terminal; print each slide that was not done."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    console = Console(stderr=True)
    began, before = time.monotonic(), -1
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Starting", total=None, told="")
        for step in (run := Interruptible(steps)):
            if step.note:
                console.print(step.note, highlight=False, markup=False, soft_wrap=not console.is_terminal)
            told = f"{step.done}/{step.slides} slides"
            if step.stage == PREDICTING:
                before = step.done if before < 0 else before
                told += _rate(step, time.monotonic() - began, before)
            else:
                began = time.monotonic()
            bar.update(task, description=step.stage, completed=step.done, total=step.slides, told=told)
    return run.outcome


def _rate(step: CohortProgress, seconds: float, before: int) -> str:
    """Spots so far and a second, and the time left where slides have ended."""
    told = f"  {step.spots:,} spots"
    if step.spots and seconds > 0:
        told += f"  {step.spots / seconds:.1f} spots/s"
    ended = step.done - before
    if ended > 0:
        told += f"  left {_time(seconds / ended * (step.slides - step.done))}"
    return told


def follow_training(steps: Generator[TrainingProgress, None, Outcome], *, silent: bool = False) -> Outcome:
    """Print a line an epoch of a training, show a bar where there is a terminal, and return its outcome."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    shown = console.is_terminal and not silent
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    together = shown and sys.stdout.isatty()  # lines on the same screen go above the bar
    with Bar(*columns, console=console, transient=True, disable=not shown, redirect_stdout=together) as bar:
        task = bar.add_task("Reading patches", total=None, left="")
        for at in (run := Interruptible(steps)):
            if silent:
                continue
            if at.note:
                typer.echo(at.note)
                continue
            told = f"loss {at.loss:.3f}  accuracy in the batch {at.accuracy:.3f}"
            left = f"left {_time(at.seconds_left)}"
            epoch = f"epoch {at.epoch}/{at.epochs}"
            if at.step == at.steps:
                typer.echo(f"{epoch}  {told}  {left}")
            done, total = (at.epoch - 1) * at.steps + at.step, at.epochs * at.steps
            stage = (
                "Encoding the reference" if done == total else f"{epoch} step {at.step}/{at.steps}  {told}"
            )
            bar.update(task, description=stage, completed=done, total=total, left=left)
    return run.outcome


def follow_evaluation(steps: Generator[EvaluationProgress, None, Outcome]) -> Outcome:
    """Print a line an epoch and a stage of an evaluation, and return its outcome."""
    for progress in (run := Interruptible(steps)):
        fold, training = f"fold {progress.fold}/{progress.folds}", progress.training
        if training is None:
            typer.echo(f"{fold}  {progress.stage}" if progress.fold else progress.stage)
        elif training.step == training.steps:
            typer.echo(
                f"{fold}  epoch {training.epoch}/{training.epochs}  loss {training.loss:.3f}  accuracy in "
                f"the batch {training.accuracy:.3f}  left {_time(training.seconds_left)} of this fold"
            )
    return run.outcome


def ask_mpp(slide: Slide, grid: str | None, spots: Path | None, bundle: Path) -> Scale | None:
    """Ask on a terminal for the scale of a slide that does not tell it.

    Parameters
    ----------
    slide : Slide
        The slide.
    grid : str or None
        Grid that was asked for.
    spots : pathlib.Path or None
        Spots that were given instead.
    bundle : pathlib.Path
        Model bundle.

    Returns
    -------
    Scale or None
        As typed; None where nothing needs it: given spots, and a bundle that reads native pixels.

    Raises
    ------
    ScaleError
        Where nobody can be asked, or what is typed is no scale.
    """
    from napari_mclstexp.core.bundle_files import reads_native_pixels
    from napari_mclstexp.core.opening import scale_question
    from napari_mclstexp.core.scale import parse_mpp
    from napari_mclstexp.errors import ScaleError

    if spots is not None and grid is None and reads_native_pixels(bundle):
        return None
    if not sys.stdin.isatty():
        msg = f"{scale_question(slide)} Add --mpp M to the command."
        raise ScaleError(msg)
    typer.echo(scale_question(slide))
    return parse_mpp(typer.prompt("um per pixel"))


def describe_slide(slide: Slide) -> None:
    """Print a slide's format, size, scale and levels."""
    scale = slide.scale
    asked = slide.traits.scale.question or "unknown; give --mpp"
    mpp = f"{scale.mpp_x:g} x {scale.mpp_y:g} um ({scale.source})" if scale else asked
    lines = [
        f"format       {slide.format}",
        f"size         {slide.width} x {slide.height} px",
        f"a pixel      {mpp}",
        *(f"level        {lv.width} x {lv.height}, 1/{lv.downsample:g}" for lv in slide.levels),
        *(f"plane {i:<6} {name}" for i, name in enumerate(slide.traits.planes, 1)),
        *(f"note         {note}" for note in slide.notes),
        *([f"no model     {slide.not_for_model}"] if slide.not_for_model else []),
        f"fingerprint  {slide.fingerprint}",
    ]
    typer.echo("\n".join(lines))


def describe_bundle(bundle: Bundle) -> None:
    """Print what a bundle is and how it was made."""
    spec = bundle.spec
    patch = f"{spec.patch_px} px" + (
        f" over {spec.field_um:g} um" if spec.field_um else ", native pixels of the slide (mpp is null)"
    )
    typer.echo(f"id           {bundle.id}")
    typer.echo(f"mode         {spec.mode}")
    typer.echo(f"patch        {patch}")
    if spec.margin_px:
        agreed = (
            f"; dense maps agree with patch by patch at PCC {spec.dense['pcc']:.3f}" if spec.dense else ""
        )
        typer.echo(f"margin       {spec.margin_px} px around a patch{agreed}")
    typer.echo(f"genes        {len(spec.genes)}: {', '.join(spec.genes[:8])} ...")
    typer.echo(f"values       {spec.normalisation}")
    typer.echo(f"reference    {len(bundle.expression)} spots; {spec.top_k} averaged, {spec.weighting}")
    typer.echo(f"predicts by  {spec.head}: {spec.head_reason}")
    if (held := bundle.beside.held_out) is not None:
        shared = ", same patient in training" if held.same_patient else ""
        typer.echo(
            f"evaluated    {held.protocol}, {held.sections} sections of {held.patients} patients{shared}: "
            f"mean PCC {held.pcc.mean():.3f}, {held.predictable().sum()} of {len(spec.genes)} predictable"
        )
    typer.echo(f"licence      {spec.licence}")
    typer.echo(f"citation     {spec.citation}")
    typer.echo(f"training     {json.dumps({k: v for k, v in spec.training.items() if k != 'history'})}")


def disclose(bundle: Bundle) -> None:
    """Print what a bundle tells of its training sections to whoever gets it."""
    names = ", ".join(f"{s['section']} ({s['patient']}, {s['spots']} spots)" for s in bundle.spec.sections)
    pictures = (
        "no pictures" if bundle.beside.thumbnails is None else "a 64-px picture of each patch of tissue"
    )
    typer.echo(
        f"The bundle discloses, to whoever gets it: the normalised expression of {len(bundle.spec.genes)} "
        f"genes, the position and the embedding of each reference spot, and the section names: {names}. "
        f"Patients are pseudonyms. It holds {pictures} and no file paths."
    )


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
