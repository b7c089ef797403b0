"""Fetching her2st: from a server on this machine that speaks as GitHub does, over a repository of git."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from steps import finish

from napari_mclstexp.errors import FetchError
from napari_mclstexp.training import fetch as fetching
from napari_mclstexp.training.fetch import Source, fetch, her2st_sections, plan_her2st
from napari_mclstexp.training.git_objects import blob_id, names_commit
from napari_mclstexp.training.sections import read_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REPOSITORY = "almaan/her2st"
PARTS = json.loads(fetching.PINNED.read_text(encoding="utf-8"))
PATHS = {"A1.jpg": "data/ST-imgs/A/A1/HE_BC_A1.jpg", "cnts/A1.tsv.gz": "data/ST-cnts/A1.tsv.gz",
         "spots/A1_selection.tsv": "data/ST-spotfiles/A1_selection.tsv"}  # fmt: skip


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Åsa Ö", "-c", "user.email=a@b.se", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode().strip()


@dataclass
class Hub:
    """What the server gives, and how it misbehaves."""

    folder: Path
    commit: str
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    on_file: Callable[[str], None] = lambda _path: None
    change: Callable[[str, dict], None] = lambda _kind, _answer: None

    @property
    def source(self) -> Source:
        return Source(self.url, self.url)

    def content(self, path: str) -> bytes | None:
        if path.startswith(f"/repos/{REPOSITORY}/git/"):
            kind, name = path.split("?")[0].split("/")[-2:]
            answer = self.described(name) if kind == "commits" else self.listed(name)
            self.change(kind, answer)
            return json.dumps(answer).encode()
        self.on_file(path)
        file = self.folder / path.split("/", 4)[-1]
        return file.read_bytes() if file.is_file() else None

    def described(self, _name: str) -> dict:
        """A commit as GitHub tells it: times in UTC, no line break at the end of the message."""
        form = "%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B"
        tree, parents, an, ae, at, cn, ce, ct, message = git(
            self.folder, "log", "-1", f"--format={form}", self.commit
        ).split("\0")
        utc = [pd.Timestamp(int(t), unit="s", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ") for t in (at, ct)]
        return {
            "tree": {"sha": tree},
            "parents": [{"sha": p} for p in parents.split()],
            "author": {"name": an, "email": ae, "date": utc[0]},
            "committer": {"name": cn, "email": ce, "date": utc[1]},
            "message": message.strip("\n"),
            "verification": {"verified": False, "payload": None, "signature": None},
        }

    def listed(self, tree: str) -> dict:
        rows = []
        for line in git(self.folder, "ls-tree", "-r", "-t", "-l", "-z", tree).split("\0"):
            if line:
                facts, path = line.split("\t")
                mode, kind, sha, size = facts.split()
                row = {"path": path, "mode": mode, "type": kind, "sha": sha}
                rows.append(row | ({"size": int(size)} if kind == "blob" else {}))
        return {"sha": tree, "tree": rows, "truncated": False}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    if shutil.which("git") is None:
        pytest.skip("git is absent: it makes the repository that the server tells of")
    folder = tmp_path / "hub"
    folder.mkdir()
    for path in (*PATHS.values(), "README.md", "data.txt", "data-b/x", "data/ST-imgs/A/A1/notes.txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    write_section(folder)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2019-10-24T12:00:00 +0200")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2019-10-25T12:00:00 -0330")
    git(folder, "commit", "-q", "-m", "counts, spots and images", "-m", "with a second paragraph")
    made = Hub(folder, git(folder, "rev-parse", "HEAD"))
    pin(monkeypatch, tmp_path, made.commit)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.split("?")[0].rpartition("/")[2]
            begin = self.headers.get("Range", "")
            made.asked.append((self.path, begin))
            content = made.content(self.path)
            code = made.status.get(name, 404 if content is None else 200)
            if code != 200 or content is None:
                self.send_error(code)
                return
            start = int(begin.removeprefix("bytes=").rstrip("-")) if begin and made.ranges else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : start + made.cut.get(name, len(content))])
            if name in made.cut:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("MCLSTEXP_GITHUB_API", made.url)
    monkeypatch.setenv("MCLSTEXP_GITHUB_RAW", made.url)
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def pin(monkeypatch: pytest.MonkeyPatch, folder: Path, commit: str) -> None:
    """Pin the made repository's commit in the place of the real ones."""
    parts = {key: part | {"commit": commit} for key, part in PARTS["parts"].items()}
    (folder / "pinned.json").write_text(json.dumps(PARTS | {"parts": parts}))
    monkeypatch.setattr(fetching, "PINNED", folder / "pinned.json")
    fetching._pinned.cache_clear()
    fetching._known.cache_clear()
    monkeypatch.setattr("napari_mclstexp.training.download.TIMEOUT_S", 5.0)


@pytest.fixture(autouse=True)
def _pins_as_they_are() -> Iterator[None]:
    yield
    fetching._pinned.cache_clear()
    fetching._known.cache_clear()


def write_section(folder: Path) -> None:
    rng = np.random.default_rng(3)
    Image.fromarray(rng.integers(0, 255, (600, 600, 3), dtype=np.uint8)).save(folder / PATHS["A1.jpg"])
    x, y = (a.ravel() for a in np.mgrid[1:5, 1:5])
    spots = pd.DataFrame({"x": x, "y": y, "pixel_x": 110.0 * x, "pixel_y": 110.0 * y, "selected": 1})
    spots.to_csv(folder / PATHS["spots/A1_selection.tsv"], sep="\t", index=False)
    ids = [f"{a}x{b}" for a, b in zip(x, y, strict=True)]
    counts = pd.DataFrame(rng.poisson(90, (16, 5)), index=ids, columns=list("ABCDE"))
    counts.to_csv(folder / PATHS["cnts/A1.tsv.gz"], sep="\t")


def go(hub: Hub, to: Path) -> int:
    return finish(fetch(plan_her2st(to, ("A1",), hub.source)))[1]


def assert_whole(hub: Hub, to: Path) -> None:
    for name, path in PATHS.items():
        assert (to / name).read_bytes() == (hub.folder / path).read_bytes()
    assert not list(to.rglob("*.part"))


def test_a_section_is_fetched_verified_and_can_be_read(hub: Hub, tmp_path: Path) -> None:
    plan = plan_her2st(tmp_path / "d", ("A1",), hub.source)
    assert plan.note == ""  # tied to the commit's name, over time zones that GitHub does not tell
    assert [f.name for f in plan.files] == ["cnts/A1.tsv.gz", "spots/A1_selection.tsv", "A1.jpg"]
    steps, fetched = finish(fetch(plan))
    assert fetched == 3
    assert steps[-1].done == steps[-1].total == plan.bytes_to_fetch
    assert sum(s.whole for s in steps) == 3
    assert_whole(hub, tmp_path / "d")
    made = read_section(str(tmp_path / "d" / "A1"))
    assert made.patient == "A"
    assert len(made.ids) == 16


def test_what_is_there_is_not_fetched_again_and_what_is_spoilt_is_replaced(hub: Hub, tmp_path: Path) -> None:
    go(hub, tmp_path)
    hub.asked.clear()
    assert go(hub, tmp_path) == 0
    assert all("/git/" in path for path, _ in hub.asked)
    spoilt = tmp_path / "cnts" / "A1.tsv.gz"
    spoilt.write_bytes(spoilt.read_bytes()[::-1])
    assert go(hub, tmp_path) == 1
    assert_whole(hub, tmp_path)


def test_a_spoilt_file_stays_until_its_successor_is_verified(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "A1.jpg").write_bytes(b"mine")
    hub.status["HE_BC_A1.jpg"] = 503
    with pytest.raises(FetchError, match="503"):
        go(hub, tmp_path)
    assert (tmp_path / "A1.jpg").read_bytes() == b"mine"
    assert (tmp_path / "cnts" / "A1.tsv.gz").is_file()


def test_a_fetch_that_is_stopped_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    steps = fetch(plan_her2st(tmp_path, ("A1",), hub.source))
    for step in steps:
        if step.file.name == "A1.jpg" and not step.whole:
            break
    steps.close()
    part = tmp_path / "A1.jpg.part"
    have = part.stat().st_size
    assert 0 < have < step.file.size
    hub.asked.clear()
    go(hub, tmp_path)
    assert hub.asked[-1][1] == f"bytes={have}-"
    assert_whole(hub, tmp_path)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_off_is_taken_up_again(hub: Hub, tmp_path: Path, ranges: bool) -> None:
    hub.ranges = ranges
    size = (hub.folder / PATHS["A1.jpg"]).stat().st_size
    hub.cut["HE_BC_A1.jpg"] = size // 2 + 1
    if ranges:
        go(hub, tmp_path)
        assert_whole(hub, tmp_path)
        return
    with pytest.raises(FetchError, match=r"broke off after .* of A1.jpg.*run the command again"):
        go(hub, tmp_path)
    assert not (tmp_path / "A1.jpg").exists()
    hub.cut.clear()
    go(hub, tmp_path)
    assert_whole(hub, tmp_path)


@pytest.mark.parametrize("left", [b"something else", b"x" * 10**7, b"", "as long"])
def test_a_left_over_part_of_another_file_does_no_harm(hub: Hub, tmp_path: Path, left: bytes | str) -> None:
    size = (hub.folder / PATHS["A1.jpg"]).stat().st_size
    (tmp_path / "A1.jpg.part").write_bytes(b"x" * size if isinstance(left, str) else left)
    go(hub, tmp_path)
    assert_whole(hub, tmp_path)


@pytest.mark.parametrize("change", [lambda b: b[:-1] + b"?", lambda b: b + b"more"])
def test_a_file_with_another_hash_is_refused_and_not_kept(
    hub: Hub, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    file = hub.folder / PATHS["A1.jpg"]
    content = file.read_bytes()
    file.write_bytes(change(content))
    if len(change(content)) > len(content):  # only what was announced is read
        go(hub, tmp_path)
        file.write_bytes(content)
        assert_whole(hub, tmp_path)
        return
    with pytest.raises(FetchError, match=r"A1\.jpg .* not the file"):
        go(hub, tmp_path)
    assert sorted(p.name for p in tmp_path.glob("A1*")) == []


@pytest.mark.parametrize(
    ("file", "code", "why"),
    [
        ("HE_BC_A1.jpg", 404, r"has no HE_BC_A1.jpg"),
        ("HE_BC_A1.jpg", 500, "answered 500"),
        ("", 403, "limits requests"),
        ("", 404, "data set moved"),
    ],
)
def test_what_a_server_refuses_is_told(hub: Hub, tmp_path: Path, file: str, code: int, why: str) -> None:
    hub.status[file or hub.commit] = code
    with pytest.raises(FetchError, match=why):
        go(hub, tmp_path)


def test_a_server_that_is_down_is_told(tmp_path: Path) -> None:
    nowhere = Source("http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match="cannot be reached"):
        plan_her2st(tmp_path, ("A1",), nowhere)
    with pytest.raises(FetchError, match="cannot be reached"):
        finish(fetch(plan_her2st(tmp_path, ("C2",), nowhere)))


def test_a_disk_without_room_is_told_beforehand(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(FetchError, match="Make room"):
        go(hub, tmp_path)


def test_a_disk_that_fills_up_is_told(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "A1.jpg.part").symlink_to("/dev/full")
    with pytest.raises(FetchError, match=r"A1\.jpg cannot be written .*No space left"):
        go(hub, tmp_path)


def spoil_blob(kind: str, answer: dict) -> None:
    if kind == "trees":
        next(row for row in answer["tree"] if row["path"].endswith(".jpg"))["sha"] = "0" * 40


def spoil_root(kind: str, answer: dict) -> None:
    if kind == "trees":
        answer["tree"] = [row for row in answer["tree"] if row["path"] != "README.md"]


@pytest.mark.parametrize("change", [spoil_blob, spoil_root])
def test_a_list_that_does_not_fit_its_own_names_is_refused(
    hub: Hub, tmp_path: Path, change: Callable
) -> None:
    hub.change = change
    with pytest.raises(FetchError, match="not what it should be"):
        go(hub, tmp_path)


@pytest.mark.parametrize("answer", [{"truncated": True}, {"tree": [1]}, {"tree": None}])
def test_a_list_of_another_form_is_refused(hub: Hub, tmp_path: Path, answer: dict) -> None:
    hub.change = lambda kind, told: told.update(answer) if kind == "trees" else None
    with pytest.raises(FetchError, match="Nothing was fetched"):
        go(hub, tmp_path)


def test_a_commit_that_does_not_give_its_name_is_said(hub: Hub, tmp_path: Path) -> None:
    hub.change = lambda kind, told: told.update(message="another") if kind == "commits" else None
    assert "GitHub's word" in plan_her2st(tmp_path, ("A1",), hub.source).note


def test_a_signed_commit_gives_its_name_too(hub: Hub) -> None:
    told = hub.described("")
    signature = "-----BEGIN PGP SIGNATURE-----\n\nabc\n=1\n-----END PGP SIGNATURE-----\n"
    head = f"tree {told['tree']['sha']}\nauthor A <a@b> 1 +0000\ncommitter GitHub <n@g> 1 +0000"
    for kept in (signature, signature.rstrip("\n")):
        text = f"{head}\ngpgsig " + kept.replace("\n", "\n ") + "\n\nsubject"
        done = subprocess.run(
            ["git", "hash-object", "-t", "commit", "--stdin"],
            cwd=hub.folder, input=text.encode(), capture_output=True, check=True,
        )  # fmt: skip
        told["verification"] = {"payload": f"{head}\n\nsubject", "signature": signature}
        assert names_commit(told, done.stdout.decode().strip())
    assert not names_commit(told, "0" * 40)


def test_an_unknown_section_is_refused_without_asking_anyone(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no section Z9"):
        plan_her2st(tmp_path, ("Z9",), Source("http://127.0.0.1:9", ""))
    assert len(her2st_sections()) == 36


def test_the_names_of_the_known_files_are_those_of_the_real_ones(real: Path) -> None:
    plan = plan_her2st(real / "her2st", ("B4", "C2", "C3", "C4"), Source("http://127.0.0.1:9", ""))
    assert len(plan.files) == 12
    assert all(file.here for file in plan.files)
    assert all(blob_id(file.target) == file.blob for file in plan.files)
    assert finish(fetch(plan)) == ([], 0)


# --- the command line ------------------------------------------------------------


def test_the_command_fetches_and_tells_patients_licence_and_citation(
    hub: Hub, tmp_path: Path, run: Callable
) -> None:
    words = ("data", "fetch", "her2st", tmp_path / "d", "--sections", "A1")
    said = run(*words)
    assert said.code == 0
    assert "3 files; 0 are here and verified, 3 to fetch" in said.out
    lines = [line.split()[0] for line in said.out.splitlines() if line.endswith(" verified")]
    assert sorted(lines) == sorted(PATHS)
    for part in ("Patients: A ", "doi:10.1038/s41467-021-26271-2", "zenodo.3957257"):
        assert part in said.out
    assert_whole(hub, tmp_path / "d")
    again = run(*words)
    assert "3 are here and verified, 0 to fetch" in again.out


def test_ctrl_c_keeps_what_has_arrived(hub: Hub, tmp_path: Path, run: Callable) -> None:
    hub.on_file = lambda path: os.kill(os.getpid(), signal.SIGINT) if path.endswith(".jpg") else None
    words = ("data", "fetch", "her2st", tmp_path, "--sections", "A1")
    said = run(*words)
    assert said.code == 130
    assert "run the command again" in said.err
    assert (tmp_path / "A1.jpg.part").stat().st_size > 0
    hub.on_file = lambda _path: None
    assert run(*words).code == 0
    assert_whole(hub, tmp_path)


def test_other_data_sets_are_not_fetched_but_told_of(tmp_path: Path, run: Callable) -> None:
    said = run("data", "fetch", "cscc", tmp_path)
    assert said.code == 2
    assert "GSE144240_RAW.tar" in said.err
    assert "There is no data set mnist" in run("data", "fetch", "mnist", tmp_path).err
    told = run("data", "list").out
    for part in ("her2st", "36 sections of 8 patients", "GSE144240", "10.1016/j.cell.2020.05.039", "visium"):
        assert part in told


def test_the_gene_symbols_of_sections_are_told(tmp_path: Path, make_section: Callable, run: Callable) -> None:
    path, table = make_section(tmp_path, "S", seed=4), tmp_path / "genes.csv"
    said = run("data", "genes", path, "--csv", table)
    assert said.out.splitlines()[:2] == ["S", "Approved by HGNC (July 2024): 12 of 12 gene symbols."]
    assert table.read_text(encoding="utf-8").splitlines()[1] == "S,ERBB2,ERBB2,approved,ERBB2"
    assert run("data", "genes", path, "--csv", table).code == 2
