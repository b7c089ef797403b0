"""Whole programs in processes of their own: how napari starts and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from programs import run_program

if TYPE_CHECKING:
    from pathlib import Path


def test_window_before_the_plugin(python: str, tmp_path: Path, bundle: Path, slide: Path) -> None:
    """napari draws first, then the dock is opened: the order of every user.

    With Mesa's software OpenGL in the process, importing triton (which torchvision does by way of
    torch._dynamo) ended in a segmentation fault: two LLVMs met.
    """
    done = run_program(
        python,
        tmp_path,
        """
        import sys
        import napari
        from qtpy.QtTest import QTest

        viewer = napari.Viewer(show=True)
        QTest.qWait(500)
        _, dock = viewer.window.add_plugin_dock_widget("napari-mclstexp")
        viewer.open(sys.argv[1], plugin="napari-mclstexp")
        QTest.qWait(500)
        assert dock.slide_panel.mpp.text() == "0.5"
        viewer.close()
        """,
        slide,
    )
    assert done.returncode == 0, done.stderr[:3000]
    assert "Warning" not in done.stderr


def test_closed_in_mid_run(python: str, tmp_path: Path, bundle: Path, slide: Path) -> None:
    """napari's own event loop; the window is closed while it predicts, and the program ends."""
    done = run_program(
        python,
        tmp_path,
        """
        import sys
        import napari
        from qtpy.QtCore import Qt, QTimer
        from qtpy.QtTest import QTest

        viewer = napari.Viewer(show=True)
        viewer.window.resize(1500, 950)
        _, dock = viewer.window.add_plugin_dock_widget("napari-mclstexp")
        viewer.open(sys.argv[1], plugin="napari-mclstexp")
        form = dock.predict_panel.form
        line = form.bundle.line_edit.native
        line.selectAll()
        QTest.keyClicks(line, sys.argv[2])
        QTest.keyClicks(form.grid.native, "Hex")
        box = form.pitch_um.native
        box.selectAll()
        QTest.keyClicks(box, "5")
        QTest.keyClick(box, Qt.Key.Key_Tab)
        assert form.pitch_um.value == 5, form.pitch_um.value
        QTimer.singleShot(500, lambda: dock.predict_panel.predict_button.click())

        def close_in_mid_run():
            progress = dock.session.job.progress
            if progress is not None and progress.done > 100:
                print("closing", progress.done, progress.total, flush=True)
                timer.stop()
                viewer.close()

        timer = QTimer()
        timer.timeout.connect(close_in_mid_run)
        timer.start(50)
        QTimer.singleShot(90_000, lambda: sys.exit("it did not start"))
        napari.run()
        print("ended")
        """,
        slide,
        bundle,
    )
    assert done.returncode == 0, done.stderr[:3000]
    assert "closing" in done.stdout
    assert "ended" in done.stdout
    for word in ("Traceback", "QThread", "Fatal"):
        assert word not in done.stderr, done.stderr[:3000]


def test_closed_while_a_worker_tells_of_its_end(python: str, tmp_path: Path, slide: Path) -> None:
    """Spots are counted beside the window; each count takes long from its last line to its end."""
    done = run_program(
        python,
        tmp_path,
        """
        import sys
        import time

        import napari
        from qtpy.QtTest import QTest
        from superqt.utils._qthreading import FunctionWorker

        work = FunctionWorker.work

        def slowly(self):
            outcome = work(self)
            time.sleep(0.4)
            return outcome

        FunctionWorker.work = slowly
        viewer = napari.Viewer(show=True)
        QTest.qWait(300)
        _, dock = viewer.window.add_plugin_dock_widget("napari-mclstexp")
        viewer.open(sys.argv[1], plugin="napari-mclstexp")
        QTest.qWait(200)
        viewer.close()
        print("closed")
        """,
        slide,
    )
    assert done.returncode == 0, done.stderr[:3000]
    assert "closed" in done.stdout
    assert "Traceback" not in done.stderr
