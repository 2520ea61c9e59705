"""A balancer machine and somebody at its runtime socket, for tests of commands."""

from __future__ import annotations

from support.balancer_conversation import Conversation

from rabbitry.balancer.balancer import RuntimeLine
from rabbitry.balancer.commands.terminal import Terminal
from rabbitry.balancer.statistics.process import Facts
from rabbitry.machine import Answer, Asked, Effect, LinksMeasured, MeasureLinks

FACTS = Facts(version="0.1.0", pid=42, date="23/Nov/2026:03:45:21.176")


class RuntimeTalk(Conversation):
    """A conversation with a balancer that one can say commands to."""

    def __init__(self, text: str, level: str = "admin") -> None:
        super().__init__(text)
        self.terminal = Terminal(level, 10_000_000)
        self.effects: list[Effect] = []

    def say(self, line: str) -> str:
        """What is sent for this line; what else happened is in `effects`."""
        effects = self.take(Asked(7, RuntimeLine(self.terminal, line, FACTS)))
        measures = [each for each in effects if isinstance(each, MeasureLinks)]
        for measure in measures:
            effects.remove(measure)
            effects += self.take(LinksMeasured([], measure.number))
        (answer,) = (each for each in effects if isinstance(each, Answer))
        self.effects = [each for each in effects if each is not answer]
        assert answer.number == 7
        text: str = answer.answer
        return text
