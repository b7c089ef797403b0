"""The page of a cohort: what a reader finds on it, and that nothing on it is taken for anything else."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from small_cohort import DOMAINS, GENES, NASTY, REASON, small_cohort

from napari_mclstexp.cohort.folder import Cohort, Record, Shown
from napari_mclstexp.cohort.page import write_page
from napari_mclstexp.cohort.table import write_table
from napari_mclstexp.core.result import STATEMENT

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "img", "br", "link", "input"}


class Node:
    """An element: its name, attributes, elements and text within."""

    def __init__(self, tag: str, attrs: dict[str, str]) -> None:
        self.tag, self.attrs = tag, attrs
        self.parts: list[Node | str] = []

    @property
    def text(self) -> str:
        return " ".join("".join(p if isinstance(p, str) else f" {p.text} " for p in self.parts).split())

    def all(self, tag: str, **attrs: str) -> list[Node]:
        found = []
        for part in self.parts:
            if isinstance(part, Node):
                same = all(v in part.attrs.get(k, "").split() for k, v in attrs.items())
                found += [part] if part.tag == tag and same else []
                found += part.all(tag, **attrs)
        return found

    def one(self, tag: str, **attrs: str) -> Node:
        (found,) = self.all(tag, **attrs)
        return found


class Tree(HTMLParser):
    """The elements of a page, each closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert len(self._open) == 1, f"left open: {[n.tag for n in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {key: value or "" for key, value in attrs})
        assert len(node.attrs) == len(attrs), f"an attribute twice: {attrs}"
        self._open[-1].parts.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].parts.append(data)


def read(cohort: Cohort, records: dict[str, Record]) -> Node:
    path = write_page(cohort, records)
    assert path == cohort.folder / "index.html"
    return Tree(path.read_text(encoding="utf-8")).root


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, dict[str, Record]]:
    made = small_cohort(tmp_path_factory.mktemp("a cohort"))
    write_table(*made)
    return made


@pytest.fixture(scope="module")
def page(cohort: tuple[Cohort, dict[str, Record]]) -> Node:
    return read(*cohort)


def addresses(page: Node) -> list[str]:
    found = [node.attrs["src"] for node in page.all("img") if "src" in node.attrs]
    found += [node.attrs["href"] for node in page.all("a")]
    return found + [file for node in page.all("img") for file in node.attrs.get("data-maps", "").split()]


def test_each_address_is_a_file_of_the_folder_or_a_place_on_the_page(
    cohort: tuple[Cohort, dict[str, Record]], page: Node
) -> None:
    folder = cohort[0].folder
    marks = {
        node.attrs["id"] for tag in ("section", "figure") for node in page.all(tag) if "id" in node.attrs
    }
    seen = set()
    for address in addresses(page):
        if address.startswith("#"):
            assert address[1:] in marks
            continue
        assert re.fullmatch(r"[\w.~%/-]+", address), address
        file = folder / unquote(address)
        assert file.resolve().is_relative_to(folder.resolve())
        assert file.is_file(), address
        seen.add(file)
    there = {file for room in ("slides", "maps") for file in (folder / room).iterdir()} | {
        folder / "cohort.csv"
    }
    assert seen == there, "a file of the cohort cannot be reached from its page"


def test_nothing_comes_from_elsewhere(page: Node) -> None:
    text = page.one("style").text + page.one("script").text
    assert not re.search(r"https?:|//\w|@import|url\(", text)
    assert not page.all("link")
    assert not page.all("iframe")
    assert [node.attrs for node in page.all("script")] == [{}]
    for tag in ("a", "img"):
        assert not any(":" in node.attrs.get(key, "") for node in page.all(tag) for key in ("href", "src"))


def test_names_are_shown_as_they_were_given(page: Node) -> None:
    rows = page.one("section", id="slides").one("tbody").all("tr")
    assert [row.one("th").text for row in rows][1] == NASTY
    assert NASTY in [node.text for node in page.one("section", id="domains").all("b")]
    legend = page.one("section", id="domains").one("ul").all("li")
    assert [node.text for node in legend] == list(DOMAINS)
    assert not page.all("i", title="P2")
    assert len(page.all("script")) == 1
    assert "secret" not in write_text_of(page), "where the slides lie is nobody's business"


def write_text_of(page: Node) -> str:
    return page.text + " ".join(
        value for tag in ("a", "img", "figure") for n in page.all(tag) for value in n.attrs.values()
    )


def test_the_statement_and_how_many_slides_ended_how(page: Node) -> None:
    header = page.one("header")
    assert header.one("p", **{"class": "statement"}).text == STATEMENT
    assert "8 slides" in header.one("h1").text
    facts = {d.one("dt").text: d.one("dd").text for d in header.one("dl").all("div")}
    assert facts == {
        "Done": "4", "Refused": "2", "Failed": "1", "Not done yet": "1", "Spots": "2,037", "Tissue": "20 mm²",
    }  # fmt: skip
    assert "model <1>" in header.text
    assert re.search(r"\d{4}-\d\d-\d\d", header.text)


def test_what_was_refused_or_failed_comes_first_with_its_reason(page: Node) -> None:
    first = page.all("section")[0]
    assert first.attrs["id"] == "undone"
    assert first.one("h2").text == "3 slides without a prediction"
    refused, failed = first.one("ul").all("li")
    assert "refused: scale" in refused.text
    assert "no scale, no scale 2" in refused.text
    assert REASON in refused.text
    assert "The file ends too early." in failed.text
    assert "1 slide is not done yet: later." in first.text
    assert "alien" in first.text, "more than half of it is unlike the reference"


def test_one_gene_on_all_slides(page: Node) -> None:
    genes = page.one("section", id="genes")
    assert [option.text for option in genes.one("select").all("option")] == [shown.gene for shown in GENES]
    first, second = genes.all("div", **{"class": "scale"})
    assert "hidden" not in first.attrs
    assert "hidden" in second.attrs
    assert ("0.250" in first.text, "4.50" in first.text, "log1p of counts" in first.text) == (True,) * 3
    assert ("-1.00" in second.text, "1234" in second.text) == (True, True)
    assert GENES[0].reliability in first.text
    assert "Not predictable" in second.text
    figures = genes.all("figure")
    assert len(figures) == 4
    for figure in figures:
        image = figure.one("img")
        assert image.attrs["loading"] == "lazy"
        assert image.attrs["alt"].startswith("ERBB2 on ")
        assert len(image.attrs["data-maps"].split()) == len(GENES)
        assert image.attrs["data-maps"].split()[0] == image.attrs["src"]
    by_name = {figure.one("b").text: figure for figure in figures}
    assert "Patient P2 <i> · HER2+" in by_name[NASTY].text
    assert [n for n, f in by_name.items() if f.all("span", **{"class": "mark"})] == ["alien"]
    assert "75 % unlike" in by_name["alien"].text
    assert "unlike" not in by_name["S 3"].text, "nobody knows"


def test_the_groups_and_how_many_slides_each_has(page: Node) -> None:
    spread = page.one("section", id="spread")
    assert (
        "HER2+ (n = 2 slides of 2 patients), control (n = 1 slide), No group (n = 1 slide of 1 patient)"
        in spread.text
    )
    plots = {plot.attrs["aria-label"].split(",")[0]: plot for plot in spread.all("svg")}
    assert list(plots) == [*(f"Share of {name}" for name in DOMAINS), "Mean of ERBB2", "Mean of HLA-A"]
    for name, sizes in (
        ("Mean of ERBB2", [2, 1, 0]),
        ("Share of =cmd()", [2, 1, 1]),
        ("Mean of HLA-A", [2, 0, 0]),
    ):
        told = [node.text for node in plots[name].all("tspan")]
        assert told == [f"n = {n}" for n in sizes]
        assert len(plots[name].all("circle")) == sum(sizes)
    assert {c.text for c in plots["Mean of ERBB2"].all("circle")} == {
        "plain: 1.50", f"{NASTY}: 2.50".replace("  ", " "), "S 3: 0.500",
    }  # fmt: skip
    assert plots["Mean of ERBB2"].all("line", **{"class": "median"})[0].text == "Median: 2.00"
    assert "p-values" in spread.text
    bars = spread.all("div", role="img")
    assert bars[0].attrs["aria-label"] == "Tumour & stroma 35 %, <b>Fat</b> 22 %, =cmd() 42 %"


def test_without_groups_all_slides_stand_in_one(tmp_path: Path) -> None:
    page = read(*small_cohort(tmp_path, files=False, groups=False))
    assert "all slides in one (n = 4 slides)" in page.one("section", id="spread").text
    assert not page.one("section", id="genes").all("h3")
    assert [n.text for n in page.one("section", id="spread").all("svg")[0].all("tspan")] == ["n = 4"]


def test_the_table_holds_all_slides_with_dashes_for_what_is_not_known(page: Node) -> None:
    slides = page.one("section", id="slides")
    assert all(head.one("button").attrs["type"] == "button" for head in slides.one("thead").all("th"))
    rows = {
        row.one("th").text: [cell.text for cell in row.all("td")] for row in slides.one("tbody").all("tr")
    }
    files = "Result .h5ad Domains .geojson"
    assert rows["plain"] == ["P1", "HER2+", "done", "1,200", "12.0", "2 %", "1.5", files, "blurred in places"]
    assert rows["S 3"] == ["–", "control", "done", "30", "–", "–", "1.5", files, ""]
    assert rows["no scale"] == ["P5", "HER2+", "refused: scale", *"–––––", ""]
    assert rows["later"] == ["P6", "HER2+", "not done yet", *"–––––", ""]
    sorted_by = [cell.attrs["data-v"] for cell in slides.one("tbody").all("td", **{"class": "number"})]
    assert sorted_by[:4] == ["1200", "12.0", "0.02", "90.0"]
    assert "nan" not in page.text.lower().split()


def test_before_all_is_done_the_page_is_there_already(tmp_path: Path) -> None:
    cohort, records = small_cohort(tmp_path)
    bare = replace(cohort, genes=(), domains={})
    page = read(bare, {})
    assert "8 slides are not done yet: plain, " in page.text
    assert [s.attrs["id"] for s in page.all("section")] == ["undone", "slides", "how"]
    cohort.file(cohort.entries[0], ".png").unlink()
    cohort.map(cohort.entries[0], "HLA-A").unlink()
    page = read(cohort, records)
    first = page.one("section", id="domains").all("figure")[0]
    assert "hidden" in first.one("img").attrs
    assert first.one("span", **{"class": "none"}).text == "No picture yet"
    assert page.one("section", id="genes").all("img")[0].attrs["data-maps"].endswith(" -")


def test_no_colour_of_a_foreign_cohort_gets_into_the_style(tmp_path: Path) -> None:
    cohort, records = small_cohort(tmp_path, files=False)
    page = read(replace(cohort, domains={"A": "red;background:url(http://x)"}), records)
    styles = [node.attrs.get("style", "") for tag in ("i", "circle") for node in page.all(tag)]
    assert not any("url" in style for style in styles)


def test_limits_that_are_no_numbers_and_one_slide_alone(tmp_path: Path) -> None:
    cohort, records = small_cohort(tmp_path, files=False)
    nan = float("nan")
    one = replace(cohort, entries=cohort.entries[:1], genes=(Shown("ERBB2", nan, nan),))
    page = read(one, records)
    assert "1 slide" in page.one("h1").text
    assert page.one("div", **{"class": "scale"}).all("span")[0].text == "–"


def test_a_thousand_slides_make_a_page_of_a_few_megabytes(tmp_path: Path) -> None:
    cohort, records = small_cohort(tmp_path, files=False)
    many = tuple(replace(cohort.entries[0], name=f"slide {i}") for i in range(1000))
    page = write_page(replace(cohort, entries=many), {entry.name: records["plain"] for entry in many})
    assert page.stat().st_size < 5_000_000
