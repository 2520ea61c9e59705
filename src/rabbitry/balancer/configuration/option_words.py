"""`option` and `no option` lines of proxies (configuration.txt 4.2, `cfg_opts` of proxy.c).

Owns the names. Which side an option is of decides where it counts: in the other it is ignored with
a warning, as in HAProxy. Only the options of HAProxy's tables can be taken back with `no`.
"""

from __future__ import annotations

from rabbitry.balancer.configuration.lexer import (
    Mistake,
    argument,
    at_most,
    hint,
    read_number,
)
from rabbitry.balancer.configuration.model import REDISPATCH_ON_LAST_RETRY, AmqpCheck
from rabbitry.balancer.configuration.sections import Keyword, Reading

_HTTP = "it is about HTTP"
_OF_FRONTS = {
    "dontlognull": "dontlognull",
    "dontlog-normal": "dontlog_normal",
    "logasap": "logasap",
    "log-separate-errors": "log_separate_errors",
    "socket-stats": "socket_stats",
}
_OF_BACKS = {
    "allbackups": "all_backups",
    "log-health-checks": "log_health_checks",
    "abortonclose": "abortonclose",
}
_OF_BOTH = {"independent-streams": "independent_streams", "nolinger": "nolinger"}
_KEEPALIVES = {"clitcpka": "client_keepalive", "srvtcpka": "server_keepalive"}
_IGNORED = {
    "contstats": "what has passed is measured whenever somebody asks",
    "splice-auto": "how bytes are passed on is measured and chosen here",
    "splice-request": "how bytes are passed on is measured and chosen here",
    "splice-response": "how bytes are passed on is measured and chosen here",
    "tcp-smart-accept": "it saves one packet",
    "tcp-smart-connect": "it saves one packet",
    "persist": "it is about cookies",
    **dict.fromkeys(
        (
            *("checkcache", "http-buffer-request", "http-ignore-probes", "prefer-last-server"),
            *("idle-close-on-response", "accept-invalid-http-request", "http-no-delay"),
            *("accept-invalid-http-response", "http-use-proxy-header", "http-pretend-keepalive"),
            *("h1-case-adjust-bogus-client", "h1-case-adjust-bogus-server", "disable-h2-upgrade"),
            *("httpclose", "http-server-close", "http-keep-alive"),
        ),
        _HTTP,
    ),
}
_IGNORED_WITH_WORDS = ("forwardfor", "originalto")
_CHECKS = (
    *("httpchk", "ssl-hello-chk", "smtpchk", "mysql-check", "pgsql-check", "redis-check"),
    *("ldap-check", "spop-check", "external-check"),
)
_REFUSED = {
    **dict.fromkeys(
        _CHECKS,
        "is no check of a broker: write 'option amqp-check', or 'option tcp-check' and a script",
    ),
    "transparent": "is not carried out: write a 'server' line",
    **dict.fromkeys(
        ("forceclose", "http-tunnel", "http_proxy"), "is refused by HAProxy, too: remove it"
    ),
}


def option(reading: Reading, words: list[str]) -> None:
    """An `option` line."""
    name = argument(words, 1, "a name")
    if name in _WITH_WORDS:
        _WITH_WORDS[name](reading, words)
    elif name in _IGNORED_WITH_WORDS:
        reading.ignore(words, _HTTP)
    else:
        _switch(reading, words, on=True)


def no_option(reading: Reading, words: list[str]) -> None:
    """A `no option` line; `words` begin with `option`."""
    name = argument(words, 1, "a name")
    if name == "redispatch":
        if _counts(reading, name, reading.here.is_back, "frontend"):
            reading.here.set_back(redispatch=None)
    elif name in _WITH_WORDS or name in _IGNORED_WITH_WORDS:
        raise Mistake(name, "cannot be taken back with 'no': remove the option where it is set")
    else:
        _switch(reading, words, on=False)


def _switch(reading: Reading, words: list[str], on: bool) -> None:
    name = words[1]
    if name in _REFUSED:
        raise Mistake(name, _REFUSED[name])
    if name not in _KNOWN:
        raise Mistake(name, f"is not an option: {hint(name, _KNOWN)}")
    if len(words) > 2:
        raise Mistake(words[2], f"is one word too many after 'option {name}': remove it")
    section = reading.here
    if name in _IGNORED:
        if on:
            reading.ignore(words, _IGNORED[name])
    elif name in _OF_BOTH:
        section.set_front(**{_OF_BOTH[name]: on})
        section.set_back(**{_OF_BOTH[name]: on})
    elif name in _OF_FRONTS or name == "clitcpka":
        if not _counts(reading, name, section.is_front, "backend"):
            return
        if name == "clitcpka":
            section.set(client_keepalive=on)
        else:
            section.set_front(**{_OF_FRONTS[name]: on})
    elif _counts(reading, name, section.is_back, "frontend"):
        if name == "srvtcpka":
            section.set(server_keepalive=on)
        else:
            section.set_back(**{_OF_BACKS[name]: on})


def _counts(reading: Reading, name: str, counts: bool, where: str) -> bool:
    if not counts:
        reading.warn(f"option {name}", f"is ignored: it is not of a '{where}'")
    return counts


def _redispatch(reading: Reading, words: list[str]) -> None:
    number = REDISPATCH_ON_LAST_RETRY
    if len(words) > 2:
        number = read_number(words[2], -1000, 1000)
    if _counts(reading, "redispatch", reading.here.is_back, "frontend"):
        reading.here.set_back(redispatch=number or None)


def _tcplog(reading: Reading, words: list[str]) -> None:
    if len(words) > 2:
        raise Mistake(words[2], "is one word too many after 'option tcplog': remove it")
    if _counts(reading, "tcplog", reading.here.is_front, "backend"):
        reading.here.set_front(tcplog=True, http_lines="")


def _httplog(reading: Reading, words: list[str]) -> None:
    """What is not HTTP has lines as of `tcplog` then, as in HAProxy."""
    if words[2:] not in ([], ["clf"]):
        raise Mistake(words[2], "is not known after 'option httplog': remove it")
    if _counts(reading, "httplog", reading.here.is_front, "backend"):
        reading.here.set_front(tcplog=True, http_lines="clf" if words[2:] else "http")


def _tcpka(reading: Reading, words: list[str]) -> None:
    if len(words) > 2:
        raise Mistake(words[2], "is one word too many after 'option tcpka': remove it")
    section = reading.here
    if section.is_front:
        section.set(client_keepalive=True)
    if section.is_back:
        section.set(server_keepalive=True)


def _tcp_check(reading: Reading, words: list[str]) -> None:
    if len(words) > 2:
        raise Mistake(words[2], "is one word too many: write a 'tcp-check' line for each step")
    if _counts(reading, "tcp-check", reading.here.is_back, "frontend"):
        reading.here.set_back(check="tcp-check", amqp_check=None)


def _amqp_check(reading: Reading, words: list[str]) -> None:
    """Ours: `option amqp-check [user NAME password PASSWORD vhost NAME no-disk]`."""
    told: dict[str, str] = {}
    names = {"user": "user", "password": "password", "vhost": "virtual_host"}
    asks_disk = True
    rest = iter(words[2:])
    for word in rest:
        if word == "no-disk":
            asks_disk = False
            continue
        if word not in names:
            # What follows might be a password: it is not shown.
            known = "knows 'user', 'password' and 'vhost' with a value, and 'no-disk'"
            raise Mistake("option amqp-check", known)
        value = next(rest, None)
        if value is None:
            raise Mistake(word, "needs a value behind it: add it")
        told[names[word]] = value
    if _counts(reading, "amqp-check", reading.here.is_back, "frontend"):
        reading.here.set_back(check="amqp", amqp_check=AmqpCheck(**told, asks_disk=asks_disk))


_WITH_WORDS: dict[str, Keyword] = {
    "redispatch": _redispatch,
    "tcplog": _tcplog,
    "httplog": _httplog,
    "httpslog": _httplog,
    "tcpka": _tcpka,
    "tcp-check": _tcp_check,
    "amqp-check": _amqp_check,
}
_KNOWN = (
    *(*_OF_FRONTS, *_OF_BACKS, *_OF_BOTH, *_KEEPALIVES, *_IGNORED),
    *(*_WITH_WORDS, *_IGNORED_WITH_WORDS, *_REFUSED),
)


def redispatch_of_old(reading: Reading, words: list[str]) -> None:
    """`redispatch`, which HAProxy 2.x refuses."""
    at_most(words, 0)
    reading.warn(words[0], "is the old spelling: write 'option redispatch'")
    _redispatch(reading, ["option", "redispatch"])
