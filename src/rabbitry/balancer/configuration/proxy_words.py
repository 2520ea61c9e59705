"""Keywords of `defaults`, `frontend`, `backend` and `listen` (configuration.txt 4.2).

Owns the table of them and those that are not a family of their own (`bind_words`, `server_words`,
`option_words`, `stats_words`, `log_words`, `tcp_check_words`). A keyword of the wrong side
(`retries` in a `frontend`) is ignored with a warning, as in HAProxy, or refused (`server`).
`REFUSED` has what HAProxy understands and we do not: it decides, protects or rewrites; to leave it
out would be worse than to stop.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rabbitry.balancer.configuration import (
    bind_words,
    http_words,
    log_words,
    option_words,
    server_words,
    stats_words,
    tcp_check_words,
)
from rabbitry.balancer.configuration.addresses import is_unix, read_host
from rabbitry.balancer.configuration.lexer import (
    Mistake,
    argument,
    at_most,
    hint,
    read_choice,
    read_number,
    read_time_us,
)
from rabbitry.balancer.configuration.model import Balance
from rabbitry.balancer.configuration.sections import Keyword, Reading, changed

_INTEGER_MAX = 2**31 - 1
_OLD_TIMEOUTS = {"contimeout": "connect", "clitimeout": "client", "srvtimeout": "server"}
_FRONT_TIMEOUTS = {"client": "timeout_client_us", "client-fin": "timeout_client_fin_us"}
_BACK_TIMEOUTS = {
    "connect": "timeout_connect_us",
    "server": "timeout_server_us",
    "server-fin": "timeout_server_fin_us",
    "queue": "timeout_queue_us",
    "check": "timeout_check_us",
    "tunnel": "timeout_tunnel_us",
}
_HTTP_TIMEOUTS = ("http-request", "http-keep-alive", "tarpit")
_TIMEOUTS = (*_FRONT_TIMEOUTS, *_BACK_TIMEOUTS, *_HTTP_TIMEOUTS)
_ALGORITHMS = ("roundrobin", "static-rr", "leastconn", "first", "source", "random")
_OF_HTTP = ("uri", "url_param", "hash", "hdr", "rdp-cookie")
_HTTP = "it is about HTTP"
_IGNORED = {
    **dict.fromkeys(
        (
            *("errorfile", "errorfiles", "errorloc", "errorloc302", "errorloc303", "http-error"),
            *("compression", "http-reuse", "max-keep-alive-queue", "unique-id-format"),
            *("unique-id-header", "http-send-name-header", "retry-on"),
        ),
        _HTTP,
    ),
    "bind-process": "all processes serve all addresses",
    "max-session-srv-conns": "it is about HTTP",
    "load-server-state-from-file": "states of servers are kept by `rabbitry reload`, not in files",
    "server-state-file-name": "states of servers are kept by `rabbitry reload`, not in files",
    "email-alert": "no mails are sent; watch the log or the metrics",
    "log-format": "lines are those of 'option tcplog'",
    "log-format-sd": "lines have no structured data",
    "error-log-format": "lines are those of 'option tcplog'",
    "dynamic-cookie-key": _HTTP,
}
_NO_CONDITIONS = "is not carried out: there are no conditions here; remove it, or stay with HAProxy"
_NO_HTTP = "is about HTTP, which is not balanced here: remove it, or stay with HAProxy for it"
_GONE = "is refused by HAProxy, too: remove it"
_STICK = "is not carried out: 'balance source' sends a client to the same server"
REFUSED = {
    "acl": _NO_CONDITIONS,
    "use-server": _NO_CONDITIONS,
    "force-persist": _NO_CONDITIONS,
    "ignore-persist": _NO_CONDITIONS,
    "tcp-request": "is not carried out: filter addresses in the firewall, or stay with HAProxy",
    "tcp-response": _NO_CONDITIONS,
    "filter": "is not carried out: there are no filters here; remove it",
    "stick-table": _STICK,
    "stick": _STICK,
    "persist": _STICK,
    "dispatch": "is not carried out: write 'server NAME HOST:PORT'",
    "transparent": "is not carried out: write 'server NAME HOST:PORT'",
    "server-template": "makes servers of one name: write a 'server' line for each of them",
    "http-check": "is no check of a broker: write 'option amqp-check' instead",
    "external-check": "is not carried out: write 'option amqp-check', or a tcp-check",
    "declare": _NO_CONDITIONS,
    "usesrc": "is not carried out: servers see the balancer's address; use send-proxy-v2",
    **dict.fromkeys(
        (
            *("http-response", "http-after-response", "redirect", "cookie"),
            *("capture", "monitor", "monitor-uri", "use-fcgi-app"),
        ),
        _NO_HTTP,
    ),
    **dict.fromkeys(
        (
            *("monitor-net", "appsession", "block", "grace", "reqrep", "reqirep", "reqdel"),
            *("reqidel", "reqdeny", "reqideny", "reqadd", "rsprep", "rspirep", "rspdel"),
            *("rspidel", "rspadd", "cliexp", "srvexp"),
        ),
        _GONE,
    ),
}

_REFUSED_IN_FRONTENDS = ("server", "default-server")
"""What HAProxy refuses on the wrong side instead of ignoring it (server.c, `_srv_parse_init`)."""

FRONT, BACK, BOTH = "frontend", "backend", ""


def read_proxy(reading: Reading, words: list[str]) -> None:
    """Carry out a line of a proxy or of `defaults`."""
    word, section = words[0], reading.here
    if word in KEYWORDS:
        side, in_defaults, carry_out = KEYWORDS[word]
        if section.keyword == "defaults" and not in_defaults:
            raise Mistake(word, "cannot stand in 'defaults': write it in the section itself")
        if (side == FRONT and not section.is_front) or (side == BACK and not section.is_back):
            if word in _REFUSED_IN_FRONTENDS:
                raise Mistake(word, "cannot stand in a 'frontend': write it in its backend")
            why = f"it is not of a '{section.keyword}'"
            reading.warn(word, f"is ignored: {why}")
            return
        carry_out(reading, words)
    elif word in _IGNORED:
        reading.ignore(words, _IGNORED[word])
    elif word in REFUSED:
        raise Mistake(word, REFUSED[word])
    else:
        known = [*KEYWORDS, *_IGNORED, *REFUSED]
        raise Mistake(word, f"is not known in '{section.keyword}': {hint(word, known)}")


def _mode(reading: Reading, words: list[str]) -> None:
    mode = argument(words, 1, "tcp or http")
    at_most(words, 1)
    if mode not in ("tcp", "http", "amqp"):
        raise Mistake(mode, "is not a mode: use tcp, amqp, or http for a statistics page")
    reading.here.set_front(mode=mode)
    reading.here.set_back(mode=mode)


def _balance(reading: Reading, words: list[str]) -> None:
    word = words[1] if len(words) > 1 else "roundrobin"
    name, draws = word, 2
    if word.startswith("random"):
        match = re.fullmatch(r"random(?:\(([0-9]{0,9})\))?", word)
        if match is None:
            raise Mistake(word, "is not an algorithm: write random or random(2)")
        name, draws = "random", read_number(match[1], 1, _INTEGER_MAX) if match[1] else 2
    if name.split("(")[0] in _OF_HTTP:
        raise Mistake(word, "is about HTTP: use 'source', or one that looks at no client")
    at_most(words, 1)
    read_choice(name, _ALGORITHMS)
    section = reading.here
    old = section.settings.back.balance
    section.set_back(balance=replace(old, algorithm=name, draws=draws))


def _hash_type(reading: Reading, words: list[str]) -> None:
    kind = read_choice(argument(words, 1, "map-based or consistent"), ("map-based", "consistent"))
    at_most(words, 3)
    function, modifier = "sdbm", ""
    if len(words) > 2:
        function = read_choice(words[2], ("sdbm", "djb2", "wt6", "crc32"))
        if len(words) > 3:
            modifier = read_choice(words[3], ("avalanche",))
    elif kind == "consistent":
        modifier = "avalanche"  # HAProxy: where no function is named
    _set_balance(reading, hash_type=kind, hash_function=function, hash_modifier=modifier)


def _hash_balance_factor(reading: Reading, words: list[str]) -> None:
    percent = read_number(argument(words, 1, "a number"), 0, 65535)
    if 0 < percent <= 100:
        raise Mistake(words[1], "is too little: write 0, or more than 100")
    _set_balance(reading, balance_factor_percent=percent)


def _set_balance(reading: Reading, **changes: object) -> None:
    balance: Balance = reading.here.settings.back.balance
    reading.here.set_back(balance=changed(balance, **changes))


def _retries(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    reading.here.set_back(retries=read_number(argument(words, 1, "a number"), 0, _INTEGER_MAX))


def _maxconn(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    reading.here.set(maxconn=read_number(argument(words, 1, "a number"), 0, _INTEGER_MAX))


def _fullconn(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    number = read_number(argument(words, 1, "a number"), 0, _INTEGER_MAX)
    reading.here.set_back(fullconn=number or None)


def _backlog(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    number = read_number(argument(words, 1, "a number"), 0, _INTEGER_MAX)
    reading.here.set_front(backlog=number or None)


def _rate_limit(reading: Reading, words: list[str]) -> None:
    read_choice(argument(words, 1, "'sessions' and a number"), ("sessions",))
    number = read_number(argument(words, 2, "a number"), 0, _INTEGER_MAX)
    at_most(words, 2)
    reading.here.set_front(sessions_per_s=number or None)


def _timeout(reading: Reading, words: list[str]) -> None:
    which = argument(words, 1, "connect, client, server or another")
    if which not in _TIMEOUTS:
        raise Mistake(which, f"is not a timeout: {hint(which, _TIMEOUTS)}")
    time_us = read_time_us(argument(words, 2, "a time")) or None  # 0 means no limit
    if len(words) > 3:
        raise Mistake(words[3], f"is one word too many after 'timeout {which}': remove it")
    section = reading.here
    if which in _HTTP_TIMEOUTS:
        reading.ignore(words, _HTTP)
    elif which in _FRONT_TIMEOUTS:
        if section.is_front:
            section.set_front(**{_FRONT_TIMEOUTS[which]: time_us})
        else:
            reading.ignore(words, "it is not of a 'backend'")
    elif section.is_back:
        section.set_back(**{_BACK_TIMEOUTS[which]: time_us})
    else:
        reading.ignore(words, "it is not of a 'frontend'")


def _timeout_of_old(reading: Reading, words: list[str]) -> None:
    which = _OLD_TIMEOUTS[words[0]]
    _timeout(reading, ["timeout", which, *words[1:]])
    reading.warn(words[0], f"is the old spelling: write 'timeout {which}'")


def _probes(reading: Reading, words: list[str]) -> None:
    """`clitcpka-idle`, `srvtcpka-cnt` and the like: how TCP keepalive probes."""
    at_most(words, 1)
    side, _, what = words[0].partition("-")
    value = argument(words, 1, "a number" if what == "cnt" else "a time")
    if what == "cnt":
        change = {"count": read_number(value, 0, _INTEGER_MAX) or None}
    else:
        field = "idle_s" if what == "idle" else "interval_s"
        change = {field: read_time_us(value, default_unit="s") // 1_000_000}
    settings = reading.here.settings
    if side == "clitcpka":
        reading.here.set(client_probes=changed(settings.client_probes, **change))
    else:
        reading.here.set(server_probes=changed(settings.server_probes, **change))


def _default_backend(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    name = argument(words, 1, "the name of a backend")
    reading.here.set(default_backend=(name, reading.place))


def _use_backend(reading: Reading, words: list[str]) -> None:
    """Without a condition the first one counts, before `default_backend`."""
    name = argument(words, 1, "the name of a backend")
    if len(words) > 2 and words[2:] not in (["if", "TRUE"], ["unless", "FALSE"]):
        if words[2] in ("if", "unless"):
            why = "is a condition, of which there are none here: write one 'default_backend'"
            raise Mistake(" ".join(words[2:4]), why)
        raise Mistake(words[2], "is one word too many after 'use_backend NAME': remove it")
    section = reading.here
    if section.first_backend is None:
        section.first_backend = (name, reading.place)
    else:
        reading.ignore(words, "the one before counts")


def _id(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    section = reading.here
    number = read_number(argument(words, 1, "a number"), 1, _INTEGER_MAX)
    other = reading.ids.setdefault(number, section)
    if other is not section:
        raise Mistake(words[1], f"is the id of '{other.name}' too: choose another")
    section.number = number


def _description(reading: Reading, words: list[str]) -> None:
    argument(words, 1, "a text")
    reading.here.description = " ".join(words[1:])


def _disabled(reading: Reading, words: list[str]) -> None:
    at_most(words, 0)
    reading.here.set(disabled=words[0] == "disabled")


def _source(reading: Reading, words: list[str]) -> None:
    address = read_host(argument(words, 1, "an address"), reading.environment)
    if is_unix(address):
        raise Mistake(words[1], "is not a TCP address: write an address of this machine")
    if len(words) > 2:
        why = server_words.REFUSED.get(words[2], "is one word too many: remove it")
        raise Mistake(words[2], why)
    reading.here.set(source=address)


KEYWORDS: dict[str, tuple[str, bool, Keyword]] = {
    # keyword: of which side, whether `defaults` may have it, what carries it out
    "bind": (FRONT, False, bind_words.bind),
    "server": (BACK, False, server_words.server),
    "default-server": (BACK, True, server_words.default_server),
    "mode": (BOTH, True, _mode),
    "balance": (BACK, True, _balance),
    "hash-type": (BACK, True, _hash_type),
    "hash-balance-factor": (BACK, True, _hash_balance_factor),
    "retries": (BACK, True, _retries),
    "maxconn": (FRONT, True, _maxconn),
    "fullconn": (BACK, True, _fullconn),
    "backlog": (FRONT, True, _backlog),
    "rate-limit": (FRONT, True, _rate_limit),
    "timeout": (BOTH, True, _timeout),
    "default_backend": (FRONT, True, _default_backend),
    "use_backend": (FRONT, False, _use_backend),
    "id": (BOTH, False, _id),
    "description": (BOTH, False, _description),
    "disabled": (BOTH, True, _disabled),
    "enabled": (BOTH, True, _disabled),
    "source": (BACK, True, _source),
    "option": (BOTH, True, option_words.option),
    "stats": (BOTH, True, stats_words.stats),
    "http-request": (FRONT, False, http_words.http_request),
    "log": (BOTH, True, log_words.log),
    "log-tag": (BOTH, True, log_words.log_tag),
    "tcp-check": (BACK, True, tcp_check_words.tcp_check),
    "redispatch": (BACK, True, option_words.redispatch_of_old),
    "redisp": (BACK, True, option_words.redispatch_of_old),
    **dict.fromkeys(_OLD_TIMEOUTS, (BOTH, True, _timeout_of_old)),
    **{
        f"{side}tcpka-{what}": (kind, True, _probes)
        for side, kind in (("cli", FRONT), ("srv", BACK))
        for what in ("idle", "intvl", "cnt")
    },
}
