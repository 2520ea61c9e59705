#!/usr/bin/env bash
# Install the programs that some tests need: RabbitMQ, HAProxy and the AMQP 0-9-1 XML, with which they
# compare, and a C compiler, for the disk that fails (tests/support/faulty_disk.c).
#
# Only where this is allowed (Debian's apt-get, root or sudo without a password, not APT=no), and no
# service of them is started or left enabled: the tests run their own. Says plainly what is left out
# otherwise and succeeds: the tests concerned are skipped, and pytest lists them with the reason.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/root.sh

policy=/usr/sbin/policy-rc.d
log=build/install-test-programs.log
PATH=$PATH:/usr/sbin:/sbin

missing=()
command -v rabbitmq-server >/dev/null || missing+=(rabbitmq-server)
command -v haproxy >/dev/null || missing+=(haproxy)
[ -n "$(find /usr/share/amqp* -name 'amqp0-9-1*.xml' 2>/dev/null)" ] || missing+=(amqp-specs)
[ ${#missing[@]} -gt 0 ] || exit 0
command -v cc >/dev/null || command -v gcc >/dev/null || missing+=(gcc libc6-dev)
new_epmd=()
command -v epmd >/dev/null || new_epmd=(epmd.service epmd.socket)

left_out() {
  echo "left out: ${missing[*]} ($1); the tests that need them are skipped. To have them: $(line_to_type "${missing[@]}")"
  exit 0
}

# What Debian's maintainer scripts ask before they start a service; 101 means no.
forbid_services() {
  [ ! -e "$policy" ] || return 0
  trap 'as_root rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
}

# With systemd, a package enables its service for the next boot; nobody asked for that here. Erlang's
# epmd is left alone where Erlang was there before.
disable_services() {
  [ -d /run/systemd/system ] || return 0
  local package services=()
  for package in "${missing[@]}"; do
    case $package in
      rabbitmq-server) services+=(rabbitmq-server.service "${new_epmd[@]}") ;;
      haproxy) services+=(haproxy.service) ;;
    esac
  done
  [ ${#services[@]} -eq 0 ] || as_root systemctl disable --now "${services[@]}" >>"$log" 2>&1 || true
}

may_install || left_out "$([ "${APT:-yes}" = yes ] && echo "no right to install packages here" || echo "APT=$APT")"
mkdir -p build
echo "installing ${missing[*]} (apt-get; services stay off)"
forbid_services
if ! { apt update && apt install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  left_out "apt-get failed, see $log"
fi
disable_services
