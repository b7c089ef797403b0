"""The report of an evaluation: its figures are the evaluation's, and its page stands alone."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import pearsonr

from napari_mclstexp.core.result import STATEMENT
from napari_mclstexp.errors import ExportError, ModelError
from napari_mclstexp.training.evaluation import Evaluation, HeldOutSection, Method, SectionScore
from napari_mclstexp.training.folds import Fold
from napari_mclstexp.training.report import FILES, best_baseline, refuse_target, summary, write_report
from napari_mclstexp.training.report_values import plain, ratio, shown, span
from napari_mclstexp.training.scores import BlockSums, spatial_blocks

if TYPE_CHECKING:
    from pathlib import Path

METHODS = (
    Method("retrieval", "Retrieval", "head"),
    Method("mean", "Mean of retrieval and ridge", "head"),
    Method("looks-ridge", "Colour and texture + ridge", "baseline", plain_looks=True),
    Method("looks-nearest-50", "Colour and texture, 50 nearest", "baseline", plain_looks=True),
    Method("shuffled", "Shuffled pairs, mean head", "check"),
)
NOISE = {"retrieval": 3.0, "mean": 2.0, "looks-ridge": 6.0, "looks-nearest-50": 4.0, "shuffled": math.inf}
GENES = tuple(f"GENE{i}" for i in range(12))
SPOTS = 40
BLOCKS = spatial_blocks(np.stack(np.mgrid[:8, :5], axis=-1).reshape(-1, 2).astype(float))

Arrays = dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]


def draw(names: tuple[str, ...], seed: int = 3) -> Arrays:
    """Predicted and measured (SPOTS, genes) by section and method."""
    rng = np.random.default_rng(seed)
    found: Arrays = {}
    for index in range(len(names)):
        measured = rng.normal(size=(SPOTS, len(GENES)))
        for method in METHODS:
            noise = rng.normal(size=measured.shape)
            scale = NOISE[method.key]
            found[index, method.key] = (noise if math.isinf(scale) else measured + scale * noise, measured)
    return found


def make(
    names: tuple[str, ...] = ("One", "Two", "Three"),
    patients: tuple[str, ...] = ("patient 1", "patient 1", "patient 2"),
    *,
    same: bool = False,
) -> Evaluation:
    """An evaluation with a fold a patient, or a section."""
    arrays = draw(names)
    groups = list(dict.fromkeys(names if same else patients))
    folds = []
    for group in groups:
        out = tuple(n for n, p in zip(names, patients, strict=True) if group == (n if same else p))
        folds.append(Fold(out, tuple(n for n in names if n not in out), same))
    panel = {"all": np.arange(12), "top50": np.arange(0, 6), "variable50": np.arange(3, 9)}
    panel["spatial50"] = np.array([0, 5, 11])
    sections = []
    for index, (name, patient) in enumerate(zip(names, patients, strict=True)):
        scores = {}
        for m, method in enumerate(METHODS):
            predicted, measured = arrays[index, method.key]
            error = predicted - measured
            scores[method.key] = SectionScore(
                BlockSums.of(predicted, measured, BLOCKS),
                mse=float(np.square(error).mean()),
                mae=float(np.abs(error).mean()),
                mse_ratio=1.0 + m / 10,
                mae_ratio=0.9 + m / 10 + index,
                variance_ratio=0.5,
                morans=0.25,
                domains={"4 clusters": (0.2 + m / 100, 0.3), "7 clusters": (0.1, 0.25)},
            )
        sections.append(
            HeldOutSection(
                name=name,
                patient=patient,
                fold=next(i for i, fold in enumerate(folds) if name in fold.held_out),
                same_patient=same,
                spots=SPOTS,
                poor=index,
                panels=panel,
                scores=scores,
                coverage=0.85 + index / 50,
                depth=0.1,
                looks=0.4,
                head="mean",
            )
        )
    return Evaluation(
        genes=GENES,
        absent=("GENE11",),
        methods=METHODS,
        sections=tuple(sections),
        leave_out="section" if same else "patient",
        folds=tuple(folds),
        seed=0,
        head="mean",
        head_reason="best of retrieval 0.300, mean 0.400: PCC over 12 genes",
        width=np.linspace(0.5, 1.5, 12),
        similarity=np.linspace(0.1, 0.9, 101),
        risk=tuple((share / 10, 0.7 + 0.03 * share) for share in range(1, 11)),
        unlike=(
            {
                "what": "blur",
                "against": "held-out tissue",
                "resampled": True,
                "auroc": 0.871,
                "flagged": 0.55,
                "spots": 40,
            },
        ),
        history=tuple(
            [{"loss": 3.0 - e - f / 9, "accuracy": e / 10} for e in range(3)] for f in range(len(folds))
        ),
        seconds=tuple(12.5 + i for i in range(len(folds))),
        about={"epochs": 3, "genes": 12, "version": "0.2.0", "panels": ["all", "top50"], "field_um": None},
    )


def read(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make(), tmp_path_factory.mktemp("report") / "out")


def by_hand(key: str) -> np.ndarray:
    """(sections, genes) correlations of a method by another library."""
    arrays = draw(("One", "Two", "Three"))
    return np.array(
        [[pearsonr(*(a[:, g] for a in arrays[s, key])).statistic for g in range(12)] for s in range(3)]
    )


def test_genes_are_those_of_another_library(report: Path) -> None:
    rows, ours, theirs = read(report, "genes.csv"), by_hand("mean"), by_hand("looks-nearest-50")
    assert [row["gene"] for row in rows] == list(GENES)
    for g, row in enumerate(rows):
        assert float(row["pcc"]) == pytest.approx(ours[:, g].mean(), abs=1e-9)
        assert float(row["baseline_pcc"]) == pytest.approx(theirs[:, g].mean(), abs=1e-9)
        assert [float(row[f"pcc {n}"]) for n in ("One", "Two", "Three")] == pytest.approx(
            ours[:, g], abs=1e-9
        )
        assert float(row["low"]) < float(row["pcc"]) < float(row["high"])
        said = float(row["pcc"]) >= 0.1 and float(row["low"]) > 0
        assert row["predictable"] == ("yes" if said else "no")
        assert row["absent"] == ("yes" if g == 11 else "no")
        assert float(row["half_width"]) == make().width[g]


def test_methods_are_those_of_another_library(report: Path) -> None:
    rows = {row["method"]: row for row in read(report, "methods.csv")}
    assert list(rows) == [method.key for method in METHODS]
    arrays = draw(("One", "Two", "Three"))
    for key, row in rows.items():
        pcc = by_hand(key)
        for panel, genes in (("all", range(12)), ("top50", range(6)), ("spatial50", (0, 5, 11))):
            assert float(row[f"pcc_{panel}"]) == pytest.approx(pcc[:, list(genes)].mean(), abs=1e-9)
        errors = [arrays[s, key][0] - arrays[s, key][1] for s in range(3)]
        assert float(row["mse"]) == pytest.approx(np.mean([np.square(e).mean() for e in errors]))
        assert float(row["mae"]) == pytest.approx(np.mean([np.abs(e).mean() for e in errors]))
    assert [key for key, row in rows.items() if row["chosen_head"] == "yes"] == ["mean"]
    assert [key for key, row in rows.items() if row["best_baseline"] == "yes"] == ["looks-nearest-50"]
    assert float(rows["mean"]["ari 4 clusters"]) == pytest.approx(0.21)


def test_sections_are_those_of_another_library(report: Path) -> None:
    rows = read(report, "sections.csv")
    assert len(rows) == 3 * len(METHODS)
    for row in rows:
        s = ("One", "Two", "Three").index(row["section"])
        assert float(row["pcc_variable50"]) == pytest.approx(by_hand(row["method"])[s, 3:9].mean(), abs=1e-9)
        assert row["patient"] == ("patient 1", "patient 1", "patient 2")[s]
        assert row["spots_left_out"] == str(s)
        own = row["method"] == "mean"
        assert row["coverage"] == (repr(0.85 + s / 50) if own else "")
        assert (row["chosen_by_other_folds"] == "yes") == own


def test_json_holds_the_same_and_says_its_schema(report: Path) -> None:
    found = json.loads((report / "evaluation.json").read_text(encoding="utf-8"))
    assert found["schema_version"] == 1
    assert found["statement"] == STATEMENT
    assert (found["head"], found["best_baseline"]) == ("mean", "looks-nearest-50")
    rows = {row["method"]: row for row in read(report, "methods.csv")}
    for method in found["methods"]:
        row = rows[method["method"]]
        assert method["pcc"]["all"] == {
            "value": float(row["pcc_all"]),
            "low": float(row["pcc_all_low"]),
            "high": float(row["pcc_all_high"]),
        }
    assert found["sections"][1]["gene_pcc"] == pytest.approx(by_hand("mean")[1], abs=1e-9)
    assert found["unlike"][0]["auroc"] == 0.871
    assert [len(fold["history"]) for fold in found["folds"]] == [3, 3]
    assert found["about"]["field_um"] is None
    everything = "".join((report / name).read_text(encoding="utf-8") for name in FILES[:-1])
    assert "seconds" not in everything
    timing = json.loads((report / "timing.json").read_text(encoding="utf-8"))
    assert [fold["training_seconds"] for fold in timing["folds"]] == [12.5, 13.5]


def test_the_ratio_is_paired() -> None:
    evaluation = make()
    ours, theirs = (evaluation.panel_pcc(key, "all")[0] for key in ("mean", "looks-nearest-50"))
    value, low, high = ratio(evaluation, "mean", "looks-nearest-50", "all")
    assert value == ours / theirs
    assert low < value < high
    assert ratio(evaluation, "mean", "mean", "all") == (1.0, 1.0, 1.0)
    assert np.isnan(ratio(evaluation, "mean", "shuffled", "all")[1:]).all()


class Reader(HTMLParser):
    """Tags, attributes and text of a page; refuses tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def test_the_page_stands_alone(report: Path) -> None:
    text = (report / "report.html").read_text(encoding="utf-8")
    reader = Reader(text)
    assert reader.open == []
    assert not {"script", "link", "iframe", "img", "object", "embed", "base", "form"} & set(reader.tags)
    names = [name for name, _ in reader.attributes]
    assert "src" not in names
    assert not any(name.startswith("on") for name in names)
    assert all(str(value).startswith("#") for name, value in reader.attributes if name.endswith("href"))
    assert "http" not in text
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="|url\()#([^)"]*)', text)
    assert set(used) <= set(ids)
    assert reader.tags.count("svg") == 5
    assert reader.text.count(STATEMENT) == 1


def test_the_page_says_it_in_order(report: Path) -> None:
    text = Reader((report / "report.html").read_text(encoding="utf-8")).text
    parts = (
        "Evaluation on held-out patients", "Patients held out", "Genes absent", STATEMENT,
        "spatial blocks within sections (fewer than 5 patients)", "All methods", "best baseline",
        "Section by section", "Plots", "Tissue domains", "blur", "0.87", "55 %", "Genes",
        "Check: shuffled pairs", "at chance", "How this was made", "0.2.0",
    )  # fmt: skip
    at = [text.find(part) for part in parts]
    assert -1 not in at
    order = [text.rfind(f"{part}\n") for part in ("All methods", "Section by section", "Plots", "Genes")]
    assert order == sorted(order)
    assert f"{make().panel_pcc('mean', 'all')[0]:.3f}" in text


@pytest.mark.parametrize("same", [True, False])
def test_same_patient_is_said_just_where_it_is_so(tmp_path: Path, same: bool) -> None:
    evaluation = make(same=same)
    text = (write_report(evaluation, tmp_path / "out") / "report.html").read_text(encoding="utf-8").lower()
    assert ("same patient" in text) == same
    assert ("patients held out" in text) != same
    assert ("same patient" in summary(evaluation).lower()) == same


def test_names_do_no_harm(tmp_path: Path) -> None:
    hostile = ("<script>alert(1)</script>", "$x_{y$ & \"q' <!-- --> ]]>", "長い\x01名前" * 9)
    out = write_report(make(hostile), tmp_path / "out")
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    reader = Reader(text)
    assert "script" not in reader.tags
    assert reader.open == []
    assert hostile[1] in reader.text
    assert {row["section"] for row in read(out, "sections.csv")} == set(hostile)


def test_the_same_evaluation_gives_the_same_bytes(report: Path, tmp_path: Path) -> None:
    again = write_report(make(), tmp_path / "elsewhere")
    assert sorted(file.name for file in again.iterdir()) == sorted(FILES)
    for name in FILES:
        assert (again / name).read_bytes() == (report / name).read_bytes()
    assert str(tmp_path) not in (again / "report.html").read_text(encoding="utf-8")
    slower = write_report(replace(make(), seconds=(99.0, 98.0)), tmp_path / "slower")
    differ = [name for name in FILES if (slower / name).read_bytes() != (report / name).read_bytes()]
    assert differ == ["timing.json"]


def test_a_folder_is_replaced_only_when_told_and_only_a_report(tmp_path: Path) -> None:
    out = write_report(make(), tmp_path / "out")
    before = (out / "report.html").read_bytes()
    with pytest.raises(ExportError, match="exists already"):
        write_report(make(same=True), out)
    assert (out / "report.html").read_bytes() == before
    write_report(make(same=True), out, overwrite=True)
    assert (out / "report.html").read_bytes() != before
    (out / "thesis.docx").write_text("years of work", encoding="utf-8")
    with pytest.raises(ExportError, match=r"thesis\.docx"):
        write_report(make(), out, overwrite=True)
    with pytest.raises(ExportError, match="is a file"):
        refuse_target(out / "thesis.docx", overwrite=True)
    assert (out / "thesis.docx").read_text(encoding="utf-8") == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_figures_that_are_missing_are_a_dash(tmp_path: Path) -> None:
    whole = make()
    nan = float("nan")
    sections = []
    for section in whole.sections:
        scores = dict(section.scores)
        for key in ("mean", "shuffled"):
            score = scores[key]
            sums = replace(score.sums, sums=np.full_like(score.sums.sums, np.nan))
            scores[key] = replace(
                score, mse=nan, mse_ratio=math.inf, variance_ratio=nan, domains={"4 clusters": (nan, nan)},
                sums=sums if key == "shuffled" else score.sums,
            )  # fmt: skip
        sections.append(replace(section, scores=scores, coverage=nan, depth=nan, looks=nan))
    hurt = replace(
        whole,
        sections=tuple(sections),
        risk=((0.1, nan), (1.0, nan)),
        history=([], []),
        unlike=({"what": "blur", "auroc": nan},),
        width=np.full(12, np.nan),
    )
    out = write_report(hurt, tmp_path / "out")
    text = (out / "report.html").read_text(encoding="utf-8")
    found = json.loads((out / "evaluation.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    method = next(m for m in found["methods"] if m["method"] == "mean")
    assert method["mse"] is None
    assert method["mse_ratio"] is None
    assert method["domains"]["4 clusters"] == [None, None]
    assert found["sections"][0]["coverage"] is None
    assert "<td>–</td>" in text
    assert "nan" not in Reader(text).text.lower()
    assert Reader(text).tags.count("svg") == 2
    assert all(row["mse"] == "" for row in read(out, "sections.csv") if row["method"] == "mean")
    assert "nan" not in summary(hurt).lower()


def test_summary_is_a_small_table() -> None:
    evaluation = make()
    lines = summary(evaluation).splitlines()
    assert len(lines) == len(METHODS) + 3
    value, low, high = evaluation.panel_pcc("mean", "all")
    row = next(line for line in lines if line.startswith("* Mean of retrieval and ridge"))
    assert f"{value:.3f} ({low:.3f} to {high:.3f})" in row
    assert row.endswith(f"{evaluation.panel_pcc('mean', 'top50')[0]:.3f}")
    assert next(line for line in lines if line.startswith("+")).startswith("+ Colour and texture, 50 nearest")
    assert max(map(len, lines)) <= 110


def test_a_comparison_needs_a_baseline() -> None:
    bare = replace(make(), methods=METHODS[:2])
    with pytest.raises(ModelError, match="nothing to compare"):
        best_baseline(bare)


def test_numbers_are_shown_plainly() -> None:
    assert [shown(v) for v in (0.1234, -0.1234, -0.0001, float("nan"), math.inf)] == [
        "0.123", "−0.123", "0.000", "–", "–",
    ]  # fmt: skip
    assert span((0.1, -0.05, 0.2)) == "−0.050 to 0.200"
    assert span((0.1, float("nan"), 0.2)) == "–"
    assert plain({"a": (np.float32(np.nan), np.arange(2), np.bool_(True))}) == {"a": [None, [0, 1], True]}
