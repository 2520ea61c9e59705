#!/usr/bin/env bash
# Run every check and every test. All of them run, whatever fails first; pytest's closing line comes
# last unless a check before it has failed.
#
# WORKERS: how many processes the tests are spread over (0: none, one after another in one).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=()
check() {
  echo "== $*"
  ".venv/bin/$1" "${@:2}" || failed+=("$*")
}

check ruff check
check ruff format --check
check mypy --strict
echo "== pytest"
.venv/bin/python -m pytest -rs --durations=15 -n "${WORKERS:-3}" --dist worksteal
tests=$?  # 5 where nothing was executed: not a success
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
exit $tests
