"""`tcp-check` lines: what a check of health says and what it expects (configuration.txt 4.2,
tcpcheck.c).

Owns their words. Expressions that HAProxy would work out at the time of the check (`send-lf`,
`set-var`, `port` from a variable) are refused. A regular expression is Python's, over bytes, which
understands what scripts for checks use of PCRE.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rabbitry.balancer.configuration.addresses import read_host
from rabbitry.balancer.configuration.lexer import (
    Mistake,
    argument,
    as_bytes,
    hint,
    read_choice,
    read_number,
)
from rabbitry.balancer.configuration.model import CheckStep
from rabbitry.balancer.configuration.sections import Reading, changed
from rabbitry.balancer.configuration.tls_words import read_protocols

STEPS_MAX = 1000
MATCHES = ("string", "binary", "rstring", "rbinary")
_STATUSES = {
    "ok-status": ("ok_status", ("L7OK", "L7OKC", "L6OK", "L4OK")),
    "error-status": ("error_status", ("L7RSP", "L7STS", "L7OKC", "L6RSP", "L4CON")),
    "tout-status": ("timeout_status", ("L7TOUT", "L6TOUT", "L4TOUT")),
}
_EXPECT = (*MATCHES, "min-recv", "comment", "on-success", "on-error", *_STATUSES)
_CONNECT = ("default", "addr", "port", "comment", "send-proxy", "linger", "ssl", "sni", "alpn")
_AT_CHECK_TIME = {
    *("send-lf", "send-binary-lf", "set-var", "set-var-fmt", "unset-var"),
    *("string-lf", "binary-lf", "status-code", "custom"),
}
_KNOWN = ("connect", "send", "send-binary", "expect", "comment")


def tcp_check(reading: Reading, words: list[str]) -> None:
    """A `tcp-check` line: the next step. The first of a section forgets those of its `defaults`."""
    section = reading.here
    kind = argument(words, 1, "connect, send, expect or comment")
    steps = section.settings.steps if section.own_steps else ()
    if len(steps) >= STEPS_MAX:
        raise Mistake("tcp-check", f"is there more than {STEPS_MAX} times: remove some")
    match kind:
        case "connect":
            step = _connect(reading, words, steps)
        case "send" | "send-binary":
            step = _send(words)
        case "expect":
            step = _expect(words)
        case "comment":
            step = CheckStep("comment", comment=argument(words, 2, "a text"))
        case _:
            _refuse(kind)
            raise Mistake(kind, f"is not known after 'tcp-check': {hint(kind, _KNOWN)}")
    section.own_steps = True
    section.set(steps=(*steps, step))


def with_comments(steps: tuple[CheckStep, ...]) -> tuple[CheckStep, ...]:
    """Give steps the comment of the `comment` line before them, as HAProxy does: a `connect` takes
    it, a row of `send` or of `expect` shares it."""
    told: list[CheckStep] = []
    comment, before = "", "comment"
    for step in steps:
        if step.kind != before and before != "comment":
            comment = ""
        before = step.kind
        if step.kind == "comment":
            comment = step.comment
        elif not step.comment and comment:
            step = replace(step, comment=comment)
        if step.kind == "connect":
            comment = ""
        told.append(step)
    return tuple(told)


def _refuse(word: str) -> None:
    if word in _AT_CHECK_TIME:
        raise Mistake(word, "is worked out at each check by HAProxy: write the text itself")


def _connect(reading: Reading, words: list[str], steps: tuple[CheckStep, ...]) -> CheckStep:
    kinds = [step.kind for step in steps if step.kind != "comment"]
    if kinds and "connect" not in kinds:
        raise Mistake("tcp-check connect", "comes after other steps: write it first")
    step = CheckStep("connect")
    at = 2
    while at < len(words):
        word = words[at]
        value = ""
        if word in ("addr", "port", "comment", "sni", "alpn"):
            value = argument(words, at + 1, f"an argument (of '{word}')")
            at += 1
        at += 1
        match word:
            case "default":
                step = replace(step, default=True)
            case "addr":
                address = read_host(value, reading.environment)
                step = replace(step, address=address, port=step.port or address.port or None)
            case "port":
                step = replace(step, port=read_number(value, 1, 65535))
            case "comment":
                step = replace(step, comment=value)
            case "send-proxy":
                step = replace(step, send_proxy=True)
            case "linger":
                step = replace(step, linger=True)
            case "ssl":
                step = replace(step, tls=True)
            case "sni":
                step = replace(step, sni=value)
            case "alpn":
                step = replace(step, alpn=read_protocols(value))
            case _:
                raise Mistake(word, f"is not known of a connect: {hint(word, _CONNECT)}")
    return step


def _send(words: list[str]) -> CheckStep:
    text = argument(words, 2, "a text")
    data = read_binary(text) if words[1] == "send-binary" else as_bytes(text)
    comment = ""
    if len(words) > 3:
        read_choice(words[3], ("comment",))
        comment = argument(words, 4, "a text")
    if len(words) > 5:
        raise Mistake(words[5], "is one word too many: remove it, or quote the text")
    return CheckStep("send", data, comment=comment)


def _expect(words: list[str]) -> CheckStep:
    argument(words, 2, "a pattern")
    step = CheckStep("expect")
    at = 2
    while at < len(words):
        word = words[at]
        negations = len(word) - len(word.lstrip("!"))
        if negations:
            word = word.lstrip("!")
            if negations % 2:
                step = replace(step, negated=not step.negated)
            if not word:
                at += 1
                word = argument(words, at, "a pattern")
            if word not in MATCHES:
                raise Mistake(word, f"cannot follow '!': use one of {', '.join(MATCHES)}")
        _refuse(word)
        if word not in _EXPECT:
            raise Mistake(word, f"is not known of an expect: {hint(word, _EXPECT)}")
        value = argument(words, at + 1, f"an argument (of '{word}')")
        step = _expected(step, word, value)
        at += 2
    if not step.match:
        raise Mistake("expect", f"has no pattern: add one of {', '.join(MATCHES)}")
    return step


def _expected(step: CheckStep, word: str, value: str) -> CheckStep:
    if word in MATCHES:
        if step.match:
            raise Mistake(word, "is a second pattern: write one for each line")
        return replace(step, match=word, data=_pattern(word, value))
    if word in _STATUSES:
        field, statuses = _STATUSES[word]
        return changed(step, **{field: read_choice(value.upper(), statuses)})
    if word == "min-recv":
        return replace(step, minimum_bytes=read_number(value, -1, 2**31 - 1))
    if word == "comment":
        return replace(step, comment=value)
    if "%" in value:
        raise Mistake(value, "has a '%', which HAProxy fills in at each check: write a plain text")
    return changed(step, **{word.replace("-", "_"): value})


def _pattern(match: str, value: str) -> bytes:
    if match == "binary":
        return read_binary(value)
    data = as_bytes(value)
    if match == "string":
        return data
    try:
        re.compile(data)
    except (re.error, OverflowError, RecursionError) as error:
        raise Mistake(value, f"is no regular expression ({error}): mend it") from None
    return data


def read_binary(value: str) -> bytes:
    """Read hexadecimal digits, two for each byte."""
    if not re.fullmatch(r"([0-9a-fA-F]{2})+", value):
        raise Mistake(value, "is not hexadecimal: write two digits for each byte")
    return bytes.fromhex(value)
