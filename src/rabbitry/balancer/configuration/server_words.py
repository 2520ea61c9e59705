"""`server` and `default-server` lines (configuration.txt 5.2, server.c, check.c, cfgparse-ssl.c).

Owns their words and how they are folded into a `ServerLine`: `default-server` beneath, `addr` and
`port` over the server's own address, `ssl` over checks. Where servers are tracked is checked when
all sections are known (`assembling`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rabbitry.balancer.configuration import tls_words
from rabbitry.balancer.configuration.addresses import is_unix, read_host, read_server_address
from rabbitry.balancer.configuration.lexer import (
    Mistake,
    argument,
    as_bytes,
    hint,
    read_choice,
    read_name,
    read_number,
    read_time_us,
)
from rabbitry.balancer.configuration.model import ServerLine, ServerTls
from rabbitry.balancer.configuration.sections import Reading, ServerDraft, changed
from rabbitry.machine import Address

SERVERS_MAX = 10_000

_INTEGER_MAX = 2**31 - 1
_IGNORED = {
    "tfo": 0, "no-tfo": 0, "stick": 0, "non-stick": 0, "max-reuse": 1, "pool-low-conn": 1,
    "pool-max-conn": 1, "pool-purge-delay": 1, "log-proto": 1, "ws": 1, "cookie": 1,
}  # fmt: skip
_WHY_IGNORED = {
    "cookie": "it is about HTTP",
    "ws": "it is about HTTP",
}
REFUSED = {
    "check-proto": "is about HTTP: remove it",
    "proto": "is about HTTP: remove it",
    "redir": "is about HTTP: remove it",
    "check-via-socks4": "is not carried out: give an address that is reached directly",
    "socks4": "is not carried out: give an address that is reached directly",
    "namespace": "is not carried out: start the balancer in that network namespace",
    "usesrc": "is not carried out: servers see the balancer's address; use send-proxy-v2",
    "interface": "is not carried out: write 'source' with the address of that interface",
    "proxy-v2-options": "is not carried out: remove it",
    "send-proxy-v2-ssl": "is not carried out: use send-proxy-v2",
    "send-proxy-v2-ssl-cn": "is not carried out: use send-proxy-v2",
    "force-sslv3": "is not had any more: remove it",
    "npn": "is not had any more: use alpn",
}
_OF_ONE_SERVER = ("id", "no-tlsv10", "no-tlsv11", "no-tlsv12", "no-tlsv13")

Word = Callable[[Reading, ServerDraft, str], ServerDraft]


def _line(**changes: object) -> Word:
    """A word without an argument that changes the line."""

    def carry_out(reading: Reading, draft: ServerDraft, _: str) -> ServerDraft:
        return replace(draft, line=changed(draft.line, **changes))

    return carry_out


def _draft(**changes: object) -> Word:
    """A word without an argument that changes what is folded in at the end."""

    def carry_out(reading: Reading, draft: ServerDraft, _: str) -> ServerDraft:
        return changed(draft, **changes)

    return carry_out


def _number(field: str, least: int, most: int = _INTEGER_MAX, *, none: int | None = None) -> Word:
    """A word with a number; the number `none` is kept as None."""

    def carry_out(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
        number = read_number(value, least, most)
        kept = None if number == none else number
        return replace(draft, line=changed(draft.line, **{field: kept}))

    return carry_out


def _time(field: str, *, or_none: bool = False, smallest_unit: str = "ms") -> Word:
    """A word with a time, which is more than 0 unless `or_none`: then 0 is None."""

    def carry_out(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
        time_us = read_time_us(value, smallest_unit=smallest_unit)
        if not time_us and not or_none:
            raise Mistake(value, "is no time between checks: give more than 0")
        return replace(draft, line=changed(draft.line, **{field: time_us or None}))

    return carry_out


def _choice(field: str, *choices: str) -> Word:
    def carry_out(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
        chosen = read_choice(value, choices)
        return replace(draft, line=changed(draft.line, **{field: chosen}))

    return carry_out


def _no_send_proxy(version: int) -> Word:
    def carry_out(reading: Reading, draft: ServerDraft, _: str) -> ServerDraft:
        if draft.line.send_proxy != version:
            return draft
        return replace(draft, line=replace(draft.line, send_proxy=0))

    return carry_out


def _tls(field: str) -> Word:
    """A word about TLS whose argument is kept as it is."""

    def carry_out(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
        return replace(draft, tls=changed(draft.tls, **{field: value}))

    return carry_out


def _file(field: str) -> Word:
    def carry_out(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
        process = reading.process
        folder = process.certificates_in if field == "certificate" else process.authorities_in
        path = tls_words.place_file(value, folder)
        return replace(draft, tls=changed(draft.tls, **{field: path}))

    return carry_out


def _verify(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    verify = read_choice(value, ("none", "required"))
    return replace(draft, tls=replace(draft.tls, verify=verify))


def _sni(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    """HAProxy takes an expression; of those, a literal is understood: `str(NAME)`."""
    name = value[4:-1] if value.startswith("str(") and value.endswith(")") else ""
    if not name or any(char in name for char in "(),'\""):
        raise Mistake(value, "is not a name known beforehand: write str(NAME)")
    return replace(draft, tls=replace(draft.tls, sni=name))


def _check_sni(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    return replace(draft, check_sni=value)


def _alpn(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    return replace(draft, tls=replace(draft.tls, alpn=tls_words.read_protocols(value)))


def _check_alpn(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    return replace(draft, check_alpn=tls_words.read_protocols(value))


def _reuse(whether: bool) -> Word:
    def carry_out(reading: Reading, draft: ServerDraft, _: str) -> ServerDraft:
        return replace(draft, tls=replace(draft.tls, reuse=whether))

    return carry_out


def _version(word: str) -> Word:
    def carry_out(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
        return replace(draft, tls=tls_words.version_word(draft.tls, word, value))

    return carry_out


def _addr(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    return replace(draft, addr=read_host(value, reading.environment).host)


def _port(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    return replace(draft, port=read_number(value, 0, 65535))


def _agent_addr(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    address = read_host(value, reading.environment)
    if address.port:
        raise Mistake(value, "has a port: write that behind 'agent-port'")
    return replace(draft, agent_addr=address.host)


def _agent_port(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    return replace(draft, agent_port=read_number(value, 0, 65535))


def _agent_send(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    return replace(draft, line=replace(draft.line, agent_send=as_bytes(value)))


def _source(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    return replace(draft, line=replace(draft.line, source=read_host(value, reading.environment)))


def _track(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    return replace(draft, line=replace(draft.line, track=value))


def _resolving(word: str) -> Word:
    """A word on how HAProxy looks names up: kept, for a rendered file, and not carried out."""

    def carry_out(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
        reading.warn(word, "is ignored: names are looked up by the system at each connect")
        kept = tuple(each for each in draft.line.resolving if each[0] != word)
        return replace(draft, line=replace(draft.line, resolving=(*kept, (word, value))))

    return carry_out


def _observe(reading: Reading, draft: ServerDraft, value: str) -> ServerDraft:
    if value == "layer7":
        raise Mistake(value, "is about HTTP: write layer4")
    observe = read_choice(value, ("none", "layer4"))
    return replace(draft, line=replace(draft.line, observe="" if observe == "none" else observe))


_FLAGS: dict[str, Word] = {
    "check": _line(check=True),
    "no-check": _line(check=False),
    "agent-check": _line(agent_check=True),
    "no-agent-check": _line(agent_check=False),
    "backup": _line(backup=True),
    "no-backup": _line(backup=False),
    "disabled": _line(disabled=True),
    "enabled": _line(disabled=False),
    "send-proxy": _line(send_proxy=1),
    "send-proxy-v2": _line(send_proxy=2),
    "no-send-proxy": _no_send_proxy(1),
    "no-send-proxy-v2": _no_send_proxy(2),
    "check-send-proxy": _line(check_send_proxy=1),
    "no-check-send-proxy": _line(check_send_proxy=0),
    "check-ssl": _draft(check_ssl=True),
    "no-check-ssl": _draft(check_ssl=False),
    "ssl": _draft(ssl=True),
    "no-ssl": _draft(ssl=False),
}
_FLAGS.update({"ssl-reuse": _reuse(True), "no-ssl-reuse": _reuse(False)})
_FLAGS.update(
    (word, _version(word)) for word in tls_words.VERSION_WORDS if not word.startswith("ssl-")
)
_ARGUMENTS: dict[str, tuple[str, Word]] = {
    "inter": ("a time", _time("inter_us")),
    "fastinter": ("a time", _time("fastinter_us")),
    "downinter": ("a time", _time("downinter_us")),
    "agent-inter": ("a time", _time("agent_inter_us")),
    "slowstart": ("a time", _time("slowstart_us", or_none=True, smallest_unit="s")),
    "tcp-ut": ("a time", _time("tcp_user_timeout_us", or_none=True)),
    "rise": ("a number", _number("rise", 1)),
    "fall": ("a number", _number("fall", 1)),
    "weight": ("a number", _number("weight", 0, 256)),
    "maxconn": ("a number", _number("maxconn", 0, none=0)),
    "minconn": ("a number", _number("minconn", 0, none=0)),
    "maxqueue": ("a number", _number("maxqueue", 0, none=0)),
    "error-limit": ("a number", _number("error_limit", 1)),
    "id": ("a number", _number("id", 1)),
    "addr": ("an address", _addr),
    "port": ("a port", _port),
    "agent-addr": ("an address", _agent_addr),
    "agent-port": ("a port", _agent_port),
    "agent-send": ("a text", _agent_send),
    "source": ("an address", _source),
    "track": ("[BACKEND/]SERVER", _track),
    "observe": ("layer4", _observe),
    "on-error": (
        "fastinter, fail-check, sudden-death or mark-down",
        _choice("on_error", "fastinter", "fail-check", "sudden-death", "mark-down"),
    ),
    "on-marked-down": ("shutdown-sessions", _choice("on_marked_down", "shutdown-sessions")),
    "on-marked-up": (
        "shutdown-backup-sessions",
        _choice("on_marked_up", "shutdown-backup-sessions"),
    ),
    "crt": ("a file", _file("certificate")),
    "ca-file": ("a file", _file("ca_file")),
    "crl-file": ("a file", _file("crl_file")),
    "verify": ("none or required", _verify),
    "verifyhost": ("a name", _tls("verify_host")),
    "ciphers": ("ciphers", _tls("ciphers")),
    "ciphersuites": ("ciphersuites", _tls("ciphersuites")),
    "sni": ("str(NAME)", _sni),
    "check-sni": ("a name", _check_sni),
    "alpn": ("protocols", _alpn),
    "check-alpn": ("protocols", _check_alpn),
    "ssl-min-ver": ("a version", _version("ssl-min-ver")),
    "ssl-max-ver": ("a version", _version("ssl-max-ver")),
}
_ARGUMENTS.update(
    (word, ("an argument", _resolving(word)))
    for word in ("init-addr", "resolvers", "resolve-prefer", "resolve-net", "resolve-opts")
)
KNOWN = (*_FLAGS, *_ARGUMENTS)


def server(reading: Reading, words: list[str]) -> None:
    """A `server` line."""
    section = reading.here
    name = read_name(argument(words, 1, "a name"))
    address = read_server_address(argument(words, 2, "HOST:PORT"), reading.environment)
    if len(section.servers) >= SERVERS_MAX:
        raise Mistake(name, f"is one server too many: {SERVERS_MAX} are the most")
    default = _with_defaults(section.settings.server, reading.process.server_tls)
    line = replace(default.line, name=name, address=address, source=section.settings.source)
    line = replace(line, place=reading.where(reading.place))
    draft = _words(reading, words, 3, replace(default, line=line))
    verify = reading.process.verify_servers
    tls = replace(draft.tls, verify=draft.tls.verify or verify)
    section.servers.append((folded(draft, verify), reading.place, tls))


def default_server(reading: Reading, words: list[str]) -> None:
    """A `default-server` line: what the servers below it begin with."""
    section = reading.here
    section.set(server=_words(reading, words, 1, section.settings.server))


def _words(reading: Reading, words: list[str], at: int, draft: ServerDraft) -> ServerDraft:
    by_default = words[0] == "default-server"
    while at < len(words):
        word = words[at]
        at += 1
        if by_default and word in _OF_ONE_SERVER:
            raise Mistake(word, "is of one server: write it on its 'server' line")
        if word in REFUSED:
            raise Mistake(word, REFUSED[word])
        ignored = _IGNORED.get(word, tls_words.IGNORED_WORDS.get(word, -1))
        if ignored >= 0:
            if ignored:
                argument(words, at, f"an argument (of '{word}')")
            why = _WHY_IGNORED.get(word, "it tunes HAProxy's inside")
            reading.warn(word, f"is ignored: {why}")
            at += ignored
            continue
        if word in tls_words.READ_IN_VAIN:
            reading.warn(word, f"is ignored: {tls_words.READ_IN_VAIN[word]}")
        if word in _FLAGS:
            draft = _FLAGS[word](reading, draft, "")
        elif word in _ARGUMENTS:
            what, carry_out = _ARGUMENTS[word]
            if at >= len(words) or not words[at]:
                raise Mistake(word, f"needs {what} behind it: add it")
            draft = carry_out(reading, draft, words[at])
            at += 1
        else:
            raise Mistake(word, f"is not known on a 'server' line: {hint(word, KNOWN)}")
    return draft


def _with_defaults(draft: ServerDraft, defaults: ServerTls) -> ServerDraft:
    """Fill in what `ssl-default-server-...` says and no `default-server` line has said."""
    tls = draft.tls
    filled = replace(
        tls,
        ciphers=tls.ciphers or defaults.ciphers,
        ciphersuites=tls.ciphersuites or defaults.ciphersuites,
        minimum_version=tls.minimum_version or defaults.minimum_version,
        maximum_version=tls.maximum_version or defaults.maximum_version,
        tickets=tls.tickets and defaults.tickets,
    )
    return replace(draft, tls=filled)


def folded(draft: ServerDraft, verify: str) -> ServerLine:
    """Make the line of a draft. `verify` is what `ssl-server-verify` says."""
    line = draft.line
    if line.check and line.track is not None:
        raise Mistake("track", "stands beside 'check': a server is checked or follows another")
    if line.agent_check and not (draft.agent_port or draft.port):
        raise Mistake("agent-check", "has no port: write 'agent-port PORT'")
    minconn, maxconn = line.minconn or 0, line.maxconn or 0
    if minconn >= maxconn:
        minconn, maxconn = 0, minconn
    line = replace(
        line,
        minconn=minconn or None,
        maxconn=maxconn or None,
        check_address=_elsewhere(line.address, draft.addr, draft.port),
    )
    line = _with_tls(line, draft, verify)
    if not line.agent_check:
        return line
    agent = Address(
        draft.agent_addr or draft.addr or line.address.host, draft.agent_port or draft.port
    )
    return replace(line, agent_address=agent)


def _elsewhere(address: Address, addr: str | None, port: int) -> Address | None:
    """Where checks go, if not where the traffic goes."""
    if addr is None and not port:
        return None
    host = addr if addr is not None else address.host
    if is_unix(Address(host, 0)):
        return Address(host, 0)
    return Address(host, port or address.port)


def _with_tls(line: ServerLine, draft: ServerDraft, verify: str) -> ServerLine:
    """Fold in TLS and the PROXY protocol, which checks take over unless they go elsewhere."""
    alike = line.check_address is None
    send_proxy = line.check_send_proxy or (line.send_proxy if alike else 0)
    if send_proxy and line.send_proxy == 2:
        send_proxy = 2
    encrypted = draft.check_ssl if draft.check_ssl is not None else draft.ssl and alike
    if not draft.ssl and not encrypted:
        return replace(line, check_send_proxy=send_proxy)
    tls = replace(draft.tls, verify=draft.tls.verify or verify)
    if tls.verify == "required" and tls.ca_file is None:
        raise Mistake(
            "ssl", "has nobody to trust: write 'ca-file FILE', or 'verify none' if you must"
        )
    tls_words.versions_in_order(tls.minimum_version, tls.maximum_version)
    checks = replace(tls, sni=draft.check_sni or None, alpn=draft.check_alpn)
    return replace(
        line,
        tls=tls if draft.ssl else None,
        check_tls=checks if encrypted else None,
        check_send_proxy=send_proxy,
    )
