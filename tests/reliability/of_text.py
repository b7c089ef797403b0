"""Text files: GeoJSON (row 63, 66), spots as CSV (60, and what a person mistypes), gene sets (39)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from .case import Case
from .spoil import named

if TYPE_CHECKING:
    from pathlib import Path

    from .case import Make
    from .goods import Goods


def regions(name: str, row: int, document: Any, outcome: str, says: str) -> Case:
    content = document if isinstance(document, bytes | str) else json.dumps(document)
    return Case(
        f"GeoJSON: {name}", row, "GeoJSON", name, "read_regions", named("r.geojson", content), outcome, says
    )


def feature(geometry: Any, **properties: Any) -> dict:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def polygon(*rings: Any) -> dict:
    return {"type": "Polygon", "coordinates": list(rings)}


SQUARE = [[0, 0], [0, 100], [100, 100], [100, 0], [0, 0]]
BOW = [[0, 0], [100, 100], [100, 0], [0, 100], [0, 0]]
R, D, W = "R", "D", "works"
NONE, NO_LIST, NO_TYPE = "holds no area, only points, lines", "are no list", "a part that tells no type"
NUMBERS, FINITE, NO_JSON = (
    "no list of positions x, y in numbers",
    "is not finite, or beyond",
    "empty or no JSON",
)
NESTED = "nested without end"
GEO: dict[str, tuple[int, Any, str, str]] = {
    "empty": (1, "", R, NO_JSON),
    "spaces alone": (1, "  \n", R, NO_JSON),
    "no JSON": (2, "not json", R, NO_JSON),
    "a page of the web": (2, "<html></html>", R, NO_JSON),
    "a zip": (2, b"PK\x03\x04" + bytes(50), R, NO_JSON),
    "bytes that are no UTF-8": (2, b"\x80\xff\x00", R, NO_JSON),
    "UTF-16": (2, json.dumps(polygon(SQUARE)).encode("utf-16"), R, NO_JSON),
    "a byte order mark": (60, b"\xef\xbb\xbf" + json.dumps(polygon(SQUARE)).encode(), W, r"1 regions \[10000\]"),
    "cut off": (4, json.dumps(feature(polygon(SQUARE)))[:60], R, NO_JSON),
    "lists without end": (24, "[" * 100_000, R, NESTED),
    "closed lists without end": (24, "[" * 100_000 + "]" * 100_000, R, NESTED),
    "objects without end": (24, '{"a":' * 100_000 + "1" + "}" * 100_000, R, NESTED),
    "collections within each other": (24, '{"type":"GeometryCollection","geometries":[' * 5000 + "]}" * 5000, R, NESTED),
    "lists of features within each other": (24, "[" * 900 + json.dumps(polygon(SQUARE)) + "]" * 900, W, r"1 regions \[10000\]"),
    "a number of 5,000 digits": (63, '{"type": "Polygon", "coordinates": [[[1, 1], [2, ' + "9" * 5000 + "], [3, 3]]]}", R, NO_JSON),
    "no features": (63, {"type": "FeatureCollection", "features": []}, R, NONE),
    "features that are an object": (63, {"type": "FeatureCollection", "features": {}}, R, NO_LIST),
    "features that are missing": (63, {"type": "FeatureCollection"}, R, NO_LIST),
    "a number": (63, 3, R, NO_TYPE),
    "null": (63, None, R, NO_TYPE),
    "a type that is a number": (63, {"type": 3}, R, NO_TYPE),
    "an unknown type": (63, {"type": "Circle"}, R, NONE),
    "a point": (63, feature({"type": "Point", "coordinates": [1, 2]}), R, NONE),
    "a line": (63, feature({"type": "LineString", "coordinates": [[1, 2], [3, 4]]}), R, NONE),
    "no geometry": (63, feature(None), R, NONE),
    "a geometry that is a text": (63, feature("POLYGON"), R, NO_TYPE),
    "an empty ring": (63, feature(polygon([])), R, NONE),
    "two corners": (63, feature(polygon([[1, 2], [3, 4]])), R, NONE),
    "corners on one line": (63, feature(polygon([[1, 1], [2, 2], [3, 3], [1, 1]])), R, NONE),
    "one corner, many times": (63, feature(polygon([[1, 1]] * 9)), R, NONE),
    "NaN": (63, feature(polygon([[1, 1], [2, 2], [3, math.nan], [1, 1]])), R, FINITE),
    "infinity": (63, feature(polygon([[1, 1], [2, 2], [math.inf, 3], [1, 1]])), R, FINITE),
    "1e999": (63, '{"type": "Polygon", "coordinates": [[[1, 1], [1e999, 2], [3, 3], [1, 1]]]}', R, FINITE),
    "a coordinate of 2e9": (63, feature(polygon([[1, 1], [2, 2e9], [3, 3], [1, 1]])), R, FINITE),
    "a coordinate of 400 digits": (63, feature(polygon([[1, 1], [2, 10**400], [3, 3], [1, 1]])), R, NUMBERS),
    "coordinates of text": (63, feature(polygon([["1", "1"], ["2", "2"], ["3", "3"]])), R, NUMBERS),
    "coordinates that are true": (63, feature(polygon([[True, False]] * 4)), R, NUMBERS),
    "coordinates that are null": (63, feature(polygon([[None, 1], [2, 2], [3, 3]])), R, NUMBERS),
    "a position of one number": (63, feature(polygon([[1, 1], [2], [3, 3], [1, 1]])), R, NUMBERS),
    "positions of one number": (63, feature(polygon([[1], [2], [3], [1]])), R, NUMBERS),
    "numbers instead of positions": (63, feature(polygon([1, 2, 3])), R, NUMBERS),
    "a ring too deep": (63, feature(polygon([[[1, 1], [2, 2], [3, 3]]])), R, NUMBERS),
    "coordinates that are a text": (63, feature({"type": "Polygon", "coordinates": "x"}), R, NO_LIST),
    "a multipolygon of numbers": (63, feature({"type": "MultiPolygon", "coordinates": [7]}), R, NO_LIST),
    "an outline that crosses itself": (63, feature(polygon(BOW)), D, r"1 regions \[5000\], valid True"),
    "a ring that is not closed": (63, feature(polygon(SQUARE[:-1])), D, r"1 regions \[10000\], valid True"),
    "a hole outside": (63, feature(polygon(SQUARE, [[500, 500], [600, 500], [600, 600]])), D, r"1 regions \[.*\], valid True"),
    "a hole that covers all": (63, feature(polygon(SQUARE, SQUARE)), R, NONE),
    "the same corner twice": (63, feature(polygon([[0, 0], [0, 0], [0, 100], [100, 100], [100, 0], [0, 0]])), W, r"\[10000\], valid True"),
    "positions with a height": (63, feature(polygon([[0, 0, 5], [0, 100, 5], [100, 100, 5]])), W, r"\[5000\], valid True"),
    "a spike": (63, feature(polygon([[0, 0], [0, 100], [100, 100], [100, 0], [50, 0], [50, -90], [50, 0], [0, 0]])), D, "valid True"),
    "a point beside a polygon": (63, [feature({"type": "Point", "coordinates": [1, 2]}), feature(polygon(SQUARE))], D, r"1 regions \[10000\]"),
    "properties that are a list": (63, {**feature(polygon(SQUARE)), "properties": [1]}, W, "1 regions"),
    "a name that is a number": (63, feature(polygon(SQUARE), name=7), W, "1 regions"),
    "a name of 10,000 letters": (60, feature(polygon(SQUARE), name="x" * 10_000), W, "1 regions"),
    "NaN among the measurements": (63, feature(polygon(SQUARE), measurements={"a": math.nan}), W, "1 regions"),
}  # fmt: skip
CASES: list[Case] = [regions(name, *about) for name, about in GEO.items()]


def large(goods: Goods, folder: Path) -> Path:
    with (folder / "r.geojson").open("wb") as file:
        file.truncate(100 * 10**6 + 1)
    return folder / "r.geojson"


def off_slide(goods: Goods, folder: Path) -> list:
    (folder / "r.geojson").write_text(json.dumps(polygon([[9000, 9000], [9000, 9100], [9100, 9100]])))
    return ["predict", goods.slide("tiff"), "--bundle", goods.small_bundle, "--out", folder / "r.h5ad", "--grid", "20", "--region", folder / "r.geojson"]  # fmt: skip


CASES += [
    Case("GeoJSON: over 100 MB", 63, "GeoJSON", "size", "read_regions", large, R, "has over 100 MB. Export annotations alone"),
    Case("GeoJSON: absent", 38, "GeoJSON", "absent", "read_regions", lambda g, f: f / "r.geojson", R, "There is no file of regions"),
    Case("GeoJSON: a folder", 2, "GeoJSON", "folder", "read_regions", lambda g, f: f, R, "cannot be read"),
    Case("GeoJSON: regions of another slide", 66, "GeoJSON", "off the slide", "mclstexp", off_slide, R, "No spot lies inside the regions: none of [0-9,]+ has its centre there"),
    Case("annotations: detections alone", 63, "GeoJSON", "detections alone", "read_annotations", named("r.geojson", json.dumps(feature(polygon(SQUARE), objectType="detection"))), R, NONE),
    Case("annotations: a colour out of range", 63, "GeoJSON", "colour out of range", "read_annotations", named("r.geojson", json.dumps(feature(polygon(SQUARE), color=[1, 2, 999]))), D, "#d55e00"),
    Case("annotations: a class that is a list", 63, "GeoJSON", "class is a list", "read_annotations", named("r.geojson", json.dumps(feature(polygon(SQUARE), classification=[1]))), W, "1 annotations"),
    Case("annotations: a name of several lines", 63, "GeoJSON", "name of lines", "read_annotations", named("r.geojson", json.dumps(feature(polygon(SQUARE), name="a\nb\x00"))), W, "1 annotations"),
]  # fmt: skip

# --- spots --------------------------------------------------------------------

TABLE = "is no spot table. It needs the columns spot_id,x_px,y_px"
OUTSIDE = r"\d of \d spots lie outside the slide of 1000 x 900 px"
HEAD = "spot_id,x_px,y_px\n"
SPOTS: dict[str, tuple[int, bytes | str, str, str]] = {
    "empty": (1, "", R, TABLE),
    "a head alone": (45, HEAD, R, "No spots were given"),
    "no head": (2, "a,1,2\n", R, TABLE),
    "another head": (2, "id,x,y\na,1,2\n", R, TABLE),
    "a column in capitals": (2, "SPOT_ID,X_PX,Y_PX\na,1,2\n", R, TABLE),
    "semicolons": (2, "spot_id;x_px;y_px\na;1;2\n", R, TABLE),
    "a word as place": (63, HEAD + "a,left,2\n", R, TABLE),
    "an empty place": (63, HEAD + "a,,2\n", R, TABLE),
    "a decimal comma": (63, HEAD + "a,1,5,2\n", R, TABLE),
    "a value too few": (4, HEAD + "a,1\n", R, TABLE),
    "a place of NaN": (63, HEAD + "a,nan,2\n", R, f"{OUTSIDE}|{TABLE}"),
    "a place of Inf": (63, HEAD + "a,inf,2\n", R, OUTSIDE),
    "a place of 1e400": (63, HEAD + "a,1e400,2\n", R, OUTSIDE),
    "a place below nought": (66, HEAD + "a,-1,2\n", R, OUTSIDE),
    "a place beyond the border": (66, HEAD + "a,10,10\nb,1000,2\n", R, OUTSIDE),
    "x and y exchanged": (66, HEAD + "a,10,10\nb,10,950\n", R, f"{OUTSIDE}.*x before y"),
    "an id twice": (38, HEAD + "a,1,2\na,3,4\n", R, "The spot id 'a' is given twice"),
    "bytes that are no UTF-8": (2, b"spot_id,x_px,y_px\n\xff\xfe,1,2\n", R, TABLE),
    "UTF-16": (2, (HEAD + "a,1,2\n").encode("utf-16"), R, TABLE),
    "a zip": (2, b"PK\x03\x04" + bytes(500), R, TABLE),
    "zeros throughout": (2, bytes(5000), R, TABLE),
    "a quote that does not end": (4, HEAD + '"a,1,2\n' * 3, R, TABLE),
    "a column twice": (38, "spot_id,x_px,x_px,y_px\na,1,2,3\n", W, "1 spots"),
    "one spot": (46, HEAD + "a,1,2\n", W, r"1 spots, first a at \[2.0, 1.0\]"),
    "all at one place": (46, HEAD + "a,1,2\nb,1,2\n", W, "2 spots"),
    "a byte order mark and line ends of Windows": (
        60,
        b"\xef\xbb\xbfspot_id,x_px,y_px\r\na,1,2\r\n",
        W,
        "1 spots",
    ),
    "ids like formulas": (62, HEAD + "=1+1,1,2\n@x,3,4\n", W, "2 spots, first =1"),
    "ids in Japanese": (60, HEAD + "点一,1,2\n", W, "first 点一"),
    "an id called NA": (60, HEAD + "NA,1,2\n", W, "first NA"),
}
CASES += [
    Case(
        f"spots: {name}", row, "spots", f"spots, {name}", "read_spots", named("s.csv", content), outcome, says
    )
    for name, (row, content, outcome, says) in SPOTS.items()
]


def wide(goods: Goods, folder: Path) -> Path:
    (folder / "s.csv").write_text(HEAD.strip() + ",a" * 300_000 + "\n" + "1,2,3" + ",1" * 300_000 + "\n")
    return folder / "s.csv"


def over(goods: Goods, folder: Path) -> Path:
    with (folder / "s.csv").open("wb") as file:
        file.truncate(600 * 10**6)
    return folder / "s.csv"


CASES += [
    Case("spots: absent", 38, "spots", "spots, absent", "read_spots", lambda g, f: f / "s.csv", R, "There is no spot file"),
    Case("spots: a folder", 2, "spots", "spots, a folder", "read_spots", lambda g, f: f, R, TABLE),
    Case("spots: 600 MB", 69, "spots", "spots, 600 MB", "read_spots", over, R, "larger than 200 MB"),
    Case("spots: a gzip bomb", 33, "spots", "spots, a gzip bomb", "read_spots", lambda g, f: _bomb(f / "s.csv.gz"), R, TABLE),
]  # fmt: skip


def _bomb(path: Path) -> Path:
    import gzip

    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(HEAD.encode())
        for _ in range(400):
            file.write(b"a,1,2\n" * 170_000)
    return path


# --- gene sets ----------------------------------------------------------------


def gmt(content: bytes | str) -> Make:
    def make(goods: Goods, folder: Path) -> tuple:
        return named("s.gmt", content)(goods, folder), goods.result

    return make


GMT: dict[str, tuple[int, bytes | str, str, str]] = {
    "empty": (1, "", R, "holds no gene sets"),
    "empty lines": (1, "\n\n", R, "holds no gene sets"),
    "no tabs": (2, "one two three\n", R, "Line 1 of s.gmt is no gene set"),
    "a name alone": (4, "name\n", R, "Line 1 of s.gmt is no gene set"),
    "no genes": (4, "name\tabout\n", R, "Line 1 of s.gmt is no gene set"),
    "no name": (4, "\tabout\tERBB2\n", R, "Line 1 of s.gmt is no gene set"),
    "a bad second line": (4, "a\tb\tERBB2\nrubbish\n", R, "Line 2 of s.gmt is no gene set"),
    "bytes that are no UTF-8": (2, b"a\tb\t\xff\xfe\n", R, "is not text in UTF-8"),
    "a zip": (2, b"PK\x03\x04" + bytes(range(256)), R, "is not text in UTF-8"),
    "zeros": (2, bytes(1000), R, "no gene set"),
    "over 20 MB": (69, b"a\tb\tc\n" * 3_400_000, R, "larger than 20 MB"),
    "genes that are all absent": (
        39,
        "a\tb\tNOSUCH1\tNOSUCH2\n",
        R,
        "The model predicts none of the genes of 'a'",
    ),
    "some genes that are absent": (
        39,
        "a\tb\tERBB2\tNOSUCH\n",
        D,
        r"used \('ERBB2',\), absent \('NOSUCH',\)",
    ),
    "a gene twice": (38, "a\tb\tERBB2\tERBB2\terbb2\n", W, r"used \('ERBB2',\), absent \(\)"),
}
CASES += [
    Case(
        f"gene sets: {name}", row, "gene sets", f"gene sets, {name}", "read_gmt", gmt(content), outcome, says
    )
    for name, (row, content, outcome, says) in GMT.items()
]
