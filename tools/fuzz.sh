#!/bin/sh
# Fuzzes the readers one after the other, each for FUZZ_SECONDS (60).
#
#   tools/fuzz.sh PYTHON
#
# Exit 1 where one ends in an error that is not typed; what led to it lies in build/fuzz/crash-...
set -u

cd "$(dirname "$0")/.."
python=$1
seconds=${FUZZ_SECONDS:-60}
failed=0
"$python" -c "import atheris" 2>/dev/null || {
    echo "atheris is not installed: pip install -e '.[fuzz]' (Linux, CPython 3.11 to 3.13)." >&2
    exit 2
}
for reader in slide bundle specification regions; do
    "$python" -m tests.fuzz.readers "$reader" "$seconds" build/fuzz || failed=1
done
exit "$failed"
