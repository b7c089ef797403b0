"""The ratios of a benchmark run: told in a table, held against goals and against those on record."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import ratios

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, chip: str, **found: tuple[float, str]) -> Path:
    """What pytest-benchmark writes, as far as it is read."""
    told = {name: ratios.ratio(value, goal, less=name == "less") for name, (value, goal) in found.items()}
    run = {
        "datetime": "2026-01-31T12:00:00",
        "machine_info": {"cpu": {"brand_raw": chip}, "python_version": "3.11.7"},
        "benchmarks": [{"extra_info": {"ratios": told}}, {"extra_info": {}}],
    }
    path = folder / "run.json"
    path.write_text(json.dumps(run), encoding="utf-8")
    return path


def test_a_ratio_that_has_become_worse_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ratios, "RECORD", tmp_path / "record.json")

    def run(*options: str, chip: str = "A chip", **found: tuple[float, str]) -> str:
        monkeypatch.setattr(sys, "argv", ["ratios", str(write(tmp_path, chip, **found)), *options])
        ratios.main()
        return capsys.readouterr().out

    first = run(
        "--record", speed=(2.0, "at least 1.6"), share=(1.05, "at most 1.1"), told=(3.0, ""), less=(1.4, "")
    )
    assert "A chip" in first
    assert "| speed | 2.00 |  | at least 1.6 | yes |" in first
    assert "| told | 3.00 |  |  |  |" in first
    missed = run(speed=(1.75, "at least 1.9"), share=(1.15, "at most 1.1"), new=(1.0, ""))
    assert "| speed | 1.75 | 2.00 | at least 1.9 | no |" in missed
    assert "| share | 1.15 | 1.05 | at most 1.1 | no |" in missed
    for worse in (
        {"speed": (1.7, "at least 1.6")},
        {"share": (1.22, "at most 1.1")},
        {"told": (2.5, "")},
        {"less": (1.7, "")},
    ):
        with pytest.raises(SystemExit, match=f"more than 15 %: {next(iter(worse))}"):
            run(**worse)  # type: ignore[arg-type]
    run("--record", share=(1.0, "at most 1.1"))
    kept = json.loads(ratios.RECORD.read_text(encoding="utf-8"))
    assert kept == {"A chip": {"speed": 2.0, "share": 1.0, "told": 3.0, "less": 1.4}}
    elsewhere = run(chip="Another", speed=(1.0, ""))
    assert "No ratio of this processor is on record." in elsewhere
    assert "| speed | 1.00 |  |  |  |" in elsewhere
    assert "| speed | 1.90 | 2.00 |" in run(chip="A chip, faster", speed=(1.9, ""))


def test_ways_run_in_turn() -> None:
    order: list[str] = []
    took = ratios.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 3
    assert set(took) == {"a", "b"}
    assert all(seconds >= 0 for seconds in took.values())
