"""Conversations in which we do not answer as RabbitMQ does yet: by reason, the names.

A difference that goes away fails its test: then its name goes from here. What is to stay is told in
docs/differences-from-rabbitmq.md.
"""

from __future__ import annotations

_LISTED: dict[str, str] = {
    "RabbitMQ counts ahead of what is given back just before": """
        requeued_beyond_the_length
    """,
    "quorum: not as in RabbitMQ yet": """
        delivered_more_often_than_allowed_is_a_dead_letter
        delivered_more_often_than_allowed_is_dropped deliveries_are_counted
        full_quorum_queue_drops_its_oldest message_with_headers_is_counted_beside_them
        quorum_queue_got_and_acknowledged quorum_queue_with_delivery_limit
        quorum_queue_with_delivery_limit_negative quorum_queue_with_delivery_limit_text
        stream_declared_plain
    """,
    "ttl: not as in RabbitMQ yet": """
        shorter_time_behind_a_longer_one_waits
    """,
}

AWAITED = {name: reason for reason, names in _LISTED.items() for name in names.split()}
