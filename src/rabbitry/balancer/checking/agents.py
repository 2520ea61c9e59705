"""An agent's answer: one line about a server's health, administration, weight and limit.

Owns the words and what they mean (src/tcpcheck.c, `tcpcheck_agent_expect_reply`), and the check
that asks for them. Does not own what they change: `balancer.checks` hands them to the server, and
gives back what was wrong with them, since the server knows its weight and its backend.

The line ends at the first CR or LF. Words are divided by blanks, tabs and commas; the last of a
kind holds; `#` begins a description. Words that mean nothing are reported, and hurt nobody.

Invariants: an agent that cannot be reached or understood changes nothing of the server's health.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, cast

from rabbitry.balancer.checking.results import Connect, Result, Send, Want, result

REPLY_SIZE_BYTES_MAX: Final = 16384

Administration = Literal["", "ready", "drain", "maint"]

_HEALTH: Final = {"up": "L7OK", "down": "L7STS", "stopped": "L7STS", "fail": "L7STS"}
_WORD: Final = re.compile(r"[^ \t\n,][^ \t\n,]*")


@dataclass(frozen=True, slots=True)
class Reply:
    """What an agent said. `health` is its word ("up", "down", "stopped", "fail", or none),
    `weight` one such as "75%", `maxconn` what stood behind the colon; `unknown` is the first word
    that means nothing.
    """

    health: str = ""
    administration: Administration = ""
    weight: str | None = None
    maxconn: str | None = None
    description: str = ""
    unknown: str = ""

    @property
    def health_up(self) -> bool | None:
        """Whether it says that the server is up; None where it says nothing of that."""
        return _HEALTH[self.health.lower()] == "L7OK" if self.health else None

    def result(self, warning: str = "") -> Result:
        """The result for the server. `warning`: why its weight or limit could not be changed."""
        if self.health:
            status = _HEALTH[self.health.lower()]
            note = self.description
            if not note or status == "L7OK":
                note = self.unknown or warning or note
            return result(status, f"via agent : {self.health}" + (f" ({note})" if note else ""))
        if self.unknown:
            return result("CHECKED", f"agent reports an error : {self.unknown}")
        return result("CHECKED", f"agent warns : {warning}" if warning else "")


def read(line: str) -> Reply:
    """Return what this line says; it has no line end any more."""
    health = unknown = description = ""
    administration: Administration = ""
    weight = maxconn = None
    position = 0
    while position < len(line):
        if line[position] in " \t,":
            position += 1
            continue
        if line[position] == "#":
            description = line[position + 1 :].lstrip("\t ")
            break
        match = _WORD.match(line, position)
        assert match is not None
        word, position = match[0], match.end()
        lower = word.lower()
        if lower in _HEALTH:
            health = word
        elif lower in ("ready", "drain", "maint"):
            administration = cast(Administration, lower)
        elif "0" <= word[0] <= "9" and "%" in word:
            weight = word
        elif lower.startswith("maxconn:"):
            maxconn = word[len("maxconn:") :]
        else:
            unknown = unknown or word
    return Reply(health, administration, weight, maxconn, description, unknown)


def weight_of(text: str, initial: int, dynamic: bool) -> tuple[int | None, str]:
    """Return the weight that an agent's word asks for, or None and what is wrong with it.

    The word has a `%`: a share of the weight in the configuration. A backend whose algorithm is
    not `dynamic` takes the whole of it or nothing (src/server.c,
    `server_parse_weight_change_request`).
    """
    number, rest = _number(text)
    if number is None:
        return None, "Empty weight string empty or preceded by garbage"
    if rest == "%":
        number = min(initial * min(number, 25600) // 100, 256)
    elif number > 256:
        return None, "Absolute weight can only be between 0 and 256 inclusive."
    elif rest:
        return None, "Trailing garbage in weight string"
    if number and number != initial and not dynamic:
        text = "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'."
        return None, text
    return number, ""


def maxconn_of(text: str) -> tuple[int | None, str]:
    """Return the limit that an agent asks for, or None and what is wrong with its word."""
    if not text:
        return None, "Require <maxconn>."
    number, rest = _number(text)
    if number is None:
        return None, "maxconn string empty or preceded by garbage"
    return (None, "Trailing garbage in maxconn string") if rest else (number, "")


def _number(text: str) -> tuple[int | None, str]:
    match = re.match(r"[0-9]{1,9}(?![0-9])", text)
    return (int(match[0]), text[match.end() :]) if match else (None, text)


class AgentRun:
    """One question to an agent: see `Run`. `before` is the status of the last one.

    When the agent has answered, there is a `reply`, and no result: that is
    `reply.result(warning)`, once the server has taken it.
    """

    def __init__(self, question: bytes, before: str) -> None:
        self.result: Result | None = None
        self.reply: Reply | None = None
        self._question = question
        self._before = before
        self._buffer = b""
        self._opening = True

    def begin(self) -> list[Want]:
        """The check begins."""
        return [Connect()]

    def opened(self) -> list[Want]:
        """The agent is connected."""
        self._opening = False
        return [Send(self._question)] if self._question else []

    def received(self, data: bytes) -> list[Want]:
        """The agent has sent these bytes."""
        if self.reply is None and self.result is None:
            self._buffer += data[: REPLY_SIZE_BYTES_MAX - len(self._buffer)]
            self._read(last=len(self._buffer) >= REPLY_SIZE_BYTES_MAX)
        return []

    def finished(self) -> list[Want]:
        """The agent has sent all it will send."""
        if self.reply is None and self.result is None:
            if self._buffer:
                self._read(last=True)
            else:
                self.result = result("L7RSP", "TCPCHK got an empty response at step 2")
        return []

    def broken(self, reason: str, status: str) -> None:
        """The link broke, or could not be opened."""
        if self.reply is None and self.result is None and self._buffer:
            self.finished()
        if self.reply is None and self.result is None:
            self.result = result(status if self._opening else "SOCKERR", reason)

    def expired(self, status: str) -> None:
        """Time is over."""
        if self.reply is None and self.result is None:
            self.result = result(status if self._opening else "L7TOUT")

    def _read(self, last: bool) -> None:
        text = self._buffer.decode("utf-8", "backslashreplace")
        line = re.match(r"[^\r\n\0]*(?=[\r\n])", text)
        if line is not None:
            self.reply = read(line[0])
        elif last and self._before not in ("", "INI"):
            # At least this tells the administrator; the status is that of the last time.
            self.result = result(self._before, "Ignoring incomplete line from agent")
