"""Which slides a cohort is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_mclstexp.cohort.names import names_for
from napari_mclstexp.cohort.request import Asked, Settings, find_slides
from napari_mclstexp.errors import CohortError, GridError, ScaleError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for name in ("a/one.svs", "a/two.TIF", "b/one.svs", "b/notes.txt", "b/.hidden.svs", "c/d.zarr/0/x.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(found: list[Asked], study: Path) -> list[str]:
    return [slide.path.relative_to(study.resolve()).as_posix() for slide in found]


def test_files_folders_and_globs(study: Path) -> None:
    assert names(find_slides([str(study)]), study) == ["a/one.svs", "a/two.TIF", "b/one.svs", "c/d.zarr"]
    assert names(find_slides([f"{study}/**/one.svs"]), study) == ["a/one.svs", "b/one.svs"]
    assert names(find_slides([f"{study}/b/one.svs", str(study / "b")]), study) == ["b/one.svs"]
    assert names(find_slides([f"{study}/absent.svs"]), study) == ["absent.svs"]  # told as a slide's end


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_tells_scale_patient_and_group(study: Path, separator: str) -> None:
    rows = [
        ("Slide", "patient", "group", "mpp"),
        ("a/one.svs", "p1", "tumour", "0.5"),
        ("b/one.svs", "", "", ""),
    ]
    table = study / "study.csv"
    table.write_text("\n".join(separator.join(row) for row in rows) + "\n\n", encoding="utf-8-sig")
    first, second = find_slides([str(table)])
    assert first == Asked((study / "a/one.svs").resolve(), "0.5", "p1", "tumour")
    assert second == Asked((study / "b/one.svs").resolve())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,mpp\nx.svs,0.5\n", "no column slide"),
        ("slide,mpp\n,0.5\n", "line 2, names no slide"),
        ("slide,mpp\nx.svs,wide\n", "line 2"),
        ("slide,mpp\n", "There is no slide in"),
        ("", "no column slide"),
    ],
)
def test_a_table_that_is_none_is_refused(study: Path, text: str, told: str) -> None:
    (study / "study.csv").write_text(text, encoding="utf-8")
    with pytest.raises(CohortError, match=told):
        find_slides([str(study / "study.csv")])


def test_a_table_of_bytes_is_refused(study: Path) -> None:
    (study / "study.csv").write_bytes(b"slide,mpp\n\xff\xfe\n")
    with pytest.raises(CohortError, match="no CSV in UTF-8"):
        find_slides([str(study / "study.csv")])
    with pytest.raises(CohortError, match="cannot be read"):
        find_slides([str(study / "absent.csv")])


def test_a_folder_without_slides_is_refused(study: Path) -> None:
    (study / "empty").mkdir()
    with pytest.raises(CohortError, match="There is no slide in"):
        find_slides([str(study / "empty")])


def test_names_are_those_of_the_files_and_never_the_same_twice(study: Path) -> None:
    paths = [study / name for name in ("a/one.svs", "b/one.svs", "b/ONE.tif", "two.ome.tif", "a/three.2.svs")]
    found = names_for(paths, {})
    assert found[study / "two.ome.tif"] == "two"
    assert found[study / "a/three.2.svs"] == "three.2"
    assert found[study / "a/one.svs"] == "a-one"
    assert len({name.lower() for name in found.values()}) == len(paths)
    again = names_for([study / "c/two.svs", *paths], found)
    assert {path: again[path] for path in paths} == found
    assert again[study / "c/two.svs"].lower() not in {name.lower() for name in found.values()}


def test_a_slide_is_done_by_its_content_and_what_its_numbers_come_from() -> None:
    key = Settings().key("f", "b", "")
    assert Settings(domains=3, seed=1, batch_size=2, genes=("A",)).key("f", "b", "") == key
    others = [
        Settings(grid="st").key("f", "b", ""),
        Settings(top_k=3).key("f", "b", ""),
        Settings().key("g", "b", ""),
        Settings().key("f", "c", ""),
        Settings().key("f", "b", "0.5"),
    ]
    assert len({key, *others}) == 6
    assert Settings(mpp="0.5").key("f", "b", "") == Settings().key("f", "b", "0.5")


def test_settings_that_cannot_be_are_refused() -> None:
    for settings, error in (
        (Settings(domains=0), GridError),
        (Settings(grid="round"), GridError),
        (Settings(mpp="-1"), ScaleError),
    ):
        with pytest.raises(error):
            settings.check()
