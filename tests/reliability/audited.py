"""A whole session of the window, with every connection and look-up of the process counted.

    python -m tests.reliability.audited FOLDER

It needs a display. Prints JSON: what was heard in all, what went beyond this computer, what was exported.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request")
heard: list[str] = []
outside: list[str] = []


def listen(event: str, given: tuple) -> None:
    """Note what is asked of the network, and whether it leaves this computer."""
    if event not in EVENTS:
        return
    heard.append(event)
    address = given[1] if event in ("socket.connect", "socket.sendto") else given[0]
    if isinstance(address, (str, bytes)) and event in ("socket.connect", "socket.sendto"):
        return  # the path of a local socket
    host = address[0] if isinstance(address, tuple) else address
    if not is_this_computer(host):
        outside.append(f"{event}: {host!r}")


def is_this_computer(host: object) -> bool:
    """Whether a host is the loopback."""
    with suppress(ValueError):
        return ipaddress.ip_address(str(host)).is_loopback
    return host in (None, "", "localhost")


def probe() -> None:
    """Ask the loopback, so that a hook that is deaf is found out."""
    with socket.socket() as one, suppress(OSError):
        one.connect(("127.0.0.1", 9))


def session(folder: Path) -> bool:
    """Open, predict, gene, domains, export, close; whether the export is there."""
    import napari

    from .cycles import wait
    from .goods import Goods

    goods = Goods(folder / "good")
    viewer = napari.Viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-mclstexp", "Spatial expression")
    state, panel = dock.session, dock.predict_panel
    viewer.open(goods.slide("tiff"), plugin="napari-mclstexp")
    panel.form.bundle.value, panel.form.grid.value, panel.form.pitch_um.value = (
        goods.small_bundle,
        "pitch",
        20.0,
    )
    wait(lambda: panel.predict_button.isEnabled() and not state.job.running, "a slide to predict")
    panel.predict_button.click()
    wait(lambda: state.result is not None and not state.job.running, "a prediction")
    state.set_gene(state.result.genes[1])
    dock.domain_panel.find.click()
    wait(lambda: not state.job.running, "domains")
    target = folder / "spots.csv"
    dock.export_panel.path.setText(str(target))
    dock.export_panel.export_button.click()
    wait(lambda: target.exists() and not state.job.running, "an export")
    viewer.close()
    return target.stat().st_size > 0


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for name in ("NAPARI_CONFIG", "MCLSTEXP_DATA", "MCLSTEXP_CACHE"):
        os.environ[name] = str(place / name.lower() / "settings.yaml")
    sys.addaudithook(listen)
    probe()
    done = session(place)
    print(json.dumps({"heard": len(heard), "outside": outside, "exported": done}))
