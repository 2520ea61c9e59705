"""Writes a `Configuration` as HAProxy 2.6 takes it: one file, no `defaults`, everything said.

Owns the text; `server_rendering` has the `server` lines. What it means is the same: read again, it
gives an equal `Configuration`, but for what is ours and not HAProxy's: `mode amqp` becomes `mode
tcp`, and `option amqp-check` the script that comes nearest, an AMQP protocol header to which a
broker must answer. A comment says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from rabbitry.balancer.configuration.addresses import is_unix
from rabbitry.balancer.configuration.assembling import numbers_of
from rabbitry.balancer.configuration.model import (
    REDISPATCH_ON_LAST_RETRY,
    BackendSection,
    Balance,
    BindLine,
    BindTls,
    CertificateList,
    CheckStep,
    Configuration,
    FrontendSection,
    Global,
    Keepalive,
    LogTarget,
    StatisticsPage,
)
from rabbitry.balancer.configuration.quoting import address_of, quoted, quoted_bytes, time_of
from rabbitry.balancer.configuration.server_rendering import server_words
from rabbitry.machine import Address

_ADMINS = {"always": "TRUE", "localhost": "LOCALHOST"}
_FRONT_OPTIONS = (
    *("dontlognull", "dontlog_normal", "logasap", "log_separate_errors"),
    "socket_stats",
)
_BACK_OPTIONS = ("log_health_checks", "abortonclose")
_BOTH_OPTIONS = ("independent_streams", "nolinger")
_FRONT_TIMEOUTS = ("client", "client_fin")
_BACK_TIMEOUTS = ("connect", "server", "server_fin", "queue", "check", "tunnel")
_BARE_BIND = BindLine(Address("", 0))
AMQP_HEADER = b"AMQP\0\0\x09\x01"
_AMQP_SCRIPT = (
    "# option amqp-check is Rabbitry's: for HAProxy, a broker must answer a protocol header",
    "option tcp-check",
    "tcp-check connect",
    f"tcp-check send-binary {AMQP_HEADER.hex()}",
    "tcp-check expect binary 010000",
)


def render(configuration: Configuration) -> str:
    """Write the configuration in HAProxy's language, with the passwords that are in it."""
    proxies = configuration.proxies
    own = 0 if _has_own_proxy(configuration.process) else None
    numbers = [_number(front, back) for front, back in proxies]
    with_ids = numbers != numbers_of([None] * len(proxies), own)
    texts = ["\n    ".join(["global", *_global(configuration.process)])]
    if configuration.resolvers:
        texts.append("\n".join(_resolvers(configuration.resolvers)))
    for (front, back), number in zip(proxies, numbers, strict=True):
        lines = [f"id {number}"] if with_ids else []
        texts.append("\n    ".join([_head(front, back), *lines, *_proxy(front, back)]))
    return "\n\n".join(texts) + "\n"


def _resolvers(lines: tuple[tuple[str, ...], ...]) -> Iterator[str]:
    for words in lines:
        indent = "" if words[0] == "resolvers" else "    "
        yield indent + " ".join(map(quoted, words))


def _number(front: FrontendSection | None, back: BackendSection | None) -> int:
    section = front or back
    assert section is not None
    return section.number


def _head(front: FrontendSection | None, back: BackendSection | None) -> str:
    if front is not None and back is not None:
        return f"listen {front.name}"
    if front is not None:
        return f"frontend {front.name}"
    assert back is not None
    return f"backend {back.name}"


# --- global -----------------------------------------------------------------------------------


def _has_own_proxy(process: Global) -> bool:
    """Whether a line here makes the proxy of the runtime sockets, which counts as one."""
    bare = Global()
    return bool(process.runtime_sockets) or (
        (process.runtime_timeout_us, process.runtime_maxconn)
        != (bare.runtime_timeout_us, bare.runtime_maxconn)
    )


def _global(process: Global) -> Iterator[str]:
    for word, value in (
        ("maxconn", process.maxconn),
        ("maxconnrate", process.connections_per_s),
        ("maxsessrate", process.sessions_per_s),
        ("nbthread", process.processes if process.processes != 1 else None),
        ("spread-checks", process.spread_checks_percent or None),
    ):
        if value is not None:
            yield f"{word} {value}"
    if process.daemon:
        yield "daemon"
    for word, name in (("user", process.user), ("group", process.group)):
        if name is not None:
            yield f"{_id_word(word, name)} {quoted(name)}"
    for word, text in (
        ("pidfile", process.pidfile),
        ("node", process.node),
        ("description", process.description),
        ("log-tag", process.log_tag if process.log_tag != Global().log_tag else None),
    ):
        if text is not None:
            yield f"{word} {quoted(text)}"
    if process.log_send_hostname is not None:
        yield f"log-send-hostname {quoted(process.log_send_hostname)}".removesuffix(' ""')
    for word, time_us in (
        ("hard-stop-after", process.hard_stop_after_us),
        ("max-spread-checks", process.max_spread_checks_us),
    ):
        if time_us is not None:
            yield f"{word} {time_of(time_us)}"
    yield from map(_log, process.log_targets)
    for each in process.runtime_sockets:
        yield f"stats socket {' '.join(_bind_words(each.bind, of_runtime=True))}"
    if process.runtime_timeout_us != Global().runtime_timeout_us:
        yield f"stats timeout {time_of(process.runtime_timeout_us)}"
    if process.runtime_maxconn != Global().runtime_maxconn:
        yield f"stats maxconn {process.runtime_maxconn}"


def _id_word(word: str, name: str) -> str:
    """`uid` or `gid` where a user or group is a number."""
    return {"user": "uid", "group": "gid"}[word] if name.isdigit() else word


def _log(target: LogTarget) -> str:
    where = target.stream if target.address is None else address_of(target.address)
    words = ["log", where, "len", str(target.length_bytes)]
    if target.format:
        words += ["format", target.format]
    return " ".join([*words, target.facility, target.level, target.minimum_level])


# --- proxies ----------------------------------------------------------------------------------


def _proxy(front: FrontendSection | None, back: BackendSection | None) -> Iterator[str]:
    section = front or back
    assert section is not None
    if section.mode == "amqp":
        yield "# mode amqp is Rabbitry's"
    yield f"mode {'http' if section.mode == 'http' else 'tcp'}"
    if section.description is not None:
        yield f"description {quoted(section.description)}"
    if section.disabled:
        yield "disabled"
    if section.log_tag is not None:
        yield f"log-tag {quoted(section.log_tag)}"
    yield from map(_log, section.log_targets)
    for field in _BOTH_OPTIONS:
        if getattr(section, field):
            yield _option(field)
    if section.statistics is not None:
        yield from _page(section.statistics)
    if front is not None:
        yield from _front(front)
        if front.default_backend is not None and (
            back is None or front.default_backend != back.name
        ):
            yield f"default_backend {front.default_backend}"
    if back is not None:
        yield from _back(back)


def _option(field: str) -> str:
    return f"option {field.replace('_', '-')}"


def _front(front: FrontendSection) -> Iterator[str]:
    for bind in front.binds:
        yield f"bind {' '.join(_bind_words(bind))}"
    yield f"maxconn {front.maxconn}"
    if front.backlog is not None:
        yield f"backlog {front.backlog}"
    if front.sessions_per_s is not None:
        yield f"rate-limit sessions {front.sessions_per_s}"
    yield from _timeouts(front, _FRONT_TIMEOUTS)
    if front.tcplog:
        lines = {"": "tcplog", "http": "httplog", "clf": "httplog clf"}
        yield f"option {lines[front.http_lines]}"
    for field in _FRONT_OPTIONS:
        if getattr(front, field):
            yield _option(field)
    yield from _keepalive(front.keepalive, "clitcpka")
    if front.metrics is not None:
        fetch = "path_beg" if front.metrics.is_prefix else "path"
        where = " ".join([fetch, *map(quoted, front.metrics.paths)])
        condition = f" if {{ {where} }}" if front.metrics.paths else ""
        yield f"http-request use-service prometheus-exporter{condition}"


def _back(back: BackendSection) -> Iterator[str]:
    yield from _balance(back.balance)
    yield f"retries {back.retries}"
    if back.redispatch is not None:
        every = "" if back.redispatch == REDISPATCH_ON_LAST_RETRY else f" {back.redispatch}"
        yield f"option redispatch{every}"
    if back.all_backups:
        yield "option allbackups"
    if back.fullconn is not None:
        yield f"fullconn {back.fullconn}"
    yield from _timeouts(back, _BACK_TIMEOUTS)
    for field in _BACK_OPTIONS:
        if getattr(back, field):
            yield _option(field)
    yield from _keepalive(back.keepalive, "srvtcpka")
    if back.check == "amqp":
        yield from _AMQP_SCRIPT
    elif back.check == "tcp-check":
        yield "option tcp-check"
        yield from (" ".join(_step_words(step)) for step in back.check_steps)
    ids = [line.id for line in back.servers]
    with_ids = ids != list(range(1, len(ids) + 1))
    for line in back.servers:
        yield " ".join(server_words(line, with_ids))


def _timeouts(section: FrontendSection | BackendSection, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        time_us = getattr(section, f"timeout_{name}_us")
        if time_us is not None:
            yield f"timeout {name.replace('_', '-')} {time_of(time_us)}"


def _keepalive(keepalive: Keepalive | None, word: str) -> Iterator[str]:
    if keepalive is None:
        return
    yield f"option {word}"
    if keepalive.idle_s is not None:
        yield f"{word}-idle {keepalive.idle_s}s"
    if keepalive.interval_s is not None:
        yield f"{word}-intvl {keepalive.interval_s}s"
    if keepalive.count is not None:
        yield f"{word}-cnt {keepalive.count}"


def _balance(balance: Balance) -> Iterator[str]:
    draws = f"({balance.draws})" if balance.algorithm == "random" else ""
    yield f"balance {balance.algorithm}{draws}"
    hashing = (balance.hash_type, balance.hash_function, balance.hash_modifier)
    if hashing != (Balance().hash_type, Balance().hash_function, Balance().hash_modifier):
        yield " ".join(["hash-type", *filter(None, hashing)])
    if balance.balance_factor_percent:
        yield f"hash-balance-factor {balance.balance_factor_percent}"


def _page(page: StatisticsPage) -> Iterator[str]:
    bare = StatisticsPage()
    yield "stats enable"
    if page.uri != bare.uri:
        yield f"stats uri {quoted(page.uri)}"
    if page.refresh_us is not None:
        yield f"stats refresh {time_of(page.refresh_us)}"
    if page.realm != bare.realm:
        yield f"stats realm {quoted(page.realm)}"
    for user, password in page.users:
        yield f"stats auth {quoted(f'{user}:{password}')}"
    if page.admin:
        yield f"stats admin if {_ADMINS[page.admin]}"
    if page.hide_version:
        yield "stats hide-version"
    if page.show_legends:
        yield "stats show-legends"
    if page.show_node is not None:
        yield f"stats show-node {page.show_node}".rstrip()
    if page.show_description is not None:
        yield f"stats show-desc {quoted(page.show_description)}"
    for name in page.scope:
        yield f"stats scope {quoted(name)}"


# --- lines ------------------------------------------------------------------------------------


def _bind_words(bind: BindLine, *, of_runtime: bool = False) -> Iterator[str]:
    yield address_of(bind.address)
    if bind.id is not None:
        yield from ("id", str(bind.id))
    if bind.name is not None:
        yield from ("name", quoted(bind.name))
    for flag, word in (
        (bind.accept_proxy, "accept-proxy"),
        (bind.v6only, "v6only"),
        (bind.v4v6, "v4v6"),
    ):
        if flag:
            yield word
    for number, word in ((bind.maxconn, "maxconn"), (bind.backlog, "backlog")):
        if number is not None:
            yield from (word, str(number))
    if bind.mode is not None and is_unix(bind.address):
        yield from ("mode", f"{bind.mode:o}")
    for name, word in ((bind.user, "user"), (bind.group, "group")):
        if name is not None and is_unix(bind.address):
            yield from (_id_word(word, name), quoted(name))
    if bind.tcp_user_timeout_us is not None:
        yield from ("tcp-ut", time_of(bind.tcp_user_timeout_us))
    if of_runtime or bind.level != _BARE_BIND.level:
        yield from ("level", bind.level)
    if bind.tls is not None:
        yield from _bind_tls(bind.tls)


def _bind_tls(tls: BindTls) -> Iterator[str]:
    yield "ssl"
    for each in tls.certificates:
        if isinstance(each, CertificateList):
            yield from ("crt-list", quoted(each.path))
        else:
            yield from ("crt", quoted(each))
    if tls.strict_sni:
        yield "strict-sni"
    for value, word in (
        (tls.ca_file, "ca-file"),
        (tls.ca_verify_file, "ca-verify-file"),
        (tls.crl_file, "crl-file"),
        (tls.verify if tls.verify != "none" else None, "verify"),
        (tls.ciphers, "ciphers"),
        (tls.ciphersuites, "ciphersuites"),
        (tls.minimum_version, "ssl-min-ver"),
        (tls.maximum_version, "ssl-max-ver"),
        (",".join(tls.alpn) or None, "alpn"),
    ):
        if value is not None:
            yield from (word, quoted(value))
    if not tls.tickets:
        yield "no-tls-tickets"


def _step_words(step: CheckStep) -> Iterator[str]:
    yield "tcp-check"
    if step.kind == "comment":
        yield from ("comment", quoted(step.comment))
        return
    if step.kind == "send":
        word = "send-binary" if b"\0" in step.data else "send"
        data = step.data.hex() if word == "send-binary" else quoted_bytes(step.data)
        yield from (word, data)
    elif step.kind == "connect":
        yield from _connect_words(step)
    else:
        yield from _expect_words(step)
    if step.comment:
        yield from ("comment", quoted(step.comment))


def _connect_words(step: CheckStep) -> Iterator[str]:
    yield "connect"
    if step.address is not None:
        yield from ("addr", address_of(step.address))
    if step.port is not None:
        yield from ("port", str(step.port))
    for flag, word in (
        (step.default, "default"),
        (step.tls, "ssl"),
        (step.send_proxy, "send-proxy"),
        (step.linger, "linger"),
    ):
        if flag:
            yield word
    if step.sni is not None:
        yield from ("sni", quoted(step.sni))
    if step.alpn:
        yield from ("alpn", quoted(",".join(step.alpn)))


def _expect_words(step: CheckStep) -> Iterator[str]:
    bare = CheckStep("expect")
    yield "expect"
    if step.minimum_bytes != bare.minimum_bytes:
        yield from ("min-recv", str(step.minimum_bytes))
    if step.negated:
        yield "!"
    yield step.match
    yield step.data.hex() if step.match == "binary" else quoted_bytes(step.data)
    for field, word in (
        ("ok_status", "ok-status"),
        ("error_status", "error-status"),
        ("timeout_status", "tout-status"),
        ("on_success", "on-success"),
        ("on_error", "on-error"),
    ):
        if getattr(step, field) != getattr(bare, field):
            yield from (word, quoted(getattr(step, field)))
