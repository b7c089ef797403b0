#!/bin/sh
# Runs the tests on two cores: those of the window in one process, all others in another beside it.
#
#   tools/tests.sh PYTHON [PYTEST ARGUMENTS]
#
# Their output follows the window's. Exit 0 where both pass; no test chosen (pytest's 5) is no failure.
set -u

cd "$(dirname "$0")/.."
python=$1
shift
others=$(mktemp)
trap 'rm -f "$others"' EXIT
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
unset PYTHONDONTWRITEBYTECODE  # hundreds of processes are started, and would each compile our modules

passed() { [ "$1" -eq 0 ] || [ "$1" -eq 5 ]; }

sh tools/setup.sh display "$python" -m pytest tests --ignore=tests/gui "$@" >"$others" 2>&1 &
pid=$!
sh tools/setup.sh display "$python" -m pytest tests/gui "$@"
window=$?
wait "$pid"
rest=$?
cat "$others"
passed "$window" && passed "$rest"
