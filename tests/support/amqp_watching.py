"""A watch of `option amqp-check`, its host, and servers that answer at once, in virtual time."""

from __future__ import annotations

from collections.abc import Callable

from support.amqp_server import AmqpServer

from rabbitry.balancer.checking.amqp_asking import AmqpAsking
from rabbitry.balancer.checking.amqp_watch import AmqpWatch
from rabbitry.balancer.checking.results import Result
from rabbitry.connection.handshake import Credentials

MS = 1000
INTER_US = 1000 * MS
OK = "RabbitMQ 3.10.8"


class Stage:
    """A watch, its host, and servers that answer at once. Links are numbered from 1.

    `verdicts` has (milliseconds, status, info) of each; `ended` the links and how they were closed.
    """

    def __init__(
        self,
        answer_limit_us: int | None = None,
        user: str = "guest",
        asks_disk: bool = False,
        new_server: Callable[[], AmqpServer] = AmqpServer,
    ) -> None:
        self.now = 0
        self.verdicts: list[tuple[int, str, str]] = []
        self.finals: list[bool] = []
        self.servers: dict[int, AmqpServer] = {}
        self.new_server = new_server
        self.ended: dict[int, bool] = {}
        self.refusing = self.absorbing = False
        self.interval_us = INTER_US
        self.steady = True
        self._wake_at: int | None = None
        self._links = 0
        self._waiting: list[int] = []
        self._closed: list[int] = []
        self._said: list[tuple[int, bytes]] = []
        self.watch = AmqpWatch(
            self,
            lambda probes, asks_disk, now: AmqpAsking(
                Credentials(user, "guest"), "test", now, probes=probes, asks_disk=asks_disk
            ),
            INTER_US,
            INTER_US,
            answer_limit_us,
            asks_disk,
        )
        self.watch.begin(0)
        self.settle()

    # what the watch asks of its host

    def open(self) -> int:
        self._links += 1
        self._waiting.append(self._links)
        return self._links

    def send(self, link: int, data: bytes) -> None:
        self._say(link, self.servers[link].feed(data))

    def close(self, link: int, abort: bool) -> None:
        self.ended[link] = abort
        self.servers.pop(link, None)
        self._closed.append(link)

    def wake(self, at: int) -> None:
        self._wake_at = at

    def judged(self, verdict: Result, duration_us: int, final: bool) -> None:
        assert duration_us >= 0
        self.verdicts.append((self.now // MS, verdict.status, verdict.info))
        self.finals.append(final)

    # what happens

    def _say(self, link: int, data: bytes) -> None:
        while data:  # frame by frame: much can happen between two of them
            size = 8 + int.from_bytes(data[3:7], "big")
            self._said.append((link, data[:size]))
            data = data[size:]

    def settle(self) -> None:
        """Let links open and everybody say what they have to say."""
        while self._waiting or self._said or self._closed:
            for link in self._closed:
                self.watch.closed(link, "", "L4CON", self.now)
            self._closed.clear()
            for link in self._waiting[:]:
                self._waiting.remove(link)
                if self.refusing:
                    self.watch.closed(link, "Connection refused", "L4CON", self.now)
                elif not self.absorbing:
                    self.servers[link] = self.new_server()
                    self.watch.opened(link, self.now)
            if self._said:
                link, data = self._said.pop(0)
                self.watch.received(link, data, self.now)

    def say(self, link: int, data: bytes) -> None:
        self._say(link, data)
        self.settle()

    def pass_time(self, until_ms: int) -> None:
        while self._wake_at is not None and self._wake_at <= until_ms * MS:
            self.now, self._wake_at = self._wake_at, None
            self.watch.woken(self.now)
            self.settle()
        self.now = until_ms * MS

    def break_link(self, link: int) -> None:
        del self.servers[link]
        self.watch.closed(link, "Connection reset by peer", "L4CON", self.now)
        self.settle()


def statuses(stage: Stage) -> list[str]:
    return [status for _, status, _ in stage.verdicts]


def silent_server() -> AmqpServer:
    server = AmqpServer()
    server.silent = True
    return server
