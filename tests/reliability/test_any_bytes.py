"""Any bytes to any reader give a result or a typed error; and cases that fuzzing has found.

``HYPOTHESIS_PROFILE=soak`` tries 1,000 of each.
"""

from __future__ import annotations

import json
import os
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.reliability.readers import READERS, give

FOUND = Path(__file__).parent / "found"
for name, examples in (("quick", 40), ("soak", 1000)):
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
PROFILE = settings.get_profile("soak" if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else "quick")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
KINDS = st.sampled_from(
    ["Polygon", "MultiPolygon", "Feature", "FeatureCollection", "GeometryCollection", "Point", 3, None]
)
GEO = st.recursive(
    st.fixed_dictionaries({"type": KINDS, "coordinates": JSON}),
    lambda inner: st.fixed_dictionaries(
        {"type": KINDS},
        optional={
            "features": st.lists(inner, max_size=3) | JSON,
            "geometry": inner | JSON,
            "geometries": st.lists(inner, max_size=3) | JSON,
            "coordinates": JSON,
            "properties": JSON,
        },
    ),
    max_leaves=6,
)


def _zip(entries: dict[str, bytes]) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    return target.getvalue()


def _tags(entries: list[tuple[int, int, int, int]]) -> bytes:
    from tests.reliability.spoil import raw_tiff

    return raw_tiff([entries])


WORD = st.integers(0, 2**16 - 1)
LONG = st.integers(0, 2**32 - 1)
TAG = st.sampled_from(
    [254, 256, 257, 258, 259, 262, 270, 273, 274, 277, 278, 279, 282, 322, 323, 324, 325, 330, 347]
)
MAGIC = (
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"II+\0\x08\0\0\0",
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"\x89HDF\r\n\x1a\n",
)
SHAPED = {
    "slide": st.lists(st.tuples(TAG, st.integers(0, 20), LONG, LONG), max_size=16).map(_tags),
    "bundle": st.dictionaries(
        st.sampled_from(["bundle.json", "weights.safetensors", "reference.h5ad", "../x", "a/bundle.json"]),
        st.binary(max_size=200),
        max_size=4,
    ).map(_zip),
    "specification": JSON.map(lambda v: json.dumps(v).encode()),
    "regions": GEO.map(lambda v: json.dumps(v).encode()),
    "annotations": GEO.map(lambda v: json.dumps(v).encode()),
    "spots": st.text(max_size=200).map(lambda t: b"spot_id,x_px,y_px\n" + t.encode("utf-8", "replace")),
    "gene sets": st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")),
}


@pytest.mark.parametrize("reader", READERS)
@settings(PROFILE)
@given(magic=st.sampled_from([b"", b"PK\x03\x04", *MAGIC]), rest=st.binary(max_size=400))
def test_any_bytes_give_a_result_or_a_typed_error(
    tmp_path: Path, reader: str, magic: bytes, rest: bytes
) -> None:
    give(reader, magic + rest, tmp_path)


@pytest.mark.parametrize("reader", SHAPED)
@settings(PROFILE)
@given(data=st.data())
def test_anything_of_the_right_form_gives_a_result_or_a_typed_error(
    tmp_path: Path, reader: str, data: st.DataObject
) -> None:
    give(reader, data.draw(SHAPED[reader]), tmp_path)


@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda p: f"{p.parent.name}-{p.name[:12]}")
def test_what_fuzzing_found_stays_mended(tmp_path: Path, path: Path) -> None:
    give(path.parent.name, path.read_bytes(), tmp_path)
