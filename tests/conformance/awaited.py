"""Conversations in which we do not answer as RabbitMQ does yet: by reason, the names.

A difference that goes away fails its test: then its name goes from here. What is to stay goes into
differences.py and its document instead.
"""

from __future__ import annotations

_LISTED: dict[str, str] = {}

AWAITED = {name: reason for reason, names in _LISTED.items() for name in names.split()}
