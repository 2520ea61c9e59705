"""Keywords of the `global` section (configuration.txt 3, cfgparse-global.c).

Owns them. What tunes the inside of HAProxy is ignored with a warning; what changes what a user
gets and is not carried out here is refused. `chroot`, which Debian's own file has, is a warning:
the process opens files as it runs.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rabbitry.balancer.configuration import bind_words, log_words, tls_words
from rabbitry.balancer.configuration.addresses import ADDRESSES_MAX, read_bind_addresses
from rabbitry.balancer.configuration.lexer import (
    Mistake,
    argument,
    at_most,
    hint,
    read_choice,
    read_number,
    read_time_us,
)
from rabbitry.balancer.configuration.model import BindLine, RuntimeSocket
from rabbitry.balancer.configuration.sections import NOWHERE, Keyword, Reading, changed

_INTEGER_MAX = 2**31 - 1
_THREADS_MAX = 64
_INSIDE = "it tunes the inside of HAProxy"
_FILES = "states of servers are kept by `rabbitry reload`, not in files"
_IGNORED = {
    **dict.fromkeys(
        (
            *("busy-polling", "noepoll", "nokqueue", "noevports", "nopoll", "nosplice"),
            *("nogetaddrinfo", "noreuseport", "cpu-map", "numa-cpu-mapping", "thread-group"),
            *("thread-groups", "maxpipes", "maxzlibmem", "maxcompcpuusage", "maxcomprate"),
            *("profiling.tasks", "no-memory-trimming", "mworker-max-reloads", "ssl-mode-async"),
            *("ssl-propquery", "ssl-provider", "ssl-provider-path", "ssl-engine"),
            *("expose-experimental-directives", "close-spread-time", "pp2-never-send-local"),
            *("insecure-fork-wanted", "insecure-setuid-wanted", "set-dumpable", "cluster-secret"),
            *("h1-accept-payload-with-any-method", "h1-case-adjust", "h1-case-adjust-file"),
            *("h2-workaround-bogus-websocket-clients", "lua-prepend-path", "localpeer", "quiet"),
            *("httpclient.resolvers.id", "httpclient.resolvers.prefer", "httpclient.ssl.ca-file"),
            *("httpclient.ssl.verify", "issuers-chain-path", "ssl-skip-self-issued-ca"),
            *("zero-warning", "external-check"),
        ),
        _INSIDE,
    ),
    "master-worker": "the balancer stays in the foreground",
    "chroot": "the balancer keeps its root",
    "ulimit-n": "the limit is raised as far as the system allows",
    "fd-hard-limit": "the limit is raised as far as the system allows",
    "strict-limits": "the limit is raised as far as the system allows",
    "maxsslconn": "'maxconn' counts connections with TLS, too",
    "maxsslrate": "'maxconnrate' counts connections with TLS, too",
    "ssl-dh-param-file": "OpenSSL's own parameters are used",
    "ssl-load-extra-files": "keys are looked for in the file of 'crt' and beside it",
    "ssl-load-extra-del-ext": "keys are looked for in the file of 'crt' and beside it",
    "ssl-default-bind-curves": "OpenSSL's own curves are used",
    "server-state-base": _FILES,
    "server-state-file": _FILES,
}
_REFUSED = {
    "lua-load": "is not carried out: there is no Lua here; remove it",
    "lua-load-per-thread": "is not carried out: there is no Lua here; remove it",
    "set-var": "is not carried out: there are no variables here; remove it",
    "set-var-fmt": "is not carried out: there are no variables here; remove it",
    "default-path": "is not carried out: write paths that begin with '/'",
}
_NUMBERS: dict[str, tuple[str, int]] = {
    "maxconn": ("maxconn", _INTEGER_MAX),
    "maxconnrate": ("connections_per_s", _INTEGER_MAX),
    "maxsessrate": ("sessions_per_s", _INTEGER_MAX),
}
_CIPHERS = {"ciphers": "ciphers", "ciphersuites": "ciphersuites"}


def ignored(word: str) -> str | None:
    """Why a word of `global` is ignored, or None if it is not."""
    return _INSIDE if word.startswith("tune.") else _IGNORED.get(word)


def read_global(reading: Reading, words: list[str]) -> None:
    """Carry out a line of `global`."""
    word = words[0]
    if word in KEYWORDS:
        KEYWORDS[word](reading, words)
    elif (why := ignored(word)) is not None:
        reading.ignore(words, why)
    elif word in _REFUSED:
        raise Mistake(word, _REFUSED[word])
    else:
        known = [*KEYWORDS, *_IGNORED]
        raise Mistake(word, f"is not known in 'global': {hint(word, known)}")


def _set(reading: Reading, **changes: object) -> None:
    process = reading.process
    process.settings = changed(process.settings, **changes)


def _once(reading: Reading, word: str) -> bool:
    """Whether a word that counts once has not been said; if it has, warn."""
    if word in reading.process.said:
        reading.warn(word, "is said for the second time: the first counts")
        return False
    reading.process.said.add(word)
    return True


def _number(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    field, most = _NUMBERS[words[0]]
    number = read_number(argument(words, 1, "a number"), 0, most)
    if _once(reading, words[0]):
        _set(reading, **{field: number or None})


def _processes(reading: Reading, words: list[str]) -> None:
    """`nbthread`, and `nbproc` of old: both mean that many processes here."""
    at_most(words, 1)
    number = read_number(argument(words, 1, "a number"), 1, _THREADS_MAX)
    said = reading.process.processes
    said[words[0]] = number
    _set(reading, processes=min(said.get("nbthread", 1) * said.get("nbproc", 1), _THREADS_MAX))
    if words[0] == "nbproc":
        reading.warn("nbproc", "is the old spelling: write 'nbthread'")


def _user(reading: Reading, words: list[str]) -> None:
    """`user`, `uid`, `group`, `gid`."""
    at_most(words, 1)
    word = words[0]
    field = "user" if word in ("user", "uid") else "group"
    value = argument(words, 1, "a number" if word in ("uid", "gid") else "a name")
    if word in ("uid", "gid"):
        value = str(read_number(value, 0, _INTEGER_MAX))
    if _once(reading, field):
        _set(reading, **{field: value, f"{field}_place": reading.where(reading.place)})


def _pidfile(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    path = argument(words, 1, "a file")
    if _once(reading, "pidfile"):
        _set(reading, pidfile=path)


def _node(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    name = argument(words, 1, "a name")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise Mistake(name, "is not a name: use letters, digits, '-', '_' and '.'")
    _set(reading, node=name)


def _description(reading: Reading, words: list[str]) -> None:
    argument(words, 1, "a text")
    _set(reading, description=" ".join(words[1:]))


def _hard_stop_after(reading: Reading, words: list[str]) -> None:
    _set(reading, hard_stop_after_us=read_time_us(argument(words, 1, "a time")) or None)


def _grace(reading: Reading, words: list[str]) -> None:
    read_time_us(argument(words, 1, "a time"))
    reading.ignore(words, "listeners stop at once; sessions have until 'hard-stop-after'")


def _spread_checks(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    percent = read_number(argument(words, 1, "a number"), 0, 50)
    if _once(reading, "spread-checks"):
        _set(reading, spread_checks_percent=percent)


def _max_spread_checks(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    _set(reading, max_spread_checks_us=read_time_us(argument(words, 1, "a time")) or None)


def _log_tag(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    _set(reading, log_tag=argument(words, 1, "a tag"))


def _log_send_hostname(reading: Reading, words: list[str]) -> None:
    if _once(reading, "log-send-hostname"):
        _set(reading, log_send_hostname=words[1] if len(words) > 1 else "")


def _stats(reading: Reading, words: list[str]) -> None:
    """`stats socket`, `stats timeout`, `stats maxconn`: the runtime sockets."""
    what = argument(words, 1, "socket, timeout or maxconn")
    process = reading.process
    if what == "bind-process":
        reading.ignore(words, _INSIDE)
    elif what == "timeout":
        time_us = read_time_us(argument(words, 2, "a time"))
        if not time_us:
            raise Mistake(words[2], "is no time: give more than 0")
        _set(reading, runtime_timeout_us=time_us)
    elif what == "maxconn":
        number = read_number(argument(words, 2, "a number"), 1, _INTEGER_MAX)
        _set(reading, runtime_maxconn=number)
        reading.ignore(words, "runtime sockets take whoever connects")
    elif what == "socket":
        where = argument(words, 2, "a path or an address")
        line = bind_words.read_words(reading, words, 3, BindLine(NOWHERE))
        room = ADDRESSES_MAX - len(process.settings.runtime_sockets)
        addresses = read_bind_addresses(where, reading.environment, room)
        sockets = tuple(RuntimeSocket(replace(line, address=each)) for each in addresses)
        _set(reading, runtime_sockets=process.settings.runtime_sockets + sockets)
    else:
        known = ("socket", "timeout", "maxconn")
        raise Mistake(what, f"is not known after 'stats' in 'global': {hint(what, known)}")
    if process.counts_as_proxy_at is None:
        process.counts_as_proxy_at = len(reading.sections)


def _daemon(reading: Reading, words: list[str]) -> None:
    at_most(words, 0)
    _set(reading, daemon=True)


def _unix_bind(reading: Reading, words: list[str]) -> None:
    """`unix-bind`: where sockets of `bind /PATH` are, and whose."""
    process = reading.process
    for word, value in zip(words[1::2], [*words[2::2], ""], strict=False):
        read_choice(word, ("prefix", "mode", "uid", "user", "gid", "group"))
        value = argument([word, value], 1, f"an argument (of '{word}')")
        if word == "prefix":
            process.unix_prefix = value
        else:
            process.unix = bind_words.file_word(process.unix, word, value)


def _base(reading: Reading, words: list[str]) -> None:
    """`crt-base` and `ca-base`: where files without a '/' at their beginning are."""
    at_most(words, 1)
    folder = argument(words, 1, "a folder")
    if not _once(reading, words[0]):
        return
    if words[0] == "crt-base":
        reading.process.certificates_in = folder
    else:
        reading.process.authorities_in = folder


def _ssl_default(reading: Reading, words: list[str]) -> None:
    """`ssl-default-bind-ciphers` and the like: what `ssl` begins with on lines below."""
    process = reading.process
    _, _, side, *what = words[0].split("-")
    field = _CIPHERS.get(what[0])
    if field is not None:
        value = argument(words, 1, "ciphers")
        if field in tls_words.READ_IN_VAIN:
            reading.ignore(words, tls_words.READ_IN_VAIN[field])
        if side == "bind":
            process.bind_tls = changed(process.bind_tls, **{field: value})
        else:
            process.server_tls = changed(process.server_tls, **{field: value})
        return
    argument(words, 1, "an option")
    at = 1
    while at < len(words):
        word = words[at]
        value = ""
        at += 1
        if word in ("ssl-min-ver", "ssl-max-ver"):
            value = argument(words, at, "a version")
            at += 1
        if word in tls_words.READ_IN_VAIN:
            reading.warn(word, f"is ignored: {tls_words.READ_IN_VAIN[word]}")
        if word in tls_words.IGNORED_WORDS:
            reading.warn(word, "is ignored: it tunes TLS")
        elif word not in tls_words.VERSION_WORDS:
            raise Mistake(word, f"is not known here: {hint(word, tls_words.VERSION_WORDS)}")
        elif side == "bind":
            process.bind_tls = tls_words.version_word(process.bind_tls, word, value)
        else:
            process.server_tls = tls_words.version_word(process.server_tls, word, value)


def _ssl_server_verify(reading: Reading, words: list[str]) -> None:
    at_most(words, 1)
    which = argument(words, 1, "none or required")
    reading.process.verify_servers = read_choice(which, ("none", "required"))


def _environment(reading: Reading, words: list[str]) -> None:
    """`setenv`, `presetenv`, `unsetenv`, `resetenv`: for what is read below."""
    environment = reading.environment
    match words[0]:
        case "setenv" | "presetenv":
            name, value = argument(words, 1, "a name and a value"), argument(words, 2, "a value")
            at_most(words, 2)
            if words[0] == "setenv" or name not in environment:
                environment[name] = value
        case "unsetenv":
            argument(words, 1, "a name")
            for name in words[1:]:
                environment.pop(name, None)
        case _:
            for name in list(environment):
                if name not in words[1:]:
                    del environment[name]


KEYWORDS: dict[str, Keyword] = {
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(("nbthread", "nbproc"), _processes),
    **dict.fromkeys(("user", "uid", "group", "gid"), _user),
    **dict.fromkeys(("setenv", "presetenv", "unsetenv", "resetenv"), _environment),
    **dict.fromkeys(("crt-base", "ca-base"), _base),
    **dict.fromkeys(
        [
            f"ssl-default-{side}-{what}"
            for side in ("bind", "server")
            for what in ("ciphers", "ciphersuites", "options")
        ],
        _ssl_default,
    ),
    "daemon": _daemon,
    "pidfile": _pidfile,
    "node": _node,
    "description": _description,
    "hard-stop-after": _hard_stop_after,
    "grace": _grace,
    "spread-checks": _spread_checks,
    "max-spread-checks": _max_spread_checks,
    "log": log_words.log_of_process,
    "log-tag": _log_tag,
    "log-send-hostname": _log_send_hostname,
    "stats": _stats,
    "unix-bind": _unix_bind,
    "ssl-server-verify": _ssl_server_verify,
}
