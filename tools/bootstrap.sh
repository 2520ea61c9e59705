#!/usr/bin/env bash
# Make .venv and install rabbitry into it, editable; with `test`, what the tests need as well.
#
# Quick when there is nothing to do: a stamp in .venv holds what it was made from (pyproject.toml,
# this directory, the Python version), and no pip runs while that is unchanged. Needs no root. Where
# Debian's Python comes without venv, installs it if that is allowed, and otherwise says the line to
# type. What pip says goes to build/install.log. Exit code 2: the user has to do something.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/root.sh

want=${1:-run}
log=build/install.log
venv_python=.venv/bin/python
trap 'trap - INT; echo "interrupted; the next run goes on from here" >&2; exit 130' INT

stamp_text() {
  echo "$(cksum <pyproject.toml) $("$venv_python" -V 2>/dev/null) $PWD"
}

# A stamp for the tests serves `make up` too: what the tests need contains the package.
is_current() {
  [ -x "$venv_python" ] || return 1
  local stamp text
  text=$(stamp_text)
  for stamp in .venv/installed-test ".venv/installed-$want"; do
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$text" ]; then return 0; fi
  done
  return 1
}

# The first Python that is new enough; a bare `python3` on an older system may have a newer sibling.
find_python() {
  local candidate found=""
  for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
    [ -n "$found" ] || found=$("$candidate" -V 2>/dev/null || true)
  done
  if [ -n "$found" ]; then
    die "rabbitry needs Python 3.11 or newer, here is $found; install a newer one, then: make up PYTHON=python3.12"
  fi
  die "there is no Python here; install it: $(line_to_type python3 python3-venv)"
}

# Debian has the standard library's venv and ensurepip in a package of their own.
need_venv() {
  local python=$1 package
  if "$python" -c 'import venv, ensurepip' 2>/dev/null; then return; fi
  case $python in
    python3.*) package="$python-venv" ;;
    *) package="python3-venv" ;;
  esac
  if ! may_install; then
    die "Python's venv module is missing; install it, then run this again: $(line_to_type "$package")"
  fi
  echo "installing $package (apt-get)"
  if ! { apt update && apt install -y --no-install-recommends "$package"; } >>"$log" 2>&1; then
    die "apt-get could not install $package, its last words are in $log; by hand: $(line_to_type "$package")"
  fi
}

# A .venv is used again unless it is broken, was made with another Python, or was moved.
make_venv() {
  local python=$1 stamp
  local usable=no
  if "$venv_python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    usable=yes
    for stamp in .venv/installed-run .venv/installed-test; do
      [ ! -f "$stamp" ] || [ "$(cut -d' ' -f3- "$stamp")" = "$(stamp_text | cut -d' ' -f3-)" ] || usable=no
    done
  fi
  [ "$usable" = no ] || return 0
  need_venv "$python"
  if ! "$python" -m venv --clear .venv >>"$log" 2>&1; then
    die "cannot make $PWD/.venv with $python, see $log"
  fi
}

# pip before 25.1 does not know [dependency-groups]: the group is read here, for any pip.
test_requirements() {
  "$venv_python" - <<'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["dependency-groups"]["test"], sep="\n")
PYTHON
}

explain_pip_failure() {
  local reason
  if grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError' "$log"; then
    die "pip could not reach its package index; check the network (or PIP_INDEX_URL, https_proxy), then run this again; log: $log"
  fi
  reason=$(grep -iE '(^ *|[a-z])error: .' "$log" | tail -n 1 | sed 's/^ *//; s/^error: //i')
  die "pip could not install into $PWD/.venv: ${reason:-no reason given}; log: $log"
}

install() {
  local arguments=(-e .)
  if [ "$want" = test ]; then
    test_requirements >build/test-requirements.txt
    arguments+=(-r build/test-requirements.txt)
    echo "installing rabbitry and what its tests need into .venv (once; may take a minute)"
  else
    echo "installing rabbitry into .venv (once; may take half a minute)"
  fi
  if ! PIP_RETRIES=${PIP_RETRIES:-2} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 \
    "$venv_python" -m pip install "${arguments[@]}" >>"$log" 2>&1; then
    explain_pip_failure
  fi
  stamp_text >".venv/installed-$want"
}

if is_current; then exit 0; fi
if ! { mkdir -p build && : >"$log"; } 2>/dev/null; then
  die "cannot write in $PWD; make it writable for $(id -un), or clone the repository elsewhere"
fi
python=$(find_python)
make_venv "$python"
install
