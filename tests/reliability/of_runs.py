"""Predictions (9, 28, 29, 41, 44 to 46), and options of the command line that cannot be."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from PIL import Image

from .case import Case
from .of_slide_pixels import tile_spoilt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .case import Make
    from .goods import Goods

R, D, W = "R", "D", "works"
XY = [(x, y) for y in range(60, 340, 40) for x in range(60, 460, 40)]


def run(
    make_slide: Callable[[Goods, Path], Path] | str = "tiff",
    spoil: Callable[[Path], object] | None = None,
    xy: list = XY,
    **options: Any,
) -> Make:
    """A prediction of given spots; `spoil` is called with the slide after the first batch."""

    def make(goods: Goods, folder: Path) -> tuple:
        copied = isinstance(make_slide, str)
        slide = goods.copy(goods.slide(make_slide), folder) if copied else make_slide(goods, folder)
        after = None if spoil is None else (lambda: spoil(slide))
        return slide, goods.small_bundle, xy, dict(options), after

    return make


def predicted(name: str, row: int, make: Make, outcome: str, says: str) -> Case:
    return Case(f"prediction: {name}", row, "prediction", name, "predict", make, outcome, says)


def nan_weights(bundle: Any) -> Any:
    weights = dict(bundle.weights)
    weights["image_projection.norm.weight"] = weights["image_projection.norm.weight"] * 3e38 * 1e38
    return dataclasses.replace(bundle, weights=weights)


LEFT_OUT = r"\d+ spots, finite True, notes: [1-9]\d* of 70 spots left out, the slide cannot be decoded there"
CASES: list[Case] = [
    *(predicted(f"a damaged tile in a {k}", 9, run(tile_spoilt(k, level=level)), D, LEFT_OUT) for k, level in (("tiff", 0), ("bigtiff", 0), ("ome", 1))),
    *(predicted(f"the only tile of the level that is read is damaged in a {k}", 9, run(tile_spoilt(k, 0, level=level)), R, "cannot be decoded at any of 64 spots") for k, level in (("jpeg tiff", 2), ("svs", 1))),
    predicted("a damaged tile of a level that is not read", 9, run(tile_spoilt("svs", 5)), W, "70 spots, finite True, notes: $"),
    predicted("the slide is deleted", 28, run(spoil=lambda p: p.unlink()), R, "is no longer there. Connect its drive again"),
    predicted("the slide is cut to nothing", 29, run(spoil=lambda p: p.write_bytes(b"")), R, "was replaced meanwhile|damaged"),
    predicted("the slide is replaced", 29, run(spoil=lambda p: (p.unlink(), p.write_bytes(b"II*\0"))), R, "was replaced meanwhile by another file"),
    predicted("an OME-TIFF is deleted", 28, run("ome", spoil=lambda p: p.unlink()), R, "is no longer there"),
    predicted("weights that overflow", 44, run(change=nan_weights), R, "^ModelError: .*not finite"),
    predicted("a GPU that is not there", 42, run(device="cuda"), R, "^DeviceError: This machine has no usable cuda device. Choose auto or cpu"),
    predicted("a device that is none", 42, run(device="abacus"), R, "^DeviceError: Unknown device 'abacus'"),
    predicted("a way of running that is none", 42, run(backend="abacus"), R, "^DeviceError: There is no backend 'abacus'"),
    predicted("one spot", 46, run(xy=[(200, 200)]), W, "1 spots, finite True"),
    predicted("one spot at the border", 46, run(xy=[(0, 0)]), W, "1 spots, finite True"),
    predicted("k of all reference spots", 46, run(top_k=30), W, "70 spots, finite True"),
    predicted("k larger than the bank", 46, run(top_k=31), R, "top-k is 31, but the bundle has 30 reference spots"),
    predicted("k of nought", 46, run(top_k=0), R, "top-k is 0"),
    predicted("k below nought", 46, run(top_k=-1), R, "top-k is -1"),
    predicted("batches of nought", 41, run(batch_size=0), R, "batch of 0"),
    predicted("batches below nought", 41, run(batch_size=-8), R, "batch of -8"),
    predicted("a batch beyond all spots", 41, run(batch_size=10_000), W, "70 spots, finite True"),
    predicted("a head that is none", 38, run(head="crystal ball"), R, "^BundleError: There is no head 'crystal ball'"),
]  # fmt: skip


def glass(goods: Goods, folder: Path) -> Path:
    Image.new("RGB", (900, 800), (245, 245, 245)).save(folder / "glass.png")
    return folder / "glass.png"


def grey_picture(goods: Goods, folder: Path) -> Path:
    Image.fromarray(goods.picture[..., 0]).save(folder / "grey.png")
    return folder / "grey.png"


def words(*given: Any, slide: Callable[[Goods, Path], Path] | None = None) -> Make:
    """Words of ``mclstexp predict``."""

    def make(goods: Goods, folder: Path) -> list:
        picture = goods.slide("tiff") if slide is None else slide(goods, folder)
        return ["predict", picture, "--bundle", goods.small_bundle, "--out", folder / "r.h5ad", *given]

    return make


OPTIONS: dict[str, tuple[int, Make, str]] = {
    "bare glass": (45, words("--mpp", "0.5", slide=glass), "No tissue was found on this slide"),
    "a grey slide": (19, words("--mpp", "0.5", slide=grey_picture), "is grey"),
    "a pitch of nought": (45, words("--grid", "0"), "is no spot grid"),
    "a pitch below nought": (45, words("--grid=-50"), "is no spot grid"),
    "a pitch of NaN": (45, words("--grid", "nan"), "is no spot grid"),
    "a pitch of a metre": (45, words("--grid", "1000000"), "is no spot grid"),
    "a pitch that is a word": (45, words("--grid", "narrow"), "is no spot grid"),
    "a pitch wider than the slide": (45, words("--grid", "4000"), "too small for spots 4000 um apart"),
    "a pitch with a comma": (45, words("--grid", "55,5"), "is no spot grid"),
    "no domains": (46, words("--domains", "0"), "Choose 1 to 30"),
    "31 domains": (46, words("--domains", "31"), "Choose 1 to 30"),
    "a number of domains that is a word": (46, words("--domains", "few"), "domains"),
    "a way of domains that is none": (46, words("--domain-method", "tarot"), "tarot"),
    "a seed below nought": (46, words("--seed=-1"), "seed"),
    "a seed of 2 to the 32nd": (46, words("--seed", str(2**32)), "seed"),
    "k as a word": (46, words("--top-k", "many"), "top-k"),
    "plane nought": (22, words("--plane", "0"), "no stack|planes"),
    "a plane of a single image": (22, words("--plane", "2"), "no stack"),
    "an absent bundle": (38, words("--bundle", "/nowhere/bundle"), "There is no model bundle"),
    "a bundle that is an address": (27, words("--bundle", "https://example.org/bundle.zip"), "There is no model bundle|address"),
    "an option that is none": (46, words("--no-such-option"), "No such option"),
    "grid and spots together": (46, words("--grid", "st", "--spots", "s.csv"), "exclude each other"),
    "another suffix": (57, words("--out", "r.txt"), "should end in .h5ad"),
    "absent regions": (38, words("--region", "/nowhere/r.geojson"), "There is no file of regions"),
    "absent spots": (38, words("--spots", "/nowhere/s.csv"), "There is no spot file"),
}  # fmt: skip
CASES += [
    Case(
        f"option: {name}",
        row,
        "option",
        f"option, {name}",
        "mclstexp",
        make,
        R,
        f"^MclstexpError: Error: .*({says})",
    )
    for name, (row, make, says) in OPTIONS.items()
]


def export_words(*given: Any) -> Make:
    return lambda goods, folder: ["export", goods.result, "--to", folder / "a.png", *given]


CASES += [
    Case("option: a gene that is not predicted", 39, "option", "gene absent", "mclstexp", export_words("--gene", "NOSUCH"), R, "does not predict the gene 'NOSUCH'"),
    Case("option: a gene that is misspelt", 39, "option", "gene misspelt", "mclstexp", export_words("--gene", "ERBB3"), R, "Did you mean ERBB2"),
    Case("option: an empty gene", 39, "option", "gene empty", "mclstexp", export_words("--gene", ""), R, "does not predict the gene ''"),
]  # fmt: skip
