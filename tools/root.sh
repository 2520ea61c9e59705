# Sourced by the other scripts: how they become root, and how they end with an error.

# Say one line and end; 2 is this project's exit code for "the user can do something about it".
die() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# True where system packages may be installed: Debian's tools, and root or sudo without a password.
may_install() {
  [ "${APT:-yes}" = yes ] && command -v apt-get >/dev/null && as_root true 2>/dev/null
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@"
}

# The line to type for installing packages: with sudo where there is one. (`su -`, since without the
# dash Debian's su keeps a PATH in which dpkg does not find its tools.)
line_to_type() {
  if [ "$(id -u)" = 0 ]; then
    echo "apt-get update && apt-get install -y $*"
  elif command -v sudo >/dev/null; then
    echo "sudo apt-get update && sudo apt-get install -y $*"
  else
    echo "su - -c 'apt-get update && apt-get install -y $*'"
  fi
}
