"""`log`, `log-tag` and their like, of `global` and of proxies (configuration.txt 4.2 "log", log.c).

Owns where lines go and which. What a line says is `option tcplog` and the balancer's log lines.
"""

from __future__ import annotations

import re

from rabbitry.balancer.configuration.addresses import read_log_address
from rabbitry.balancer.configuration.lexer import (
    Mistake,
    argument,
    at_most,
    read_choice,
    read_number,
)
from rabbitry.balancer.configuration.model import LogTarget
from rabbitry.balancer.configuration.sections import Reading

GLOBAL = "global"
"""Stands among a section's targets for those of `global`."""

FORMATS = ("rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw", "local")
FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2"),
    *("ftp", "ntp", "audit", "alert", "cron2"),
    *(f"local{number}" for number in range(8)),
)
LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
TARGETS_MAX = 100

_STREAM = re.compile(r"stdout|stderr|fd@[0-9]{1,9}")


def log_of_process(reading: Reading, words: list[str]) -> None:
    """A `log` line of `global`."""
    if words[1:] == [GLOBAL]:
        raise Mistake(GLOBAL, "is where this line stands: write an address")
    reading.process.log_targets += (_target(reading, words),)
    if len(reading.process.log_targets) > TARGETS_MAX:
        raise Mistake("log", f"is there more than {TARGETS_MAX} times: remove some")


def no_log_of_process(reading: Reading, words: list[str]) -> None:
    """`no log` in `global`: forget the targets before."""
    at_most(words, 0)
    reading.process.log_targets = ()


def log(reading: Reading, words: list[str]) -> None:
    """A `log` line of a proxy or of `defaults`."""
    section = reading.here
    logs = section.settings.logs
    target = GLOBAL if words[1:] == [GLOBAL] else _target(reading, words)
    if target == GLOBAL and GLOBAL in logs:
        return
    if len(logs) >= TARGETS_MAX:
        raise Mistake("log", f"is there more than {TARGETS_MAX} times: remove some")
    section.set(logs=(*logs, target))


def no_log(reading: Reading, words: list[str]) -> None:
    """`no log` in a proxy: forget the targets before, those of its `defaults` as well."""
    at_most(words, 0)
    reading.here.set(logs=())


def log_tag(reading: Reading, words: list[str]) -> None:
    """`log-tag` of a proxy: what its lines begin with."""
    tag = argument(words, 1, "a tag")
    reading.here.set_front(log_tag=tag)
    reading.here.set_back(log_tag=tag)


def _target(reading: Reading, words: list[str]) -> LogTarget:
    where = argument(words, 1, "an address" if words[1:] else "'global' or an address")
    stream = where if _STREAM.fullmatch(where) else ""
    address = None if stream else read_log_address(where, reading.environment)
    at = 2
    length, form = 1024, ""
    if words[at : at + 1] == ["len"]:
        length = read_number(argument(words, at + 1, "a number"), 80, 65535)
        at += 2
    if words[at : at + 1] == ["format"]:
        form = read_choice(argument(words, at + 1, "a format"), FORMATS)
        at += 2
    if words[at : at + 1] == ["sample"]:
        raise Mistake("sample", "is not carried out: all lines are logged, or none")
    facility = read_choice(argument(words, at, "a facility such as local0"), FACILITIES)
    levels = [read_choice(word, LEVELS) for word in words[at + 1 : at + 3]]
    at_most(words, at + 2)
    return LogTarget(
        address,
        facility,
        stream,
        form,
        levels[0] if levels else "debug",
        levels[1] if len(levels) > 1 else "emerg",
        length,
    )
