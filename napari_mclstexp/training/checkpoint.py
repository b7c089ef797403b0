"""Checkpoints of a training: what was interrupted goes on after its last whole epoch.

They lie in ``OUT.training`` beside the bundle that is made, one file an epoch; the last two are kept. A file
is a line with the format and the SHA-256 of the rest, then tensors and plain values as :func:`torch.save`
writes them. Nothing else is ever unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_mclstexp import __version__
from napari_mclstexp.core.atomic import remove_ours, write_bytes
from napari_mclstexp.errors import ExportError, MclstexpError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.training.data import TrainingData

__all__ = ["CheckpointError", "Checkpoints", "Kept", "fingerprint"]

FORMAT = 1
MAGIC = b"mclstexp checkpoint "
NAME = re.compile(r"epoch-(\d{5})\.ckpt")
KEPT = 2
MAX_BYTES = 8 * 2**30


class CheckpointError(MclstexpError):
    """A checkpoint is damaged, of another training, or in the way."""


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one training.

    Attributes
    ----------
    target : pathlib.Path
        Bundle folder that is being made.
    resume : bool
        Whether to go on from an unfinished training.
    restart : bool
        Whether an unfinished training may be thrown away.
    """

    target: Path
    resume: bool = False
    restart: bool = False

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.target.with_name(f"{self.target.name}.training")

    @property
    def epoch(self) -> int:
        """Last epoch that has a checkpoint; 0 where there is none."""
        return max((_epoch(file) for file in self._files()), default=0)

    def refuse_unfinished(self) -> None:
        """Raise CheckpointError where a training lies unfinished, and nobody said what shall become of it."""
        if self.resume and self.restart:
            msg = "--resume and --restart exclude each other: a training goes on, or begins anew."
            raise CheckpointError(msg)
        if self.epoch and not (self.resume or self.restart):
            msg = (
                f"An unfinished training lies at {self.folder}, after epoch {self.epoch}. Add --resume to go "
                "on with it, or --restart to throw it away and begin anew."
            )
            raise CheckpointError(msg)

    def load(self, whose: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
        """Read the last whole checkpoint.

        Parameters
        ----------
        whose : dict of str to str
            What the training is; see :func:`fingerprint`.

        Returns
        -------
        state : dict or None
            As it was saved; None where there is none.
        note : str
            What to tell the user; empty where there is nothing to tell.

        Raises
        ------
        CheckpointError
            None of those there can be read, or they are of another training.
        """
        files = sorted(self._files(), key=_epoch, reverse=True)
        if not files:
            return None, "No unfinished training is there: it begins anew."
        damage = ""
        for file in files:
            found = _read(file)
            if isinstance(found, str):
                damage = damage or f"The checkpoint {file.name} is damaged: {found}. "
                continue
            self._refuse_other(found["whose"], whose)
            return found["state"], f"{damage}The training goes on after epoch {_epoch(file)}."
        msg = f"{damage}No older one is whole. Add --restart to begin the training anew."
        raise CheckpointError(msg)

    def save(self, epoch: int, state: dict[str, Any], whose: dict[str, str]) -> None:
        """Write the checkpoint of an epoch whole, then drop all but the last two.

        Parameters
        ----------
        epoch : int
            Epoch that has ended.
        state : dict
            Tensors and plain values.
        whose : dict of str to str
            What the training is.

        Raises
        ------
        ExportError
            It cannot be written; those before it are as they were.
        """
        memory = io.BytesIO()
        torch.save({"whose": whose, "state": state}, memory)
        content = memory.getvalue()
        head = MAGIC + f"{FORMAT} {hashlib.sha256(content).hexdigest()}\n".encode()
        try:
            self.folder.mkdir(exist_ok=True)
            write_bytes(self.folder / f"epoch-{epoch:05}.ckpt", head + content, overwrite=True)
        except (OSError, ExportError) as error:
            kept = f"What was trained until epoch {self.epoch} is kept" if self.epoch else "Nothing is kept"
            why = error if isinstance(error, ExportError) else error.strerror
            msg = f"The training stopped after epoch {epoch}, which cannot be kept. {why} {kept}: "
            msg += f"make room beside {self.target.name}, then go on with --resume."
            raise ExportError(msg) from error
        for old in sorted(self._files(), key=_epoch)[:-KEPT]:
            with contextlib.suppress(OSError):
                old.unlink()

    def remove(self) -> None:
        """Remove them all, and what was left half written; the folder, too, if it is empty then."""
        remove_ours(self.folder, NAME)

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [file for file in self.folder.iterdir() if NAME.fullmatch(file.name)]

    def _refuse_other(self, theirs: dict[str, str], ours: dict[str, str]) -> None:
        differing = [
            f"{name} ({_short(theirs.get(name))} then, {_short(ours.get(name))} now)"
            for name in dict.fromkeys([*theirs, *ours])
            if theirs.get(name) != ours.get(name)
        ]
        if differing:
            msg = (
                f"The unfinished training at {self.folder} is another one: it differs in "
                f"{', '.join(differing)}. Give what was given then, or --restart to begin anew."
            )
            raise CheckpointError(msg)


@dataclass(frozen=True, slots=True)
class Kept:
    """The checkpoints of just one training.

    Attributes
    ----------
    checkpoints : Checkpoints
        Where they lie.
    whose : dict of str to str
        What the training is; see :func:`fingerprint`.
    """

    checkpoints: Checkpoints
    whose: dict[str, str]

    def load(self) -> tuple[dict[str, Any] | None, str]:
        """See :meth:`Checkpoints.load`."""
        return self.checkpoints.load(self.whose)

    def save(self, epoch: int, state: dict[str, Any]) -> None:
        """See :meth:`Checkpoints.save`."""
        self.checkpoints.save(epoch, state, self.whose)


def fingerprint(
    data: TrainingData, genes: tuple[str, ...], recipe: dict[str, Any], processes: int
) -> dict[str, str]:
    """What makes a training the same: versions, recipe, genes, and each section's spots and pixels."""
    told = {"napari-mclstexp": __version__, "torch": str(torch.__version__), "processes": str(processes)}
    told |= {name: str(value) for name, value in recipe.items()}
    told["genes"] = f"{len(genes)}, {hashlib.sha256(chr(10).join(genes).encode()).hexdigest()}"
    for name in dict.fromkeys(data.section.tolist()):
        rows = data.section == name
        digest = hashlib.sha256()
        for values in (data.patches, data.expression, data.positions):
            digest.update(np.ascontiguousarray(values[rows]).tobytes())
        told[f"section {name}"] = f"{int(rows.sum())} spots, {digest.hexdigest()}"
    return told


def _read(file: Path) -> dict[str, Any] | str:
    """The content of a checkpoint; or, where it is damaged, in what way."""
    try:
        if file.stat().st_size > MAX_BYTES:
            return "it is too large"
        head, _, content = file.read_bytes().partition(b"\n")
    except OSError as error:
        return str(error.strerror)
    known = re.fullmatch(MAGIC + rb"(\d+) ([0-9a-f]{64})", head)
    if known is None:
        return "it does not begin like one"
    if int(known[1]) != FORMAT:
        msg = (
            f"The checkpoint {file.name} has format {int(known[1])}; this version reads format {FORMAT}. Go "
            "on with the version that wrote it, or add --restart to begin anew."
        )
        raise CheckpointError(msg)
    if hashlib.sha256(content).hexdigest().encode() != known[2]:
        return "it was cut short or changed"
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if set(state) == {"whose", "state"}:
            return state
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError):
        pass
    return "it holds something else than a training"


def _epoch(file: Path) -> int:
    found = NAME.fullmatch(file.name)
    return int(found[1]) if found else 0


def _short(text: str | None) -> str:
    """A value to tell, its hash cut short."""
    return "none" if text is None else re.sub(r"([0-9a-f]{8})[0-9a-f]{56}", r"\1", text)
