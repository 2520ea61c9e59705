"""What a check of a server can conclude, in HAProxy's words.

Owns the statuses, their descriptions, and whether a status is a pass or a failure (src/check.c,
`check_statuses`); and the shape in which the runs of this room say what they want done. Does not
own what follows for the server (`balancer.servers`), or when checks are made (`balancer.checks`).

Invariants: a `Result` has one of `STATUSES`; its text is at most `INFO_SIZE_MAX` long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from rabbitry.machine import Address

Outcome = Literal["none", "neutral", "failed", "passed", "conditional"]
"""`neutral` says nothing of the server; `conditional` that it wants no new sessions."""

STATUSES: Final[dict[str, tuple[Outcome, str]]] = {
    "UNK": ("none", "Unknown"),
    "INI": ("none", "Initializing"),
    "CHECKED": ("neutral", "No status change"),
    "HANA": ("failed", "Health analyze"),
    "SOCKERR": ("failed", "Socket error"),
    "L4OK": ("passed", "Layer4 check passed"),
    "L4TOUT": ("failed", "Layer4 timeout"),
    "L4CON": ("failed", "Layer4 connection problem"),
    "L6OK": ("passed", "Layer6 check passed"),
    "L6TOUT": ("failed", "Layer6 timeout"),
    "L6RSP": ("failed", "Layer6 invalid response"),
    "L7TOUT": ("failed", "Layer7 timeout"),
    "L7RSP": ("failed", "Layer7 invalid response"),
    "L7OK": ("passed", "Layer7 check passed"),
    "L7OKC": ("conditional", "Layer7 check conditionally passed"),
    "L7STS": ("failed", "Layer7 wrong status"),
    "PROCERR": ("failed", "External check error"),
    "PROCTOUT": ("failed", "External check timeout"),
    "PROCOK": ("passed", "External check passed"),
}

WITH_CODE: Final = frozenset({"L7OK", "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK"})
"""Statuses beyond which a code is told: HAProxy's `>= HCHK_STATUS_L57DATA`."""

OWN_WANTS: Final = (
    "Too many open files",
    "Too many open files in system",
    "No buffer space available",
    "Cannot allocate memory",
)
"""Why a link cannot be opened, whatever the server does: we lack something ourselves."""

INFO_SIZE_MAX: Final = 127
"""HCHK_DESC_LEN less the zero at its end."""


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a check. `info` is a detail for people (HAProxy's `last_chk`), empty where the
    status says all; `code` of the layer 7, 0 where there is none. `remark` is what of `info` people
    must not miss of a server that has passed (`option amqp-check`: an alarm).
    """

    status: str
    info: str = ""
    code: int = 0
    remark: str = ""

    @property
    def outcome(self) -> Outcome:
        """What it means for the server: nothing, where the check could not be made for our want."""
        if self.status == "SOCKERR" and self.info.startswith(OWN_WANTS):
            return "neutral"
        return STATUSES[self.status][0]

    @property
    def description(self) -> str:
        """The status in words."""
        return STATUSES[self.status][1]


def result(status: str, info: str = "", code: int = 0, remark: str = "") -> Result:
    """Return a result whose texts are cut to what HAProxy keeps of them."""
    return Result(status, info[:INFO_SIZE_MAX], code, remark[:INFO_SIZE_MAX])


def printable(text: object) -> str:
    """Text of a stranger, fit for a log line and a page."""
    return "".join(each if each.isprintable() else "?" for each in str(text)[:100])


# --- what a run wants done ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a link, in place of the one that was open, and give the check its time anew.

    None stands for the address and port of the server's checks. `tls`, `sni` and `send_proxy` are
    as on the line of the step; `by_default` where the server's own settings hold.
    """

    address: Address | None = None
    port: int | None = None
    tls: bool = False
    send_proxy: bool = False
    by_default: bool = True
    sni: str | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes over the link."""

    data: bytes


Want = Connect | Send


class Run(Protocol):
    """One check of one server, from `begin` until it has a `result`.

    Each method tells what has happened to the link that was asked for last, and returns what shall
    be done, in order. Once there is a `result`, nothing is wanted any more and the link is to be
    closed. A result may be missing at the end of a link: then the check goes on until it `expired`.
    """

    result: Result | None

    def begin(self) -> list[Want]:
        """The check begins."""
        ...

    def opened(self) -> list[Want]:
        """The link is open (TLS too, where it was asked for)."""
        ...

    def received(self, data: bytes) -> list[Want]:
        """The server has sent these bytes."""
        ...

    def finished(self) -> list[Want]:
        """The server has sent all it will send."""
        ...

    def broken(self, reason: str, status: str) -> None:
        """The link broke (SOCKERR), or could not be opened, which is a `status` L4CON or L6RSP."""
        ...

    def expired(self, status: str) -> None:
        """Time is over (L7TOUT), or was before the link opened: a `status` L4TOUT or L6TOUT."""
        ...
