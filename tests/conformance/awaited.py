"""Conversations in which we do not answer as RabbitMQ does: by reason, the names.

A difference that goes away fails its test: then its name goes from here. What is to stay is told in
docs/differences-from-rabbitmq.md.
"""

from __future__ import annotations

_LISTED: dict[str, str] = {
    "capabilities of features that are not all there yet": """
        what_the_server_says_of_itself
    """,
}

AWAITED = {name: reason for reason, names in _LISTED.items() for name in names.split()}
