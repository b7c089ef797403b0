"""What is held out, and that nothing of it is ever trained on or retrieved from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_mclstexp.errors import ModelError, SectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LeaveOut = Literal["patient", "section"]
LEAVE_OUT: tuple[LeaveOut, ...] = ("patient", "section")


@dataclass(frozen=True, slots=True)
class Fold:
    """One part of a cross-validation.

    Attributes
    ----------
    held_out, trained : tuple of str
        Names of the sections.
    same_patient : bool
        Whether another section of a held-out patient is trained on.
    """

    held_out: tuple[str, ...]
    trained: tuple[str, ...]
    same_patient: bool


def make_folds(patients: dict[str, str], leave_out: LeaveOut) -> tuple[Fold, ...]:
    """Folds over sections.

    Parameters
    ----------
    patients : dict of str to str
        Patient of each section, by the section's name.
    leave_out : {"patient", "section"}
        What each fold holds out.

    Returns
    -------
    tuple of Fold
        In the order in which the sections were named.

    Raises
    ------
    SectionError
        There are fewer than two of what is to be left out.
    """
    groups = list(dict.fromkeys(patients.values() if leave_out == "patient" else patients))
    if len(groups) < 2:
        other = " With --leave-out section, sections of one patient are enough." if len(patients) > 1 else ""
        msg = f"Leaving out one {leave_out} after the other takes two; there is one: {groups[0]}.{other}"
        raise SectionError(msg)
    folds = []
    for group in groups:
        out = tuple(s for s, p in patients.items() if (p if leave_out == "patient" else s) == group)
        trained = tuple(s for s in patients if s not in out)
        same = any(patients[s] in {patients[o] for o in out} for s in trained)
        folds.append(Fold(out, trained, same))
    return tuple(folds)


def refuse_leaks(
    fold: Fold,
    leave_out: LeaveOut,
    section: NDArray[np.str_],
    patient: NDArray[np.str_],
    patients: dict[str, str],
) -> None:
    """Stop where the bank holds a held-out section or, with patients left out, a held-out patient.

    Parameters
    ----------
    fold : Fold
        What is held out.
    leave_out : {"patient", "section"}
        The protocol.
    section, patient : numpy.ndarray
        (M,) str of the spots that were trained on and are retrieved from.
    patients : dict of str to str
        Patient of each section.

    Raises
    ------
    ModelError
        It does: a defect of ours, and nothing is scored.
    """
    leaked = set(fold.held_out).intersection(np.unique(section).tolist())
    if leave_out == "patient":
        leaked |= {patients[s] for s in fold.held_out}.intersection(np.unique(patient).tolist())
    if leaked:
        msg = f"The reference holds what is held out ({', '.join(sorted(leaked))}); nothing was scored."
        raise ModelError(msg)
