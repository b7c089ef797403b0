"""Figures for publications, read back: pixels at known spots, text, sizes, bytes."""

from __future__ import annotations

import math
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely
from matplotlib import colormaps
from PIL import Image

from napari_mclstexp.core.annotations import annotation
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.figure import Blend, Heatmap, Scene, save_figure, whole
from napari_mclstexp.core.grid import SpotGrid, given_grid, make_grid
from napari_mclstexp.core.palette import domain_colour, rgb
from napari_mclstexp.core.result import STATEMENT, Domains, Provenance, Result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.tissue import TissueMask
from napari_mclstexp.core.trust import SpotTrust
from napari_mclstexp.errors import ExportError, GeneError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WIDTH, HEIGHT, MPP = 4000, 3000, 0.5
TISSUE = (190, 220, 205)
UNIT = "log1p of counts"
PITCH = 200.0 / MPP


def hexagons(pitch_um: float = 200.0) -> SpotGrid:
    mask = np.zeros((HEIGHT // 10, WIDTH // 10), dtype=bool)
    mask[60:-60, 60:-60] = True  # the corners stay free
    return make_grid(TissueMask(mask, 10.0, 10.0), Scale(MPP, MPP, "test"), "hexagonal", pitch_um)


def build(grid: SpotGrid | None = None, mpp: float = MPP, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Result:
    """Two genes over a flat background: the first grows from left to right; a domain left, one right."""
    grid = hexagons() if grid is None else grid
    count = len(grid)
    x = grid.centres_px[:, 1]
    labels = np.where(x < size[0] / 2, 1, 2).astype(np.int32)
    provenance = Provenance(
        slide_fingerprint="f" * 64, width=size[0], height=size[1], mpp_x=mpp, mpp_y=mpp, mpp_source="test",
        layout=grid.layout, pitch_um=grid.pitch_um, bundle_id="b-1", bundle_hash="0" * 64, mode="corrected",
        normalisation=UNIT, field_um=112.0, patch_px=32, top_k=8, weighting="softmax", backend="torch",
        device="cpu", batch_size=4, threads=1, seed=0, version="9.8.7",
    )  # fmt: skip
    flat = np.full((300, 400, 3), TISSUE, np.uint8)
    values = np.column_stack([x, x[::-1]]).astype(np.float32) / 100
    ones = np.ones(count, np.float32)
    return Result(
        grid=grid, genes=("ERBB2", "CD3D"), expression=values, similarity=ones, spread=ones,
        effective_k=ones, provenance=provenance, hires=flat, lowres=flat[::5, ::5],
        domains=Domains(labels, {1: "tumour", 2: "stroma"}, {1: domain_colour(1), 2: domain_colour(2)}),
    )  # fmt: skip


def with_unlike(result: Result, unlike: np.ndarray) -> Result:
    none = np.zeros((len(unlike), 1))
    trust = SpotTrust(
        none[:, 0].astype(np.int32), None, unlike, none.astype(np.int32), none.astype(np.float32)
    )
    return replace(result, trust=trust)


def heat(result: Result, **changed: Any) -> Heatmap:
    return replace(
        Heatmap("ERBB2", result.believable("ERBB2"), (10.0, 30.0), "viridis", UNIT, opacity=1.0), **changed
    )


def scene(result: Result, heatmap: Heatmap | Blend | None, domains: str = "hidden", **changed: Any) -> Scene:
    return replace(Scene(whole(result), heatmap, domains, crosses=True), **changed)


class Drawn:
    """A PNG of a scene, asked for its colour at places of the slide.

    The picture's frame is found by the dark line around it.
    """

    def __init__(self, result: Result, shown: Scene, path: Path, dpi: int = 120, **how: Any) -> None:
        self.box = shown.box_px
        save_figure(result, shown, path, dpi=dpi, overwrite=True, **how)
        with Image.open(path) as image:
            self.pixels = np.asarray(image.convert("RGB")).astype(int)
        inner = np.abs(self.pixels - 0x8A).max(axis=2) < 40  # the frame is the only long grey line
        rows = np.flatnonzero(inner.mean(axis=1) > 0.5)
        self.top, self.bottom = rows[0], rows[-1]
        columns = np.flatnonzero(inner[self.top : self.bottom].mean(axis=0) > 0.5)
        self.left, self.right = columns[0], columns[-1]

    def at(self, y: float, x: float) -> np.ndarray:
        y0, x0, y1, x1 = self.box
        row = self.top + (y - y0) / (y1 - y0) * (self.bottom - self.top)
        column = self.left + (x - x0) / (x1 - x0) * (self.right - self.left)
        return self.pixels[round(row), round(column)]


def colour(value: float, low: float = 10.0, high: float = 30.0) -> np.ndarray:
    return 255 * np.array(colormaps["viridis"](float(np.clip((value - low) / (high - low), 0, 1)))[:3])


def texts(path: Path) -> list[str]:
    root = ElementTree.parse(path).getroot()
    return ["".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def result() -> Result:
    return build()


# --- pixels ----------------------------------------------------------------------


@pytest.mark.parametrize(("dpi", "inches"), [(36, 3.0), (100, 3.5), (123, 4.3), (200, 7.0), (300, 3.33)])
def test_a_figure_has_the_size_that_was_asked_for(
    tmp_path: Path, result: Result, dpi: int, inches: float
) -> None:
    shown = scene(result, heat(result), "outlines")
    path = save_figure(result, shown, tmp_path / "f.png", dpi=dpi, width_inches=inches)
    with Image.open(path) as image:
        assert image.size[0] == round(dpi * inches)
        assert image.info["Description"] == STATEMENT
        assert "9.8.7" in image.info["Software"]
        assert image.info["dpi"][0] == pytest.approx(dpi, rel=0.01)
        pixels = np.asarray(image.convert("RGB"))
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()  # nothing is cut off


def test_spots_have_the_colours_of_their_values(tmp_path: Path, result: Result) -> None:
    values = result.gene_values("ERBB2").copy()
    values[::7] = np.nan
    drawn = Drawn(result, scene(result, heat(result, values=values)), tmp_path / "f.png")
    assert (values < 10).any()
    assert (values > 30).any()
    for (y, x), value in zip(result.grid.centres_px, values, strict=True):
        wanted = TISSUE if np.isnan(value) else colour(value)
        np.testing.assert_allclose(drawn.at(y, x), wanted, atol=3)
    known = np.flatnonzero(np.isfinite(values))
    for y, x in result.grid.centres_px[known]:
        assert np.abs(drawn.at(y, x + 0.36 * PITCH) - TISSUE).max() > 20
        np.testing.assert_allclose(drawn.at(y + 0.45 * PITCH, x), TISSUE, atol=3)  # 0.8 of the pitch wide


def test_opacity_lets_the_tissue_through(tmp_path: Path, result: Result) -> None:
    drawn = Drawn(result, scene(result, heat(result, opacity=0.6)), tmp_path / "f.png")
    for (y, x), value in zip(result.grid.centres_px, result.gene_values("ERBB2"), strict=True):
        np.testing.assert_allclose(drawn.at(y, x), 0.6 * colour(value) + 0.4 * np.array(TISSUE), atol=3)


def test_a_smooth_map_runs_between_the_spots_and_ends_with_their_cells(
    tmp_path: Path, result: Result
) -> None:
    unlike = np.zeros(len(result.grid), dtype=bool)
    centre = np.hypot(*(result.grid.centres_px - (HEIGHT / 2, WIDTH / 2)).T).argmin()
    unlike[centre] = True
    doubted = with_unlike(result, unlike)
    shown = scene(doubted, heat(doubted, smooth=True), crosses=False)
    drawn = Drawn(doubted, shown, tmp_path / "f.png")
    ys, xs = result.grid.centres_px.T
    apart = np.hypot(ys[:, None] - ys, xs[:, None] - xs)
    inner = ((apart < 1.1 * PITCH).sum(axis=1) == 7) & (apart[centre] > 1.1 * PITCH)
    assert inner.sum() > 5
    for y, x in result.grid.centres_px[inner]:
        for along in (0.0, 0.25, 0.45):
            np.testing.assert_allclose(drawn.at(y, x + along * PITCH), colour(x / 100 + 4 * along), atol=8)
    np.testing.assert_allclose(drawn.at(ys[centre], xs[centre]), TISSUE, atol=3)  # not filled from beside
    np.testing.assert_allclose(drawn.at(ys.min() - 0.7 * PITCH, WIDTH / 2), TISSUE, atol=3)


def test_a_smooth_map_joins_no_spots_that_are_far_apart(tmp_path: Path) -> None:
    # Bright rows; beyond the first, dark spots at both ends, as on a tissue that is hollow there.
    x, y = (a.ravel() * PITCH + 500 for a in np.meshgrid(np.arange(8), np.arange(4)))
    keep = (y > y.min()) | (x == x.min()) | (x == x.max())
    x, y = x[keep], y[keep]
    grid = given_grid(np.arange(len(x)).astype(str), np.column_stack([x, y]), (WIDTH, HEIGHT), None)
    made = build(grid)
    values = np.where(y == y.min(), 0.0, 30.0).astype(np.float32)
    drawn = Drawn(
        made, scene(made, heat(made, values=values, limits=(0.0, 30.0), smooth=True)), tmp_path / "f.png"
    )
    for along in np.linspace(x.min() + 1.6 * PITCH, x.max() - 1.6 * PITCH, 40):
        for off in (-0.3, -0.1, 0.0, 0.2):
            np.testing.assert_allclose(drawn.at(500 + (1 + off) * PITCH, along), colour(30, 0, 30), atol=12)


def test_a_blend_shows_each_gene_in_its_colour(tmp_path: Path, result: Result) -> None:
    mix = np.random.default_rng(0).random((len(result.grid), 3)).astype(np.float32)
    mix[3] = np.nan
    shown = scene(result, Blend(("ERBB2", "CD3D"), mix, opacity=1.0))
    drawn = Drawn(result, shown, tmp_path / "f.png")
    for i, (y, x) in enumerate(result.grid.centres_px):
        np.testing.assert_allclose(drawn.at(y, x), TISSUE if i == 3 else 255 * mix[i], atol=3)
    said = texts(save_figure(result, shown, tmp_path / "f.svg"))
    assert {"ERBB2, CD3D", "ERBB2 (red)", "CD3D (green)", STATEMENT} <= set(said)


def test_crosses_mark_what_is_unlike_the_reference(tmp_path: Path, result: Result) -> None:
    unlike = np.arange(len(result.grid)) % 9 == 4
    doubted = with_unlike(result, unlike)
    marked = Drawn(doubted, scene(doubted, heat(doubted)), tmp_path / "f.png")
    bare = Drawn(doubted, scene(doubted, heat(doubted), crosses=False), tmp_path / "g.png")
    for y, x in doubted.grid.centres_px[unlike]:
        assert np.ptp(marked.at(y, x)) < 8  # grey
        assert marked.at(y, x).max() < 160
        for dy, dx in ((0, 0.2), (0.2, 0), (0, -0.2), (-0.2, 0)):
            assert marked.at(y + dy * PITCH, x + dx * PITCH).max() < 200
        np.testing.assert_allclose(marked.at(y + 0.2 * PITCH, x + 0.2 * PITCH), TISSUE, atol=3)
        np.testing.assert_allclose(bare.at(y, x), TISSUE, atol=3)
    for y, x in doubted.grid.centres_px[~unlike][:5]:
        np.testing.assert_allclose(marked.at(y, x), bare.at(y, x), atol=1)
    said = texts(save_figure(doubted, scene(doubted, heat(doubted)), tmp_path / "f.svg"))
    assert f"{unlike.sum()} spots" in said


def test_domains_are_outlined_or_filled(tmp_path: Path, result: Result) -> None:
    assert result.domains is not None
    outlined = Drawn(result, scene(result, None, "outlines"), tmp_path / "o.png", dpi=200)
    filled = Drawn(result, scene(result, None, "filled"), tmp_path / "f.png", dpi=200)
    hidden = Drawn(result, scene(result, None), tmp_path / "h.png", dpi=200)
    ys, xs = result.grid.centres_px.T
    row = ys == ys[0]
    for name, label in (("left", 1), ("right", 2)):
        own = rgb(result.domains.colours[label])
        i = np.flatnonzero(row)[0 if name == "left" else -1]
        side = -1 if name == "left" else 1  # where nothing is beside it
        edge = xs[i] + side * (0.5 * PITCH - 5)  # the line lies inside of the area
        np.testing.assert_allclose(outlined.at(ys[i], edge), own, atol=30)
        np.testing.assert_allclose(outlined.at(ys[i], xs[i] + side * (0.5 * PITCH + 15)), TISSUE, atol=3)
        np.testing.assert_allclose(outlined.at(ys[i], xs[i]), TISSUE, atol=3)
        np.testing.assert_allclose(filled.at(ys[i], xs[i]), (np.array(own) + TISSUE) / 2, atol=4)
        np.testing.assert_allclose(hidden.at(ys[i], edge), TISSUE, atol=3)


def test_a_hidden_domain_is_not_drawn(tmp_path: Path, result: Result) -> None:
    shown = Scene(whole(result), None, "filled", crosses=False)
    label = int(result.domains.labels[0])
    for suffix, scene, there in (
        (".a.svg", shown, True),
        (".b.svg", replace(shown, hidden=frozenset({label})), False),
    ):
        text = save_figure(result, scene, tmp_path / f"x{suffix}").read_text()
        assert (f">{result.domains.names[label]}<" in text) is there


def test_annotations_are_outlined_and_listed_by_class(tmp_path: Path, result: Result) -> None:
    about = {"of_class": "Necrosis", "colour": "#d00000"}
    notes = tuple(annotation(shapely.box(x, 300, x + 400, 700), **about) for x in (300, 900))
    noted = result.with_domains(replace(result.domains, annotations=notes))
    scene = Scene(whole(result), None, "hidden", crosses=False)
    path = save_figure(noted, scene, tmp_path / "noted.png", dpi=200)
    plain = save_figure(result, scene, tmp_path / "plain.png", dpi=200)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    red = (np.abs(pixels - (208, 0, 0)).sum(axis=2) < 60).sum()
    before = np.asarray(Image.open(plain).convert("RGB")).astype(int)
    assert red > (np.abs(before - (208, 0, 0)).sum(axis=2) < 60).sum() + 200
    text = save_figure(noted, scene, tmp_path / "noted.svg").read_text()
    assert text.count(">Necrosis<") == 1
    assert ">0.08 mm², 2 areas<" in text.replace("0.080", "0.08")


def test_both_neighbours_show_their_outline_along_a_border(tmp_path: Path, result: Result) -> None:
    assert result.domains is not None
    box = (HEIGHT / 2 - 500.0, WIDTH / 2 - 600.0, HEIGHT / 2 + 500.0, WIDTH / 2 + 600.0)
    drawn = Drawn(result, scene(result, None, "outlines", box_px=box), tmp_path / "f.png", dpi=200)
    labels = result.domains.labels
    ys, xs = result.grid.centres_px.T
    lefts = [i for i in range(len(ys)) if labels[i] == 1 and abs(ys[i] - HEIGHT / 2) < 300]
    tried = 0
    for i in lefts:
        right = np.flatnonzero((np.abs(ys - ys[i]) < 1) & (np.abs(xs - xs[i] - PITCH) < 1) & (labels == 2))
        if len(right) == 0:
            continue
        border = xs[i] + PITCH / 2
        np.testing.assert_allclose(drawn.at(ys[i], border - 2), rgb(result.domains.colours[1]), atol=30)
        np.testing.assert_allclose(drawn.at(ys[i], border + 2), rgb(result.domains.colours[2]), atol=30)
        tried += 1
    assert tried


def test_a_view_beyond_the_slide_is_white_there(tmp_path: Path, result: Result) -> None:
    shown = scene(result, None, box_px=(-1000.0, -2000.0, 2000.0, 2000.0))
    drawn = Drawn(result, shown, tmp_path / "f.png")
    for y, x in ((-900, 1900), (-20, 500), (500, -30), (1000, -1000)):
        assert (drawn.at(y, x) == 255).all()
    for y, x in ((30, 30), (1900, 1900), (30, 1900)):
        np.testing.assert_allclose(drawn.at(y, x), TISSUE, atol=2)
    nothing = Drawn(result, replace(shown, box_px=(-900.0, -900.0, -100.0, -100.0)), tmp_path / "g.png")
    assert (nothing.at(-800, -200) == 255).all()


def test_the_slide_shows_what_the_small_picture_cannot(
    tmp_path: Path, make_slide: Callable[..., Path]
) -> None:
    pixels = np.zeros((900, 1200, 3), np.uint8)
    pixels[:] = np.where((np.add.outer(np.arange(900) // 20, np.arange(1200) // 20) % 2)[..., None], 210, 60)
    made = build(given_grid(np.array(["a"]), np.array([[9.0, 9.0]]), (1200, 900), None), size=(1200, 900))
    box = (300.0, 400.0, 500.0, 700.0)
    with open_slide(make_slide(tmp_path / "s.tif", pixels)) as slide:
        fine = Drawn(made, scene(made, None, box_px=box), tmp_path / "f.png", slide=slide)
        for y in range(310, 460, 20):
            for x in range(530, 700, 20):
                np.testing.assert_allclose(fine.at(y, x), pixels[y, x], atol=6)
        other = build(size=(1300, 900), grid=made.grid)
        with pytest.raises(ExportError, match="1200 x 900 px"):
            save_figure(other, scene(other, None), tmp_path / "x.png", slide=slide)
    coarse = Drawn(made, scene(made, None, box_px=box), tmp_path / "c.png")
    np.testing.assert_allclose(coarse.at(310, 530), TISSUE, atol=2)


def test_arrows_tell_of_values_beyond_the_limits(tmp_path: Path, result: Result) -> None:
    def ends(limits: tuple[float, float]) -> list[bool]:
        """Whether the bar begins and ends in an arrow: its first and last columns are short."""
        shown = scene(result, heat(result, limits=limits, opacity=0.0))
        drawn = Drawn(result, shown, tmp_path / "f.png", dpi=200)
        beneath = drawn.pixels[drawn.bottom + 4 : drawn.bottom + 41]  # no more than the bar
        bar = (beneath.min(axis=2) < 250).sum(axis=0)
        bar = bar[: 200 * 27 // 10]  # the unit stands beyond
        columns = np.flatnonzero(bar > 0)
        return [
            bool(bar[columns[0] : columns[0] + 4].max() < 12),
            bool(bar[columns[-1] - 3 : columns[-1]].max() < 12),
        ]

    values = result.gene_values("ERBB2")
    low, high = float(values.min()), float(values.max())
    assert ends((low, high)) == [False, False]
    assert ends((low + 1, high)) == [True, False]
    assert ends((low, high - 1)) == [False, True]
    assert ends((low + 1, high - 1)) == [True, True]


# --- text ------------------------------------------------------------------------


def test_an_svg_says_all_in_text(tmp_path: Path, result: Result) -> None:
    path = save_figure(result, scene(result, heat(result), "outlines"), tmp_path / "f.svg")
    said = texts(path)
    assert {"ERBB2", UNIT, STATEMENT, "500 µm", "tumour", "stroma", "Domains", "10", "20", "30"} <= set(said)
    assert result.domains is not None
    cell_mm2 = 0.2**2 * math.sqrt(3) / 2
    for label in (1, 2):
        count = int((result.domains.labels == label).sum())
        assert f"{count * cell_mm2:.2f} mm², {count} spots" in said
    raw = path.read_text(encoding="utf-8")
    assert "9.8.7" in raw
    assert "dc:date" not in raw
    hidden = texts(save_figure(result, scene(result, heat(result)), tmp_path / "h.svg"))
    assert "tumour" not in hidden


def test_only_domains_in_view_are_listed(tmp_path: Path, result: Result) -> None:
    shown = scene(result, None, "filled", box_px=(1000.0, 700.0, 2000.0, 1500.0))
    said = texts(save_figure(result, shown, tmp_path / "f.svg"))
    assert "tumour" in said
    assert "stroma" not in said
    assert any("whole slide" in text for text in said)


@pytest.mark.parametrize(
    ("um", "text"), [(30, "5 µm"), (500, "100 µm"), (1000, "200 µm"), (2000, "500 µm"), (9000, "2 mm")]
)
def test_the_scale_bar_has_a_round_length(tmp_path: Path, result: Result, um: float, text: str) -> None:
    side = um / MPP
    shown = scene(result, None, box_px=(0.0, 0.0, side * 0.7, side))
    assert text in texts(save_figure(result, shown, tmp_path / "f.svg"))
    drawn = Drawn(result, shown, tmp_path / "f.png", dpi=200)
    row = drawn.pixels[drawn.bottom - 29, drawn.left :].min(axis=1)  # through the white bar in its dark box
    begins, ends = (np.flatnonzero(np.diff((row > 250).astype(int)) == step) for step in (1, -1))
    begin = begins[begins > 16][0]
    length_px = ends[ends > begin][0] - begin
    number, unit = text.split()
    length = float(number) * (1000 if unit == "mm" else 1)
    across = drawn.right - drawn.left
    assert length_px == pytest.approx(length / um * across, abs=3)
    assert 0.12 < length_px / across < 0.33


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_without_a_scale_there_is_no_bar_and_no_area(tmp_path: Path, suffix: str) -> None:
    made = build(mpp=math.nan)
    path = save_figure(made, scene(made, heat(made), "filled"), tmp_path / f"f{suffix}")
    if suffix == ".svg":
        assert not [text for text in texts(path) if "µm" in text or "mm" in text]
        assert "tumour" in texts(path)


def test_odd_names_stay_as_they_are_and_within_the_figure(tmp_path: Path, result: Result) -> None:
    names = {1: "a & b <c> $x_1$ \x07", 2: "肿瘤 with a name that is told in full " * 9}
    names |= {i: f"Domain {i}" for i in range(3, 31)}
    labels = (np.arange(len(result.grid)) % 30 + 1).astype(np.int32)
    many = result.with_domains(Domains(labels, names, {i: domain_colour(i) for i in names}))
    heatmap = heat(many, title="$odd_title$ " + "of a signature " * 12, unit="a long unit " * 20)
    for width in (3.3, 7.0):
        path = save_figure(
            many, scene(many, heatmap, "outlines"), tmp_path / "f.svg", width_inches=width, overwrite=True
        )
        said = texts(path)
        assert "a & b <c> $x_1$" in said
        assert any(text.startswith("$odd_title$ of") for text in said)
        assert all(f"Domain {i}" in said for i in range(3, 31))
        root = ElementTree.parse(path).getroot()
        right, bottom = (float(n) for n in root.attrib["viewBox"].split()[2:])
        places = [
            (float(n.attrib["x"]), float(n.attrib["y"]))
            for n in root.iter("{http://www.w3.org/2000/svg}text")
        ]
        assert all(0 < x < right and 6 < y < bottom - 2 for x, y in places)
        for column in {x for x, _ in places}:
            heights = sorted(y for x, y in places if x == column)
            assert all(np.diff(heights) > 8.5)  # no line lies on another
        drawn = Drawn(many, scene(many, heatmap, "outlines"), tmp_path / "f.png", width_inches=width)
        for edge in (drawn.pixels[:8], drawn.pixels[-8:], drawn.pixels[:, :8], drawn.pixels[:, -8:]):
            assert (edge == 255).all()


def test_a_pdf_holds_its_fonts_and_its_statement(tmp_path: Path, result: Result) -> None:
    path = save_figure(result, scene(result, heat(result), "outlines"), tmp_path / "f.pdf")
    raw = path.read_bytes()
    assert raw.startswith(b"%PDF-")
    assert raw.rstrip().endswith(b"%%EOF")
    assert STATEMENT.encode() in raw
    assert b"9.8.7" in raw
    assert b"/FontFile2" in raw
    assert b"CreationDate" not in raw
    if shutil.which("pdftotext"):
        shown = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True).stdout
        for text in ("ERBB2", UNIT, STATEMENT, "500 µm", "tumour"):
            assert text in shown


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, result: Result, suffix: str) -> None:
    import matplotlib as mpl

    shown = scene(result, heat(result, smooth=True), "outlines")
    one = save_figure(result, shown, tmp_path / f"a{suffix}", dpi=72)
    with mpl.rc_context({"font.size": 20, "savefig.facecolor": "red", "axes.facecolor": "blue"}):
        two = save_figure(result, shown, tmp_path / f"b{suffix.upper()}", dpi=72)
        assert mpl.rcParams["font.size"] == 20
    assert one.read_bytes() == two.read_bytes()


# --- what is odd, and what is refused ---------------------------------------------


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize(
    ("value", "limits"),
    [(3.0, (3.0, 4.0)), (3.0, (3.0, 3.0)), (np.nan, (0.0, 1.0)), (np.nan, (np.nan, np.nan))],
)
def test_constant_and_absent_values_are_drawn(
    tmp_path: Path, result: Result, smooth: bool, value: float, limits: tuple[float, float]
) -> None:
    values = np.full(len(result.grid), value, np.float32)
    heatmap = heat(result, values=values, limits=limits, smooth=smooth)
    drawn = Drawn(result, scene(result, heatmap), tmp_path / "f.png")
    y, x = result.grid.centres_px[0]
    np.testing.assert_allclose(
        drawn.at(y, x),
        TISSUE if np.isnan(value) else colour(0),
        atol=3,
    )


@pytest.mark.parametrize("xy", [[(500.0, 500.0)], [(500.0, 500.0), (900.0, 500.0)]])
def test_few_spots_are_drawn(tmp_path: Path, xy: list[tuple[float, float]]) -> None:
    made = build(given_grid(np.arange(len(xy)).astype(str), np.array(xy), (WIDTH, HEIGHT), None))
    for smooth in (False, True):
        drawn = Drawn(made, scene(made, heat(made, smooth=smooth), "outlines"), tmp_path / "f.png")
        np.testing.assert_allclose(drawn.at(500, 500), colour(5), atol=6)


def test_very_many_spots_are_pixels_in_an_svg(tmp_path: Path) -> None:
    made = replace(build(hexagons(16.0)), domains=None)
    assert len(made.grid) > 5000
    path = save_figure(made, scene(made, heat(made), "outlines"), tmp_path / "f.svg", dpi=72)
    assert path.read_text(encoding="utf-8").count("<path") < 100
    few = build()
    path = save_figure(few, scene(few, heat(few)), tmp_path / "g.svg", dpi=72)
    assert path.read_text(encoding="utf-8").count("<path") >= len(few.grid)


@pytest.mark.parametrize(
    ("name", "changed", "how", "match"),
    [
        ("f.jpg", {}, {}, r"\.png, \.svg, \.pdf"),
        ("f", {}, {}, r"\.png, \.svg, \.pdf"),
        ("f.png", {}, {"dpi": 35}, "36 to 1,200"),
        ("f.png", {}, {"dpi": 1201}, "36 to 1,200"),
        ("f.png", {}, {"width_inches": 1.0}, "3 to 24"),
        ("f.png", {}, {"width_inches": 24.0, "dpi": 1200}, "fewer dots"),
        ("f.png", {"box_px": (0.0, 0.0, 0.0, 100.0)}, {}, "nothing in view"),
        ("f.png", {"box_px": (0.0, 0.0, math.nan, 100.0)}, {}, "nothing in view"),
        ("f.png", {"domains": "dotted"}, {}, "outlines, filled or hidden"),
        ("nowhere/f.png", {}, {}, "does not exist"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, result: Result, name: str, changed: dict[str, Any], how: dict[str, Any], match: str
) -> None:
    with pytest.raises(ExportError, match=match):
        save_figure(result, replace(scene(result, heat(result)), **changed), tmp_path / name, **how)
    assert not list(tmp_path.iterdir())


def test_a_colormap_that_is_none_and_a_file_that_is_there_are_refused(tmp_path: Path, result: Result) -> None:
    with pytest.raises(ExportError, match="'rainbows'"):
        save_figure(result, scene(result, heat(result, colormap="rainbows")), tmp_path / "f.png")
    (tmp_path / "f.png").write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        save_figure(result, scene(result, heat(result)), tmp_path / "f.png")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_export_draws_a_gene_or_the_domains(tmp_path: Path, result: Result, suffix: str) -> None:
    gene = export_result(result, tmp_path / f"gene{suffix}", gene="CD3D", dpi=60)
    domains = export_result(result, tmp_path / f"domains{suffix}", dpi=60)
    assert gene.read_bytes() != domains.read_bytes()
    if suffix == ".svg":
        assert {"CD3D", UNIT, STATEMENT} <= set(texts(gene))
        assert {"Tissue domains", "tumour", "stroma", STATEMENT} <= set(texts(domains))
        assert "tumour" not in texts(gene)
    with pytest.raises(GeneError, match="CD3E"):
        export_result(result, tmp_path / f"other{suffix}", gene="CD3E")
    assert not (tmp_path / f"other{suffix}").exists()
