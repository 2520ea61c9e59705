"""A stage for one conversation with one broker: clients, names nobody else uses, the transcript."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from support.raw_client import PATIENCE_S, RawClient

from rabbitry.wire.methods import ConfirmSelect, ExchangeDeclare, QueueDeclare

Scenario = Callable[["Stage"], None]


class Stage:
    """`queue` and `exchange` are names of this conversation alone."""

    def __init__(self, port: int, name: str, patience_s: float = PATIENCE_S) -> None:
        self.port = port
        self.patience_s = patience_s
        self.queue = f"{name}.q"
        self.exchange = f"{name}.x"
        self.transcript: list[str] = []
        self._exits = contextlib.ExitStack()

    def client(
        self,
        name: str = "",
        *,
        channels: int = 1,
        capabilities: tuple[str, ...] = ("consumer_cancel_notify",),
        frame_max: int = 131072,
        user: str = "guest",
        virtual_host: str = "/",
    ) -> RawClient:
        """Return a client that is logged in, with its channels open."""
        return self.stranger(name, capabilities=capabilities, frame_max=frame_max).open(
            virtual_host, channels=channels, user=user
        )

    def stranger(
        self,
        name: str = "",
        *,
        capabilities: tuple[str, ...] = ("authentication_failure_close",),
        frame_max: int = 131072,
        channel_max: int = 2047,
    ) -> RawClient:
        """Return a client that has connected and said nothing."""
        return self._exits.enter_context(
            RawClient(
                self.port,
                self.transcript,
                name,
                frame_max=frame_max,
                channel_max=channel_max,
                capabilities=capabilities,
                patience_s=self.patience_s,
            )
        )

    def declared(self, name: str = "", *, channels: int = 1, **declaration: Any) -> RawClient:
        """Return a client that has declared `queue` (and has heard so)."""
        client = self.client(name, channels=channels)
        client.ask(QueueDeclare(queue=self.queue, **declaration))
        return client

    def filled(self, *bodies: bytes, channels: int = 1, **declaration: Any) -> RawClient:
        """Return a client whose `queue` has these messages."""
        client = self.declared(channels=channels, **declaration)
        self.fill(*bodies)
        return client

    def fill(self, *bodies: bytes) -> None:
        """Put these messages into `queue`, without a word in the transcript."""
        # RabbitMQ counts ahead of publishes that are on their way; what is confirmed is there.
        transcript, self.transcript = self.transcript, []
        publisher = self.client()
        self.transcript = transcript
        publisher.ask(ConfirmSelect())
        publisher.publish(self.queue, *bodies)
        publisher.confirms(len(bodies))

    def with_exchange(self, kind: str, **declaration: Any) -> RawClient:
        """Return a client that has declared `queue` and `exchange`."""
        client = self.declared()
        client.ask(ExchangeDeclare(exchange=self.exchange, type=kind, **declaration))
        return client

    def close(self) -> None:
        """Close every client."""
        self._exits.close()


def transcript_of(
    name: str, scenario: Scenario, port: int, patience_s: float = PATIENCE_S
) -> list[str]:
    """Have the conversation with the broker on this port and return what was heard."""
    stage = Stage(port, name, patience_s)
    try:
        scenario(stage)
    finally:
        stage.close()
    return stage.transcript
