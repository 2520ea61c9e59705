"""aio-pika, unmodified, through the balancer's one address, while the leaders of its queue die.

Publishers keep a window of messages unconfirmed and publish again what a broken connection left
so; consumers use aio-pika's own robust connections, which find their way back by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aio_pika
import pytest
from support.ledger import Ledger
from support.running_cluster import NODES, RunningCluster

ROUNDS = 10
QUEUE = "payments"
BACKLOG_QUEUE = "backlog"
BACKLOG_MESSAGES = 100_000
WINDOW = 50
DEADLINE_S = 120
CLOSE_S = 10

LOST = aio_pika.exceptions.CONNECTION_EXCEPTIONS

pytestmark = pytest.mark.processes


def url(port: int) -> str:
    return f"amqp://guest:guest@127.0.0.1:{port}/?heartbeat=10"


def run(main: Callable[[asyncio.TaskGroup], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario; a client that fails ends it, and so does the deadline."""

    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as clients:
            await main(clients)

    # Not `asyncio.run`: it waits at its end for tasks of robust connections that ignore being
    # cancelled, and so would turn any failure into a hang.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(bounded())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


class Publisher:
    """Publishes until `stop`, then waits for its last confirms."""

    def __init__(self, ledger: Ledger, name: str, port: int, queue: str = QUEUE) -> None:
        self._ledger = ledger
        self._name = name
        self._port = port
        self._queue = queue
        self._unconfirmed: dict[str, None] = {}
        self.stop = asyncio.Event()

    async def run(self) -> None:
        numbers = itertools.count()
        while self._unconfirmed or not self.stop.is_set():
            try:
                connection = await aio_pika.connect(url(self._port))
                async with connection:
                    channel = await connection.channel(publisher_confirms=True)
                    await self._publish(channel, list(self._unconfirmed))
                    while not self.stop.is_set():
                        bodies = [f"{self._name} {next(numbers)}" for _ in range(WINDOW)]
                        await self._publish(channel, bodies)
            except LOST:
                self._ledger.broke(self._name)
                await asyncio.sleep(0.05)

    async def _publish(self, channel: aio_pika.abc.AbstractChannel, bodies: list[str]) -> None:
        self._unconfirmed |= dict.fromkeys(bodies)
        results = await asyncio.gather(
            *(self._publish_one(channel, body) for body in bodies), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _publish_one(self, channel: aio_pika.abc.AbstractChannel, body: str) -> None:
        self._ledger.sent(body)
        message = aio_pika.Message(body.encode(), delivery_mode=2)
        await channel.default_exchange.publish(message, routing_key=self._queue)
        self._ledger.confirmed(body)
        del self._unconfirmed[body]


@contextlib.asynccontextmanager
async def consumer(ledger: Ledger, name: str, port: int) -> AsyncIterator[None]:
    """Run a consumer that acknowledges each message."""
    connection = await aio_pika.connect_robust(url(port), reconnect_interval=0.05)
    connection.close_callbacks.add(lambda *_: ledger.broke(name))
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=20)
    queue = await channel.get_queue(QUEUE)

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        ledger.received(name, message.body.decode(), bool(message.redelivered))
        try:
            await message.ack()
        except LOST:  # its connection went meanwhile; the message will come again
            ledger.broke(name)

    await queue.consume(take)
    try:
        yield
    finally:
        async with asyncio.timeout(CLOSE_S):
            await connection.close()


async def declare(port: int, name: str) -> None:
    async with await aio_pika.connect(url(port)) as connection:
        channel = await connection.channel()
        await channel.declare_queue(name, durable=True)


def test_ten_leaders_killed(cluster: RunningCluster) -> None:
    ledger = Ledger()

    async def main(clients: asyncio.TaskGroup) -> None:
        await declare(cluster.front, QUEUE)
        publishers = [Publisher(ledger, f"publisher-{index}", cluster.front) for index in range(2)]
        for publisher in publishers:
            clients.create_task(publisher.run())
        places = {"balanced-0": cluster.front, "balanced-1": cluster.front}
        places |= {name: cluster.node_port(name) for name in NODES}
        async with contextlib.AsyncExitStack() as consumers:
            for name, port in places.items():
                await consumers.enter_async_context(consumer(ledger, name, port))
            await asyncio.to_thread(kill_leaders, cluster, ledger)
            for publisher in publishers:
                publisher.stop.set()
            await asyncio.to_thread(ledger.wait, "all that was confirmed", ledger.all_arrived)
            await asyncio.to_thread(cluster.wait_empty, QUEUE)

    run(main)
    ledger.check()
    print(ledger.summary())


def kill_leaders(cluster: RunningCluster, ledger: Ledger) -> None:
    """Kill the leader and start it again, ten times; consumers on survivors go on as they are."""
    ledger.wait_progress(NODES)
    for _ in range(ROUNDS):
        victim = cluster.wait_in_sync(QUEUE)["leader"]
        survivors = [name for name in NODES if name != victim]
        breaks = {name: ledger.breaks[name] for name in survivors}
        cluster.command("kill", victim)
        ledger.wait_progress(survivors)
        cluster.command("start", victim)
        ledger.wait_progress(NODES)
        assert {name: ledger.breaks[name] for name in survivors} == breaks, "survivors noticed"


def test_a_node_joins_again_beside_a_long_queue_that_serves(cluster: RunningCluster) -> None:
    """100,000 messages are copied to it in the background, and confirms go on meanwhile."""
    ledger = Ledger()

    async def main(clients: asyncio.TaskGroup) -> None:
        await declare(cluster.front, BACKLOG_QUEUE)
        await fill(cluster.front)
        queue = await asyncio.to_thread(cluster.wait_in_sync, BACKLOG_QUEUE)
        assert queue["messages"] == BACKLOG_MESSAGES
        victim = queue["leader"]
        survivor = next(name for name in NODES if name != victim)
        publisher = Publisher(ledger, "publisher", cluster.node_port(survivor), BACKLOG_QUEUE)
        clients.create_task(publisher.run())
        await asyncio.to_thread(ledger.wait_progress, [])
        await asyncio.to_thread(cluster.command, "kill", victim)
        await asyncio.to_thread(ledger.wait_progress, [])
        await asyncio.to_thread(cluster.command, "start", victim)
        await asyncio.to_thread(ledger.wait_progress, [])
        queue = await asyncio.to_thread(cluster.wait_in_sync, BACKLOG_QUEUE)
        await asyncio.to_thread(ledger.wait_progress, [])
        publisher.stop.set()
        # The one that has joined again holds it all: when both others are gone, it leads alone.
        for name in [queue["leader"], *(one for one in queue["mirrors"] if one != victim)]:
            await asyncio.to_thread(cluster.command, "kill", name)
        wanted = BACKLOG_MESSAGES + ledger.confirmed_count()
        status = await asyncio.to_thread(
            cluster.wait_status,
            "the last node leads",
            lambda status: (
                status["queues"][0]["leader"] == victim
                and status["queues"][0]["messages"] is not None
            ),
        )
        assert status["queues"][0]["messages"] >= wanted

    run(main)
    assert not ledger.breaks, "a publisher at a survivor notices nothing"


async def fill(port: int) -> None:
    """Publish the backlog without waiting for each confirm; return when all are confirmed."""
    async with await aio_pika.connect(url(port)) as connection:
        channel = await connection.channel(publisher_confirms=True)
        message = aio_pika.Message(b"x" * 100, delivery_mode=2)
        for _ in range(BACKLOG_MESSAGES // 1000):
            await asyncio.gather(
                *(
                    channel.default_exchange.publish(message, routing_key=BACKLOG_QUEUE)
                    for _ in range(1000)
                )
            )
