"""Plays a scenario to HAProxy and to our balancer at the same time, and compares what came of it.

Owns `play`: a file, a script that speaks to one side and returns what it saw, and the claim that
both saw the same. What a scenario needs around it (log, statistics page, runtime socket) stands in
`PREAMBLE`, before its own sections. That a test which has played may be tried again is told in
`playing_again`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from support.balancer_sides import Side
from support.playing_again import first_difference, playing
from support.scripted_servers import Behaviour

Seen = TypeVar("Seen")
Script = Callable[[Side], Seen]

PREAMBLE = """
global
    log 127.0.0.1:{log} local0
    maxconn 1000
    stats socket {socket} level admin
defaults
    log global
    mode tcp
    option tcplog
    timeout connect 2s
    timeout client 5s
    timeout server 5s
    timeout check 3s
listen page
    bind 127.0.0.1:{page}
    mode http
    stats enable
    stats uri /stats
"""

PLAY_S = 60.0


def play(
    text: str,
    script: Script[Seen],
    behaviours: Mapping[str, Behaviour | str | None] | None = None,
    *,
    preamble: str = PREAMBLE,
) -> Seen:
    """Play it to both; fail where ours does not do as HAProxy; return what HAProxy did."""
    theirs, ours = play_apart(text, script, behaviours, preamble=preamble)
    assert ours == theirs, (
        f"differs: {first_difference(ours, theirs)}\nours: {ours!r}\nHAProxy's: {theirs!r}"
    )
    return theirs


def play_apart(
    text: str,
    script: Script[Seen],
    behaviours: Mapping[str, Behaviour | str | None] | None = None,
    *,
    preamble: str = PREAMBLE,
) -> tuple[Seen, Seen]:
    """Play it to both; return what HAProxy did, and ours."""
    playing()
    plays = [_Play(who, preamble + text, script, behaviours or {}) for who in SIDES]
    for each in plays:
        each.start()
    for each in plays:
        each.join(PLAY_S)
    for each in plays:
        assert not each.is_alive(), f"{each.name}: the script does not end"
        if each.error is not None:
            raise AssertionError(f"{each.name}: {each.error!r}\n{each.printed}") from each.error
    theirs, ours = (each.seen for each in plays)
    return theirs, ours


SIDES = ("haproxy", "rabbitry")


class _Play(threading.Thread):
    """The scenario on one side."""

    def __init__(
        self,
        who: str,
        text: str,
        script: Script[Any],
        behaviours: Mapping[str, Behaviour | str | None],
    ) -> None:
        super().__init__(name=who, daemon=True)
        self._text = text
        self._script = script
        self._behaviours = behaviours
        self.seen: Any = None
        self.error: BaseException | None = None
        self.printed = ""

    def run(self) -> None:
        side = Side(self.name)
        try:
            side.set_up(self._text, self._behaviours)
            side.start(self._text)
            self.seen = self._script(side)
        except BaseException as error:
            self.error = error
            lines = [line for line in side.log.lines if "<STATS>" not in line]
            self.printed = "\n".join([*side.printed, *lines][-30:])
        finally:
            side.close()
