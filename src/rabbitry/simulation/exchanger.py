"""A client that deletes a queue and declares it again, over and over, as others do meanwhile.

Owns what it asks for and how many answers it waits for. So nodes that were away come back to
questions that waited for a queue which is gone, while another has its name. It is patient: it keeps
its connection while its node hangs. From `calm_at` on it asks no more, and must have its answers.
"""

from __future__ import annotations

from random import Random

from rabbitry.simulation.client import CHANNEL, Client, ClientSettings
from rabbitry.simulation.history import History
from rabbitry.wire.methods import Method, QueueDeclare, QueueDeclareOk, QueueDelete, QueueDeleteOk

EXCHANGED_QUEUE = "e0"


class Exchanger(Client):
    """See the module. Asks at most `interval_us` after the last answer."""

    def __init__(
        self,
        client: ClientSettings,
        history: History,
        random: Random,
        *,
        interval_us: int,
        calm_at: int,
    ) -> None:
        super().__init__(client, history, random)
        self.exchanged_count = 0
        self._interval_us = interval_us
        self._calm_at = calm_at
        self._awaited = 0

    @property
    def idle(self) -> bool:
        """Whether it waits for nothing."""
        return not self._awaited

    def on_queue_ready(self) -> None:
        """Begin anew."""
        self._go_on()

    def on_lost(self) -> None:
        """What was asked for is not answered any more."""
        self._awaited = 0

    def on_timer(self, timer: str) -> None:
        """Ask."""
        if timer != "next" or not self.ready or self._awaited or self.now >= self._calm_at:
            return
        declare = QueueDeclare(queue=EXCHANGED_QUEUE, durable=True)
        methods: list[Method] = [declare] * self.random.randint(1, 3)
        if self.random.random() < 0.5:
            methods.insert(0, QueueDelete(queue=EXCHANGED_QUEUE))
        self._awaited = len(methods)
        for method in methods:
            self.endpoint.send_method(CHANNEL, method)

    def on_command(self, method: Method, contents: list[bytes]) -> None:
        """Take an answer."""
        if isinstance(method, QueueDeclareOk | QueueDeleteOk):
            self.exchanged_count += isinstance(method, QueueDeleteOk)
            self._awaited -= 1
            if not self._awaited:
                self._go_on()

    def _go_on(self) -> None:
        self.set_timer("next", self.random.randint(0, self._interval_us))
