"""Fuzz one reader with atheris: ``python -m tests.fuzz.readers READER SECONDS FOLDER``.

The folder gets what leads to new places of the code, and, as ``crash-...``, what ends in an error that is not
typed. Found cases belong into ``tests/reliability/found/READER/``.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["napari_mclstexp", "tifffile"]):
    from tests.reliability.readers import give


MAX_SEED_BYTES = 60_000


def main() -> None:
    """Run it."""
    reader, seconds, folder = sys.argv[1:4]
    corpus = Path(folder) / reader.replace(" ", "-")
    corpus.mkdir(parents=True, exist_ok=True)
    _seed(reader, corpus)
    place = Path(tempfile.mkdtemp(prefix="mclstexp-fuzz-"))

    def once(content: bytes) -> None:
        try:
            give(reader, content, place)
        except Exception:  # libFuzzer keeps only what crashes or hangs
            digest = hashlib.sha256(content).hexdigest()[:16]
            (corpus.parent / f"crash-{reader}-{digest}").write_bytes(content)
            raise

    options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=6000", "-max_len=65536"]
    options += [f"-artifact_prefix={corpus}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(corpus), *options], once)
    atheris.Fuzz()


def _seed(reader: str, corpus: Path) -> None:
    """Inputs of the corpus to begin with, where they are small."""
    from tests.reliability.case import all_cases
    from tests.reliability.goods import SPEC, Goods

    folder = Path(tempfile.mkdtemp(prefix="mclstexp-seed-"))
    goods = Goods(folder / "good")
    if reader in ("bundle", "specification"):
        text = (goods.bundle / SPEC).read_bytes()
        (corpus / "seed").write_bytes(text)
        with zipfile.ZipFile(folder / "b.zip", "w") as archive:
            archive.writestr(SPEC, text)
            archive.writestr("weights.safetensors", b"\x02\0\0\0\0\0\0\0{}")
            archive.writestr("reference.h5ad", b"\x89HDF\r\n\x1a\n")
        if reader == "bundle":
            (corpus / "seed").write_bytes((folder / "b.zip").read_bytes())
        return
    door, rows = {"slide": ("open_slide", range(1, 23)), "regions": ("read_regions", range(1, 100))}[reader]
    for number, case in enumerate(all_cases().values()):
        if case.door != door or case.row not in rows:
            continue
        place = folder / str(number)
        place.mkdir()
        made = case.make(goods, place)
        if isinstance(made, Path) and made.is_file() and made.stat().st_size < MAX_SEED_BYTES:
            (corpus / f"seed-{number}").write_bytes(made.read_bytes())


if __name__ == "__main__":
    main()
