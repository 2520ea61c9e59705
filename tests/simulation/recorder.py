"""A machine that writes down what it hears and answers as a test tells it to."""

from __future__ import annotations

from collections.abc import Callable

from rabbitry import machine as m
from rabbitry.simulation.world import Factory

Answer = Callable[[m.Event, int], list[m.Effect]]


def silent(event: m.Event, now: int) -> list[m.Effect]:
    return []


class Recorder:
    """`heard` has (time, event) in order; `answer` decides the effects."""

    def __init__(self, answer: Answer = silent) -> None:
        self.heard: list[tuple[int, m.Event]] = []
        self.answer = answer

    def step(self, event: m.Event, now: int) -> list[m.Effect]:
        self.heard.append((now, event))
        return self.answer(event, now)

    def events(self, *kinds: type) -> list[m.Event]:
        return [event for _, event in self.heard if isinstance(event, kinds)]

    def received(self, link: int) -> bytes:
        return b"".join(
            event.data
            for _, event in self.heard
            if isinstance(event, m.BytesReceived) and event.link == link
        )


def always(machine: m.Machine) -> Factory:
    """Return a factory that gives this machine for every incarnation."""
    return lambda incarnation, entropy: machine


def on_start(*effects: m.Effect) -> Answer:
    """Return an answer that emits these effects when the machine starts."""
    return lambda event, now: list(effects) if isinstance(event, m.Started) else []
