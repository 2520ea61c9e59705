"""Sections with checked servers, and waiting for what the statistics say of their health.

Owns what the scenarios about health share: texts, groups of columns, and two ways to wait.
"""

from __future__ import annotations

from support.balancer_sides import Side

TWO = """
listen front
    bind 127.0.0.1:{front}
    %s
    server s1 127.0.0.1:{s1} %s
    server s2 127.0.0.1:{s2} %s
"""
ONE = """
listen front
    bind 127.0.0.1:{front}
    %s
    server s1 127.0.0.1:{s1} %s
"""
QUICK = "check inter 300 fastinter 50 downinter 50 rise 2 fall 2"
CHECK = ("status", "check_status", "check_code", "last_chk", "check_desc")
COUNTS = ("chkfail", "chkdown", "check_rise", "check_fall", "check_health", "hanafail")


def checked(side: Side, *columns: str, name: str = "s1") -> list[str]:
    """These columns of a server once it has been checked."""
    found = side.figures_when(
        lambda rows: rows[name][0] not in ("", "INI") and not rows[name][0].startswith("*"),
        "check_status",
        *columns,
    )
    return found[name][1:]


def when(side: Side, status: str, *columns: str, name: str = "s1") -> list[str]:
    """These columns of a server once it has this status, and no check is under way."""
    found = side.figures_when(
        lambda rows: rows[name][0] == status and not rows[name][1].startswith("*"),
        "status",
        "check_status",
        *columns,
    )
    return found[name][2:]
