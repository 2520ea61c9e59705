"""What is in a queue: put there with confirms, looked at, or taken out. Blocking, over pika."""

from __future__ import annotations

from collections.abc import Iterable

import pika
from pika.adapters.blocking_connection import BlockingChannel


def connect(port: int, user: str = "guest", virtual_host: str = "/") -> pika.BlockingConnection:
    """Return a connection; a user's password is the user's name."""
    credentials = pika.PlainCredentials(user, user)
    return pika.BlockingConnection(
        pika.ConnectionParameters(
            "127.0.0.1",
            port,
            virtual_host,
            credentials,
            blocked_connection_timeout=60,
            socket_timeout=20,
        )
    )


def declare(port: int, *queues: str) -> None:
    """Declare durable queues."""
    with connect(port) as connection:
        channel = connection.channel()
        for queue in queues:
            channel.queue_declare(queue, durable=True)


def publish(port: int, queue: str, bodies: Iterable[bytes], *, persistent: bool = True) -> None:
    """Publish these, each confirmed before the next."""
    properties = pika.BasicProperties(delivery_mode=2 if persistent else 1)
    with connect(port) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for body in bodies:
            channel.basic_publish("", queue, body, properties, mandatory=True)


def take_all(port: int, queue: str) -> list[bytes]:
    """Return what is in the queue, and leave it empty."""
    with connect(port) as connection:
        return _get_all(connection.channel(), queue, auto_ack=True)


def look_at_all(port: int, queue: str) -> list[bytes]:
    """Return what is in the queue, which keeps it."""
    with connect(port) as connection:
        return _get_all(connection.channel(), queue, auto_ack=False)


def _get_all(channel: BlockingChannel, queue: str, *, auto_ack: bool) -> list[bytes]:
    bodies = []
    while (got := channel.basic_get(queue, auto_ack=auto_ack))[0] is not None:
        bodies.append(got[2])
    return bodies
