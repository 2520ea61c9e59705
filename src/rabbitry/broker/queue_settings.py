"""What a queue is told to do with its messages: its arguments and policies, as one value.

Owns which of them wins where several speak. Whether arguments are valid at all is judged when a
queue is declared (`declaring`); what a queue does by these settings is in the queue.

RabbitMQ: rabbit_queue_type_util.erl args_policy_lookup/3; rabbit_amqqueue_process.erl
process_args_policy/1; rabbit_policy.erl merge_operator_definitions/2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rabbitry.wire.values import FieldValue

DROP_HEAD: Final = "drop-head"
REJECT_PUBLISH: Final = "reject-publish"
REJECT_PUBLISH_DLX: Final = "reject-publish-dlx"


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """None stands for "not set". `priority_max` 0: a queue without priorities."""

    kind: str = "classic"  # or "quorum"
    message_ttl_ms: int | None = None
    expires_ms: int | None = None
    length_max: int | None = None
    length_bytes_max: int | None = None
    overflow: str = DROP_HEAD
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    priority_max: int = 0
    single_active_consumer: bool = False
    delivery_limit: int | None = None

    @property
    def rejects_publishes(self) -> bool:
        """Whether a full queue refuses what is published, instead of dropping its oldest."""
        return self.overflow != DROP_HEAD and self.bounded

    @property
    def bounded(self) -> bool:
        """Whether the queue has a greatest length."""
        return self.length_max is not None or self.length_bytes_max is not None


DEFAULT: Final = QueueSettings()


def settings_of(
    arguments: Mapping[str, FieldValue],
    policy: Mapping[str, object] | None = None,
    operator_policy: Mapping[str, object] | None = None,
) -> QueueSettings:
    """Return the settings of a queue declared with valid `arguments`, under these policies.

    Policies are given by what they define, by RabbitMQ's keys. Of numbers the least wins; of all
    else the argument, then the operator's policy, then the user's.
    """
    sources = [policy or {}, operator_policy or {}]
    if not arguments and not any(sources):
        return DEFAULT

    def least(name: str) -> int | None:
        values = [arguments.get(f"x-{name}"), *(source.get(name) for source in sources)]
        return min((value for value in values if isinstance(value, int)), default=None)

    def first(name: str) -> str | None:
        values = [arguments.get(f"x-{name}"), *(source.get(name) for source in reversed(sources))]
        return next((value for value in values if isinstance(value, str)), None)

    priority_max = arguments.get("x-max-priority")
    return QueueSettings(
        kind="quorum" if arguments.get("x-queue-type") == "quorum" else "classic",
        message_ttl_ms=least("message-ttl"),
        expires_ms=least("expires"),
        length_max=least("max-length"),
        length_bytes_max=least("max-length-bytes"),
        overflow=first("overflow") or DROP_HEAD,
        dead_letter_exchange=first("dead-letter-exchange"),
        dead_letter_routing_key=first("dead-letter-routing-key"),
        priority_max=priority_max if isinstance(priority_max, int) else 0,
        single_active_consumer=arguments.get("x-single-active-consumer") is True,
        delivery_limit=least("delivery-limit"),
    )
