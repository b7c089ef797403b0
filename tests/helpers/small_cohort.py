"""A small cohort in a folder, its files made: for tests of what is written about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from results import laid

from napari_mclstexp.cohort.folder import MAPS, SLIDES, Cohort, Entry, Record, Shown
from napari_mclstexp.cohort.pictures import draw_domains, draw_gene

if TYPE_CHECKING:
    from pathlib import Path

NASTY = "Müller <script>alert('1')<script> \"A\" #2 100%&amp;"
"""A name that a slide could have, and that no page may take for its own."""
GENES = (
    Shown("ERBB2", 0.25, 4.5, "PCC 0.61 (0.52 to 0.70), patients held out"),
    Shown("HLA-A", -1.0, 1234.5, "Not predictable: PCC 0.05 (-0.10 to 0.19), patients held out"),
)
DOMAINS = {"Tumour & stroma": "#0072b2", "<b>Fat</b>": "#e69f00", "=cmd()": "#009e73"}
REASON = "The slide's scale is <unknown>. Give it: mpp 0.5."


def entry(folder: Path, name: str, patient: str = "", group: str = "") -> Entry:
    return Entry(name, folder / "secret" / f"{name}.svs", "f" * 64, "", patient, group)


def done(spots: int, unlike: float, shares: tuple[float, ...], means: tuple[float, ...]) -> Record:
    return Record(
        "k", "done", "", spots, spots / 100, unlike, 90.0, "blurred in places", "j",
        dict(zip(DOMAINS, shares, strict=True)), dict(zip((s.gene for s in GENES), means, strict=True)),
    )  # fmt: skip


def small_cohort(
    folder: Path, *, groups: bool = True, files: bool = True
) -> tuple[Cohort, dict[str, Record]]:
    """Four slides that are done, two refused for one reason, one that failed, and one not done yet."""
    for room in (SLIDES, MAPS):
        (folder / room).mkdir()
    told = (
        ("plain", "P1", "HER2+"), (NASTY, "P2 <i>", "HER2+"), ("S 3", "", "control"), ("alien", "P4", ""),
        ("no scale", "P5", "HER2+"), ("no scale 2", "P5", "control"),
        ("cut off", "", ""), ("later", "P6", "HER2+"),
    )  # fmt: skip
    entries = tuple(entry(folder, name, patient, group if groups else "") for name, patient, group in told)
    cohort = Cohort(
        folder,
        entries,
        folder / "bundle",
        "model <1>",
        "0" * 64,
        "log1p of counts",
        {"grid": "visium", "top_k": 8},
        GENES,
        DOMAINS,
    )
    nan = float("nan")
    records = {
        "plain": done(1200, 0.02, (0.5, 0.25, 0.25), (1.5, 3.0)),
        NASTY: done(800, 0.0, (0.2, 0.2, 0.6), (2.5, 4.0)),
        "S 3": replace(done(30, nan, (1.0, 0.0, 0.0), (0.5, nan)), tissue_mm2=nan, notes=""),
        "alien": done(7, 0.75, (0.0, 1.0, 0.0), (nan, nan)),
        "no scale": Record("", "refused: scale", REASON),
        "no scale 2": Record("", "refused: scale", REASON),
        "cut off": Record("", "failed: reading", "the file ends too early"),
    }
    if files:
        _make_files(cohort)
    return cohort, records


def _make_files(cohort: Cohort) -> None:
    """Pictures and results of the first four slides."""
    for layout, at in zip(("hexagonal", "square", "given", "square"), cohort.entries, strict=False):
        result = laid(layout)
        draw_domains(result, cohort.file(at, ".png"))
        for shown in GENES:
            draw_gene(result, shown.gene, (shown.low, shown.high), cohort.map(at, shown.gene))
        for suffix in (".h5ad", ".geojson"):
            cohort.file(at, suffix).write_text("stands for it")
