"""Scripted clients and servers, for a balancer to stand between.

Owns what clients and servers do with their links, and what each has sent and received. Every stream
is a pattern of its own, so that a byte that is lost, doubled, out of order or of another stream is
seen. What is to be thought of it is `balancer_checkers`'.

A client's stream begins with its number (4 bytes), a server's with the server's number and the
client's, as far as it knows it. Health checks open links and close them without a byte.

Invariants: deterministic; a machine here keeps the contract of `rabbitry.machine` itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from rabbitry.machine import (
    Address,
    BytesReceived,
    CloseLink,
    Effect,
    Event,
    FinishLink,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    OpenLink,
    PauseReading,
    ResumeReading,
    SendBytes,
    SetTimer,
    Started,
    TimerFired,
)

_ROUND = bytes(range(251))
_MS = 1000

CLIENT_STYLES = ("polite", "polite", "polite", "waits", "breaks", "leaves", "slow", "silent")
SERVER_STYLES = ("answers", "answers", "greets", "long", "closes", "resets", "hangs")


def stream(key: int, start: int, size: int) -> bytes:
    """Bytes `start` to `start + size` of the endless stream of this key."""
    offset = (key * 7 + start) % len(_ROUND)
    return (_ROUND * (size // len(_ROUND) + 2))[offset : offset + size]


@dataclass(slots=True)
class Conversation:
    """One link of a client or server: what it has sent and received, and how it ended.

    `number` is the client's; at a server -1 until it is known. `ended` is "" while it lives,
    "finished" after an orderly end of the other side, "broken", or "left" if it was this side.
    """

    number: int
    style: str
    sent: int = 0
    received: bytearray = field(default_factory=bytearray)
    finish_sent: bool = False
    finish_received: bool = False
    ended: str = ""


class ScriptedClients:
    """Clients of one host. Each opens a link to `front` at a time of its own.

    `plans` has (time, style, size to send) of each client, by number.
    """

    def __init__(self, front: Address, plans: list[tuple[int, str, int]], random: Random) -> None:
        self.plans = plans
        self.conversations: dict[int, Conversation] = {}
        self._front = front
        self._random = random
        self._next_link = 0
        self._by_link: dict[int, Conversation] = {}

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event."""
        match event:
            case Started():
                times = enumerate(at for at, _, _ in self.plans)
                return [SetTimer(f"open {number}", now + at) for number, at in times]
            case TimerFired(timer):
                word, _, number = timer.partition(" ")
                return self._act(word, int(number), now)
            case LinkOpened(link):
                return self._opened(link, now)
            case BytesReceived(link, data):
                self._by_link[link].received += data
            case LinkFinished(link):
                return self._finished(link)
            case LinkClosed(link, reason):
                talk = self._by_link[link]
                talk.ended = talk.ended or ("broken" if reason else "finished")
            case _:
                pass
        return []

    def _act(self, word: str, number: int, now: int) -> list[Effect]:
        if word == "open":
            self._next_link -= 1
            talk = Conversation(number, self.plans[number][1])
            self.conversations[number] = self._by_link[self._next_link] = talk
            return [OpenLink(self._next_link, self._front)]
        talk = self.conversations[number]
        if talk.ended:
            return []
        link = next(each for each, other in self._by_link.items() if other is talk)
        if word == "resume":
            return [ResumeReading(link)]
        return self._send(link, talk, now)

    def _opened(self, link: int, now: int) -> list[Effect]:
        talk = self._by_link[link]
        if talk.style == "silent":
            return []
        effects = self._send(link, talk, now)
        if talk.style == "slow":
            wait_us = self._random.randint(10, 900) * _MS
            effects += [PauseReading(link), SetTimer(f"resume {talk.number}", now + wait_us)]
        return effects

    def _send(self, link: int, talk: Conversation, now: int) -> list[Effect]:
        """Send the next piece; the last one is followed by what the style says."""
        size = self.plans[talk.number][2]
        piece = min(self._random.randint(1, size), size - talk.sent)
        data = talk.number.to_bytes(4, "big") if not talk.sent else b""
        data += stream(talk.number, talk.sent, piece)
        talk.sent += piece
        effects: list[Effect] = [SendBytes(link, data)]
        if talk.sent < size:
            wait_us = self._random.randint(0, 60) * _MS
            effects.append(SetTimer(f"send {talk.number}", now + wait_us))
        elif talk.style in ("polite", "slow"):
            talk.finish_sent = True
            effects.append(FinishLink(link))
        elif talk.style == "breaks":
            talk.ended = "left"
            effects.append(CloseLink(link, abort=True))
        elif talk.style == "leaves":
            talk.ended = "left"
            effects.append(CloseLink(link))
        return effects

    def _finished(self, link: int) -> list[Effect]:
        talk = self._by_link[link]
        talk.finish_received = True
        if not talk.finish_sent:
            talk.finish_sent = True
            return [FinishLink(link)]
        return []


class ScriptedServer:
    """A server: does with each link what the next of its `styles` says."""

    def __init__(self, number: int, styles: list[str]) -> None:
        self.number = number
        self.conversations: list[Conversation] = []
        self._styles = styles
        self._by_link: dict[int, Conversation] = {}

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event."""
        match event:
            case LinkOpened(link):
                return self._opened(link)
            case BytesReceived(link, data):
                return self._received(link, data)
            case LinkFinished(link):
                return self._finished(link)
            case LinkClosed(link, reason):
                talk = self._by_link.pop(link)
                talk.ended = talk.ended or ("broken" if reason else "finished")
            case _:
                pass
        return []

    def _opened(self, link: int) -> list[Effect]:
        style = self._styles[len(self.conversations) % len(self._styles)]
        talk = Conversation(-1, style)
        self.conversations.append(talk)
        self._by_link[link] = talk
        if style == "hangs":
            return [PauseReading(link)]
        if style == "greets":
            return self._send(link, talk, 700)
        if style == "closes":
            talk.finish_sent = True
            return [*self._send(link, talk, 50), FinishLink(link)]
        return []

    def _send(self, link: int, talk: Conversation, size: int) -> list[Effect]:
        start = talk.sent
        talk.sent += size
        data = stream(1000 + self.number, start, size)
        return [SendBytes(link, (b"" if start else bytes([self.number])) + data)]

    def _received(self, link: int, data: bytes) -> list[Effect]:
        talk = self._by_link[link]
        talk.received += data
        if talk.number < 0 and len(talk.received) >= 4:
            talk.number = int.from_bytes(talk.received[:4], "big")
        if talk.style == "resets":
            talk.ended = "left"
            return [CloseLink(link, abort=True)]
        if talk.finish_sent:
            return []
        return self._send(link, talk, len(data))

    def _finished(self, link: int) -> list[Effect]:
        talk = self._by_link[link]
        talk.finish_received = True
        if talk.finish_sent:
            return []
        talk.finish_sent = True
        size = 90_000 if talk.style == "long" and talk.received else 0
        effects = self._send(link, talk, size) if size else []
        return [*effects, FinishLink(link)]
