#!/bin/sh
# Collects the built wheel and everything it needs in wheelhouse/. Called by `make wheelhouse`.
set -eu

cd "$(dirname "$0")/.."
python=.venv/bin/python

set -- dist/napari_mclstexp-*.whl
[ $# -eq 1 ] && [ -f "$1" ] || {
    echo "Expected one wheel in dist/; run: make wheel" >&2
    exit 1
}

rm -rf wheelhouse
mkdir wheelhouse
"$python" -m pip wheel --disable-pip-version-check --wheel-dir wheelhouse "$1[all]"

made_for=$("$python" -c 'import platform, sys
print("Python %d.%d on %s" % (*sys.version_info[:2], platform.platform(terse=True)),
      platform.machine())')

cat >wheelhouse/README.txt <<END
napari-mclstexp without a network

This folder holds napari-mclstexp and every package it needs, PyQt6 included.
It was made for: $made_for
Use it with the same Python version on the same kind of system; make another
with "make wheelhouse" elsewhere.

Copy the folder to the other machine, and there, beside it:

    python3 -m venv mclstexp-env
    mclstexp-env/bin/pip install --no-index --find-links wheelhouse "napari-mclstexp[all]"
    mclstexp-env/bin/mclstexp --help

On Linux, Qt also needs system libraries; "make demo" in a checkout of the
source installs or names them.
END
echo "wheelhouse/ is ready; see wheelhouse/README.txt"
