"""Writes a `server` line as HAProxy takes it, with every word that is not HAProxy's default.

Owns the order of words. What checks take over from the traffic is written only where it differs.
"""

from __future__ import annotations

from collections.abc import Iterator

from rabbitry.balancer.configuration.addresses import is_unix
from rabbitry.balancer.configuration.model import ServerLine, ServerTls
from rabbitry.balancer.configuration.quoting import address_of, quoted, quoted_bytes, time_of
from rabbitry.machine import Address

_BARE = ServerLine("", Address("", 0))
_NUMBERS = (
    ("rise", "rise"),
    ("fall", "fall"),
    ("weight", "weight"),
    ("maxconn", "maxconn"),
    ("minconn", "minconn"),
    ("maxqueue", "maxqueue"),
    ("error_limit", "error-limit"),
)
_TIMES = (
    ("inter_us", "inter"),
    ("fastinter_us", "fastinter"),
    ("downinter_us", "downinter"),
    ("slowstart_us", "slowstart"),
    ("agent_inter_us", "agent-inter"),
    ("tcp_user_timeout_us", "tcp-ut"),
)
_TEXTS = (
    ("track", "track"),
    ("observe", "observe"),
    ("on_error", "on-error"),
    ("on_marked_down", "on-marked-down"),
    ("on_marked_up", "on-marked-up"),
)
_FLAGS = (("backup", "backup"), ("disabled", "disabled"), ("agent_check", "agent-check"))


def server_words(line: ServerLine, with_id: bool) -> Iterator[str]:
    """The words of a `server` line; its id only if HAProxy would choose another."""
    yield from ("server", line.name, address_of(line.address))
    if with_id and line.id is not None:
        yield from ("id", str(line.id))
    if line.check:
        yield "check"
    for field, word in _NUMBERS:
        if getattr(line, field) != getattr(_BARE, field):
            yield from (word, str(getattr(line, field)))
    for field, word in _TIMES:
        if getattr(line, field) != getattr(_BARE, field):
            yield from (word, time_of(getattr(line, field)))
    for field, word in _TEXTS:
        if getattr(line, field) != getattr(_BARE, field):
            yield from (word, getattr(line, field))
    for field, word in _FLAGS:
        if getattr(line, field):
            yield word
    yield from _elsewhere(line)
    if line.source is not None:
        yield from ("source", address_of(line.source))
    if line.send_proxy:
        yield "send-proxy" if line.send_proxy == 1 else "send-proxy-v2"
    if line.check_send_proxy and not (line.send_proxy and line.check_address is None):
        yield "check-send-proxy"
    for word, value in line.resolving:
        yield from (word, quoted(value))
    yield from _tls(line)


def _elsewhere(line: ServerLine) -> Iterator[str]:
    """Where checks and agents are."""
    if line.check_address is not None:
        yield from ("addr", _host(line.check_address))
        if not is_unix(line.check_address):
            yield from ("port", str(line.check_address.port))
    if line.agent_address is not None:
        yield from ("agent-addr", _host(line.agent_address))
        yield from ("agent-port", str(line.agent_address.port))
    if line.agent_send:
        yield from ("agent-send", quoted_bytes(line.agent_send))


def _host(address: Address) -> str:
    return address_of(Address(address.host, 0))


def _tls(line: ServerLine) -> Iterator[str]:
    tls = line.tls or line.check_tls or line.script_tls
    if tls is None:
        return
    if line.tls is not None:
        yield "ssl"
    taken_over = line.tls is not None and line.check_address is None
    if taken_over and line.check_tls is None:
        yield "no-check-ssl"
    elif not taken_over and line.check_tls is not None:
        yield "check-ssl"
    yield from _tls_settings(tls)
    if line.tls is not None and tls.sni is not None:
        yield from ("sni", quoted(f"str({tls.sni})"))
    if line.tls is not None and tls.alpn:
        yield from ("alpn", quoted(",".join(tls.alpn)))
    if line.check_tls is not None and line.check_tls.sni is not None:
        yield from ("check-sni", quoted(line.check_tls.sni))
    if line.check_tls is not None and line.check_tls.alpn:
        yield from ("check-alpn", quoted(",".join(line.check_tls.alpn)))


def _tls_settings(tls: ServerTls) -> Iterator[str]:
    yield from ("verify", tls.verify)
    for value, word in (
        (tls.ca_file, "ca-file"),
        (tls.crl_file, "crl-file"),
        (tls.certificate, "crt"),
        (tls.verify_host, "verifyhost"),
        (tls.ciphers, "ciphers"),
        (tls.ciphersuites, "ciphersuites"),
        (tls.minimum_version, "ssl-min-ver"),
        (tls.maximum_version, "ssl-max-ver"),
    ):
        if value is not None:
            yield from (word, quoted(value))
    if not tls.tickets:
        yield "no-tls-tickets"
    if not tls.reuse:
        yield "no-ssl-reuse"
