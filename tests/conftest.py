"""Fixtures that core, training, command-line and window tests share.

Everything that a test needs is made here from seeds, but for the real slides and the golden arrays: those
lie in ``../shared`` beside the checkout (or where MCLSTEXP_REAL_DATA and MCLSTEXP_GOLDEN say), and the
tests that need them skip, saying so, where they are absent.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import sparse
from scipy.ndimage import gaussian_filter
from steps import finish

from napari_mclstexp import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_mclstexp.core.bundle import Bundle

SHARED = Path(__file__).resolve().parents[2] / "shared"
GENES = ("ERBB2", "COL1A1", "CD3D", "ADIPOQ", "GAPDH", "ACTB", "KRT19", "DCN", "PTPRC", "VIM", "MS4A1", "B2M")
MPP = 0.5


def _data(variable: str, folder: str) -> Path:
    path = Path(os.environ.get(variable, SHARED / folder))
    if not path.is_dir():
        pytest.skip(f"{path} is absent: lay the data there, or name it in {variable}")
    return path


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Prepared slides go to a folder of the test run, not to the user's cache."""
    os.environ["MCLSTEXP_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def own_data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What is kept and remembered goes to a folder of the test, not to the user's, and away with it."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("MCLSTEXP_DATA", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _nothing_opened_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that other tests have opened are not kept out of what is said here: one of them may be a word."""
    monkeypatch.setattr("napari_mclstexp.core.discreet._private", {})
    monkeypatch.setattr("napari_mclstexp.core.discreet._names", [])


@pytest.fixture(scope="session")
def real() -> Path:
    """Folder of real slides and sections."""
    return _data("MCLSTEXP_REAL_DATA", "real")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the reference implementation's arrays."""
    return _data("MCLSTEXP_GOLDEN", "golden")


@dataclass(frozen=True)
class Outcome:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run ``mclstexp`` in this process."""

    def call(*words: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main([str(word) for word in words])
        said = capsys.readouterr()
        return Outcome(int(end.value.code or 0), said.out, said.err)

    return call


def paint(seed: int, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8 of stained-looking tissue in three colours on a white glass."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    field = gaussian_filter(rng.normal(size=(height, width)), 40, mode="wrap")
    field /= field.std()
    colours = np.array([(150, 70, 150), (225, 140, 180), (90, 60, 130)], dtype=float)
    picture = colours[np.digitize(field, (-0.4, 0.5))]
    picture += 14 * rng.normal(size=(height, width, 1))
    radius = np.hypot((x - width / 2) / (0.47 * width), (y - height / 2) / (0.47 * height))
    picture[radius > 1] = (243, 243, 244)
    return np.clip(picture, 0, 255).astype(np.uint8)


def write_slide(path: Path, picture: np.ndarray, mpp: float | tuple[float, float] | None = MPP) -> Path:
    """Write a tiled two-level TIFF, lossless, that OpenSlide reads."""
    with tifffile.TiffWriter(path) as tiff:
        for factor in (1, 2):
            options: dict = {}
            if mpp is not None:
                x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
                per_cm = (1e4 / (x * factor), 1e4 / (y * factor))
                options = {"resolution": per_cm, "resolutionunit": "CENTIMETER"}
            tiff.write(
                picture if factor == 1 else _halved(picture),
                photometric="rgb",
                tile=(128, 128),
                compression="deflate",
                subfiletype=0 if factor == 1 else 1,
                metadata=None,
                **options,
            )
    return path


def _halved(picture: np.ndarray) -> np.ndarray:
    height, width = (n // 2 * 2 for n in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def write_section(
    folder: Path,
    name: str,
    *,
    seed: int,
    spots: tuple[int, int] = (6, 5),
    patient: str = "Anna Secret",
    mpp: float = MPP,
) -> Path:
    """Write NAME.tif and NAME.h5ad: spots on a grid of 120 px whose counts follow the colour below."""
    columns, rows = spots
    width, height = 120 * columns + 300, 120 * rows + 300
    picture = paint(seed, width, height)
    folder.mkdir(parents=True, exist_ok=True)
    write_slide(folder / f"{name}.tif", picture, mpp)
    row, col = (a.ravel() for a in np.mgrid[:rows, :columns])
    xy = np.column_stack([210.0 + 120 * col, 210.0 + 120 * row])
    shade = np.array(
        [picture[int(y) - 20 : int(y) + 20, int(x) - 20 : int(x) + 20].mean((0, 1)) for x, y in xy]
    )
    rng = np.random.default_rng([seed, 1])
    mix = np.random.default_rng(99).uniform(0, 1, (3, len(GENES)))
    counts = rng.poisson(4 + (shade / 255) @ mix * 120 * rng.uniform(0.5, 1.5, (len(xy), 1)))
    data = ad.AnnData(
        X=sparse.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame(
            {"array_row": row, "array_col": col}, index=[f"{c}x{r}" for r, c in zip(row, col, strict=True)]
        ),
        var=pd.DataFrame(index=list(GENES)),
        obsm={"spatial": xy},
        uns={"mclstexp_section": {"slide": f"{name}.tif", "mpp": mpp, "section": name, "patient": patient}},
    )
    data.layers["counts"] = data.X.copy()
    data.write_h5ad(folder / f"{name}.h5ad")
    return folder / f"{name}.h5ad"


@pytest.fixture(scope="session")
def make_section() -> Callable[..., Path]:
    """Writer of small paired sections; see :func:`write_section`."""
    return write_section


@pytest.fixture(scope="session")
def make_slide() -> Callable[..., Path]:
    """Writer of small slides; see :func:`write_slide`."""
    return write_slide


@pytest.fixture(scope="session")
def picture() -> Callable[[int, int, int], np.ndarray]:
    """Painter of stained-looking tissue; see :func:`paint`."""
    return paint


@pytest.fixture(scope="session")
def section(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small paired section, an .h5ad beside its slide; 30 spots."""
    return write_section(tmp_path_factory.mktemp("section"), "SecretOne", seed=1)


@pytest.fixture(scope="session")
def trained(section: Path) -> tuple[Bundle, bool]:
    """Model of mode ``corrected`` from one epoch on `section`, and whether it can be stored as float16."""
    from napari_mclstexp.training.fit import train
    from napari_mclstexp.training.options import TrainingOptions
    from napari_mclstexp.training.sections import read_section

    options = TrainingOptions(epochs=1, patch_px=32, batch_size=10, top_k=8, device="cpu", name="tiny")
    return finish(train([read_section(str(section))], options))[1]


@pytest.fixture(scope="session")
def bundle_path(trained: tuple[Bundle, bool], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model as a folder."""
    from napari_mclstexp.core.bundle import save_bundle

    return save_bundle(trained[0], tmp_path_factory.mktemp("bundle") / "tiny", half=trained[1])


@pytest.fixture(scope="session")
def slide_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of 1,500 x 1,300 px with its scale, of no training section."""
    return write_slide(tmp_path_factory.mktemp("slide") / "Anna_Secret_1961.tif", paint(5, 1500, 1300))


@pytest.fixture(scope="session")
def result_path(slide_path: Path, bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RESULT.h5ad of `slide_path`, by the command line, on the Visium grid in 3 domains."""
    path = tmp_path_factory.mktemp("result") / "result.h5ad"
    words = ["predict", slide_path, "--bundle", bundle_path, "--out", path, "--domains", 3, "--device", "cpu"]
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    assert end.value.code in (0, None)
    return path
