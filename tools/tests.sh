#!/bin/sh
# Runs the tests on two cores: those of the window in one process, those of cohorts and of writing after it, all
# others in another beside them.
#
#   tools/tests.sh PYTHON [PYTEST ARGUMENTS]
#
# The others' output comes last. Exit 0 where both pass; no test chosen (pytest's 5) is no failure.
set -u

cd "$(dirname "$0")/.."
python=$1
shift
others=$(mktemp)
trap 'rm -f "$others"' EXIT
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
unset PYTHONDONTWRITEBYTECODE  # hundreds of processes are started, and would each compile our modules

passed() { [ "$1" -eq 0 ] || [ "$1" -eq 5 ]; }

sh tools/setup.sh display "$python" -m pytest tests \
  --ignore=tests/gui --ignore=tests/cohort --ignore=tests/writing "$@" >"$others" 2>&1 &
pid=$!
sh tools/setup.sh display "$python" -m pytest tests/gui "$@"
window=$?
sh tools/setup.sh display "$python" -m pytest tests/cohort tests/writing "$@"
after=$?
wait "$pid"
rest=$?
cat "$others"
passed "$window" && passed "$after" && passed "$rest"
