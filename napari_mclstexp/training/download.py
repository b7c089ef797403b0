"""Downloads that go on where they stopped, and count only once their hash is right."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, cast

from napari_mclstexp import __version__
from napari_mclstexp.core.replacing import finish
from napari_mclstexp.errors import FetchError
from napari_mclstexp.training.git_objects import blob_id

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

CHUNK = 2**16
TIMEOUT_S = 30.0
TRIES = 3
MAX_JSON_BYTES = 2**25
AGENT = f"napari-mclstexp/{__version__}"
BROKEN = (OSError, http.client.HTTPException)  # urllib's errors and time-outs are OSErrors


def read_json(url: str) -> dict[str, Any]:
    """Read an answer in JSON.

    Raises
    ------
    FetchError
        The server cannot be reached, or answers otherwise.
    """
    try:
        with _open(url, 0) as response:
            content = response.read(MAX_JSON_BYTES + 1)
        answer = json.loads(content) if len(content) <= MAX_JSON_BYTES else None
    except BROKEN as error:
        raise _unreachable(url, error) from error
    except (ValueError, RecursionError) as error:
        msg = f"{_host(url)} gave an answer that cannot be read. Try again later."
        raise FetchError(msg) from error
    if not isinstance(answer, dict):
        msg = f"{_host(url)} gave an answer of another form than expected. Try again later."
        raise FetchError(msg)
    return answer


def download(url: str, target: Path, blob: str, size: int) -> Generator[int, None, None]:
    """Fetch a file; what is there is replaced once the new one has been checked.

    What has arrived lies in ``NAME.part`` until the file is whole, also after an interruption, and is not
    fetched again.

    Parameters
    ----------
    url : str
        Where it is.
    target : pathlib.Path
        Where it goes; its folder exists.
    blob : str
        Name that git gives to its content.
    size : int
        Its bytes.

    Yields
    ------
    int
        Bytes that are there.

    Raises
    ------
    FetchError
        It cannot be fetched or written, or is not what it should be.
    """
    part = target.with_name(f"{target.name}.part")
    left_over = _size(part) > 0
    yield from _until_whole(url, part, size)
    if blob_id(part) != blob and left_over:  # what was left over may have been of another file
        part.unlink()
        yield from _until_whole(url, part, size)
    if blob_id(part) != blob:
        part.unlink()
        msg = (
            f"{target.name} as {_host(url)} gives it is not the file that it should be (another hash). "
            "It was not kept. Try again; if it stays so, the data set has changed."
        )
        raise FetchError(msg)
    try:
        finish(part, target)
    except OSError as error:
        raise _unwritable(part, error) from error


def _until_whole(url: str, part: Path, size: int) -> Generator[int, None, None]:
    for _ in range(TRIES):
        if _size(part) > size:
            part.unlink()
        if _size(part) == size and part.exists():
            return
        try:
            yield from _receive(url, part, size)
        except urllib.error.HTTPError as error:
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise _unreachable(url, error) from error
            part.unlink(missing_ok=True)
        except BROKEN as error:
            if _size(part) == 0:
                raise _unreachable(url, error) from error
    if _size(part) != size:
        msg = (
            f"The connection to {_host(url)} broke off after {_size(part):,} of {size:,} bytes of "
            f"{part.name.removesuffix('.part')}. What has arrived is kept: run the command again to go on."
        )
        raise FetchError(msg)


def _receive(url: str, part: Path, size: int) -> Generator[int, None, None]:
    """Append what comes to the part, until it has `size` bytes."""
    have = _size(part)
    with _open(url, have) as response:
        told = response.headers.get("Content-Range", "")
        if response.status != http.client.PARTIAL_CONTENT or not told.startswith(f"bytes {have}-"):
            have = 0
        try:
            file = part.open("ab" if have else "wb")
        except OSError as error:
            raise _unwritable(part, error) from error
        with file:
            while have < size and (chunk := response.read(min(CHUNK, size - have))):
                try:
                    file.write(chunk)
                    file.flush()
                except OSError as error:
                    raise _unwritable(part, error) from error
                have += len(chunk)
                yield have


def _open(url: str, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": AGENT} | ({"Range": f"bytes={start}-"} if start else {})
    request = urllib.request.Request(url, headers=headers)
    return cast("http.client.HTTPResponse", urllib.request.urlopen(request, timeout=TIMEOUT_S))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _host(url: str) -> str:
    return url.split("/")[2]


def _unreachable(url: str, error: BaseException) -> FetchError:
    name, host = url.rpartition("/")[2], _host(url)
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        msg = _ANSWERS.get(error.code, "{host} answered {code} for {name}. Try again later.")
        return FetchError(msg.format(host=host, name=name, code=error.code))
    reason = getattr(error, "reason", None) or error
    return FetchError(f"{host} cannot be reached ({reason}). Check the network, and run the command again.")


_LIMITED = "{host} refuses {name} ({code}): it limits requests. Try again in an hour."
_ANSWERS = {
    http.client.NOT_FOUND: "{host} has no {name} ({code}): the data set moved. See mclstexp data list.",
    http.client.FORBIDDEN: _LIMITED,
    http.client.TOO_MANY_REQUESTS: _LIMITED,
}


def _unwritable(part: Path, error: OSError) -> FetchError:
    return FetchError(
        f"{part.name.removesuffix('.part')} cannot be written to {part.parent}: {error.strerror}. "
        "What has arrived is kept. Make room or choose another folder, and run the command again."
    )
