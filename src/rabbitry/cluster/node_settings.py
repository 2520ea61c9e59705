"""What a node is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from rabbitry.machine import Address
from rabbitry.wire.content import BODY_SIZE_BYTES_MAX

QUEUE_MEMORY_BYTES_MAX: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """`incarnation` names the process: no two runs of a node may have the same.

    The next are RabbitMQ's settings of these names. `loopback_users` may log in from loopback
    only; `consumer_timeout_ms` is how long a delivery may wait for its acknowledgement (0: for
    ever); `max_message_size_bytes` is what the body of a message may have.
    `wall_clock_offset_us` added to the time of a step gives microseconds since 1970.
    `queue_memory_bytes_max` is what messages in queues may take of the memory; what is more is in
    the store only.
    """

    name: str
    incarnation: str
    secret: bytes = field(repr=False)
    coordinator: Address
    loopback_users: tuple[str, ...] = ("guest",)
    consumer_timeout_ms: int = 30 * 60 * 1000
    max_message_size_bytes: int = BODY_SIZE_BYTES_MAX
    wall_clock_offset_us: int = 0
    queue_memory_bytes_max: int = QUEUE_MEMORY_BYTES_MAX
