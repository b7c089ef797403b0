"""Slides that are empty, cut off or something else (rows 1 to 4), addresses (27) and names (60)."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from typing import TYPE_CHECKING

from .case import Case
from .spoil import cut, named, poked, slide_case

if TYPE_CHECKING:
    from pathlib import Path

    from .case import Make
    from .goods import Goods

KINDS = ("svs", "tiff", "strips", "ome", "scn", "ndpi", "jpeg", "png", "jp2", "bigtiff")
NOT_A_SLIDE = r"^SlideError: .* is not a slide that can be opened: .*Check that the copy is complete"
INCOMPLETE = r"^SlideError: .*(Copy it again|Check that the copy is complete)"

CASES: list[Case] = [
    *(
        slide_case(f"{k}: empty", 1, "empty file", named(f"a.{k}", b""), "R", r"is empty \(0 bytes\)")
        for k in KINDS
    ),
    *(
        slide_case(f"{k}: another magic number", 2, "magic XXXX", poked(k, b"XXXX"), "R", NOT_A_SLIDE)
        for k in KINDS
    ),
    *(slide_case(f"{k}: 100 bytes", 3, "first 100 bytes", cut(k, 100), "R", INCOMPLETE) for k in KINDS),
    *(slide_case(f"{k}: half", 4, "first half", cut(k, 0.5), "R", INCOMPLETE) for k in KINDS),
    *(
        slide_case(f"{k}: the last tenth is missing", 4, "first 90 %", cut(k, 0.9), "R", INCOMPLETE)
        for k in KINDS
        if k not in ("svs", "scn")
    ),
    *(
        slide_case(f"{k}: one byte is missing", 4, "all but one byte", cut(k, 0.99999), "R", INCOMPLETE)
        for k in ("strips", "jpeg")
    ),
]


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("slide.svs", b"II*\0")
    return target.getvalue()


OTHERS = {
    "a page of the web, saved as .svs": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "a zip": zipped(),
    "a gzipped TIFF": gzip.compress(b"II*\0" + bytes(100)),
    "a PDF": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "a pickle": pickle.dumps({"a": 1}),
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1938955\n",
    "zeros throughout": bytes(100_000),
    "one byte": b"I",
    "a magic number alone": b"II*\0",
    "a big magic number alone": b"II+\0\x08\0\0\0",
}
CASES += [
    slide_case(
        f"not a slide: {name}",
        2,
        name,
        named("a.svs", content),
        "R",
        r"^SlideError: a\.svs is (not a slide|damaged)",
    )
    for name, content in OTHERS.items()
]


def address(text: str) -> Make:
    return lambda goods, folder: text


URLS = (
    "http://example.org/a.svs", "https://example.org/a.svs", "s3://bucket/a.svs", "file:///etc/passwd",
    "ftp://example.org/a.svs", "gs://bucket/a.zarr", "\\\\server\\share\\a.svs://",
)  # fmt: skip
CASES += [
    slide_case(
        f"address: {url}", 27, f"the address {url}", address(url), "R", "not from an address on the network"
    )
    for url in URLS
]
CASES += [
    Case("address: the command", 27, "command", "https for info", "mclstexp", lambda g, f: ["info", "https://example.org/a.svs"], "R", "not from an address"),
]  # fmt: skip


def renamed(kind: str, name: str) -> Make:
    return lambda goods, folder: goods.copy(goods.slide(kind), folder, name)


NAMES = {
    "umlauts": "Schnitt größe ß.tif",
    "Japanese": "標本一.tif",
    "an emoji": "\N{MICROSCOPE}\N{NEUTRAL FACE}.tif",
    "a combining accent": "e\u0301tude.tif",
    "right to left": "\u05e9\u05e7\u05d5\u05e4\u05d9\u05ea.tif",
    "spaces": "  a  b .tif",
    "a line end": "a\nb.tif",
    "a percent sign": "100%41.tif",
    "a dash first": "-rf.tif",
    "a reserved name": "CON.tif",
    "no suffix": "slide",
    "a long name": "x" * 240 + ".tif",
    "quotes": 'it\'s "a" `b`.tif',
    "a glob": "a[1]*?.tif",
}
CASES += [
    slide_case(
        f"name: {about}",
        60,
        f"name with {about}",
        renamed("tiff", name),
        "works",
        r"512 x 384, 1 levels, mpp 0\.5 x 0\.5.*model: fits",
    )
    for about, name in NAMES.items()
]


def nothing_there(goods: Goods, folder: Path) -> Path:
    return folder / "nothing.svs"


def empty_folder(goods: Goods, folder: Path) -> Path:
    return folder


def dangling(goods: Goods, folder: Path) -> Path:
    (folder / "a.svs").symlink_to(folder / "gone.svs")
    return folder / "a.svs"


def fifo(goods: Goods, folder: Path) -> Path:
    import os

    os.mkfifo(folder / "a.svs")
    return folder / "a.svs"


CASES += [
    slide_case("place: nothing there", 28, "absent file", nothing_there, "R", "There is no slide at"),
    slide_case("place: a folder of other things", 2, "empty folder", empty_folder, "R", "is a folder, and neither"),
    slide_case("place: a link to nothing", 28, "dangling link", dangling, "R", "There is no slide at"),
    slide_case("place: a pipe", 2, "named pipe", fifo, "R", "is no file"),
    slide_case("place: a device", 2, "device", lambda g, f: "/dev/zero", "R", "is no file"),
    slide_case("place: a name that is too long", 60, "5,000 letters", lambda g, f: f / ("x" * 5000), "R", "cannot be read: File name too long"),
    slide_case("place: a name with a null", 60, "null in the name", lambda g, f: f"{f}/a\0b.svs", "R", "is no path of a file"),
]  # fmt: skip
