"""Conversations in which we do not answer as RabbitMQ does yet: by name, with the reason.

A difference that goes away fails its test: then its name goes from here. What is to stay is told in
docs/differences-from-rabbitmq.md.
"""

from __future__ import annotations

AWAITED: dict[str, str] = {}
