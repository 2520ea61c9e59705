"""Which messages are to survive their broker: the property `delivery-mode`.

Owns reading it for a whole run at once, for it is asked of every message to a durable queue. A
message is persistent where the mode is 2, as in RabbitMQ (rabbit_basic.erl, is_message_persistent);
anything else, or nothing, is transient.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import Final

from rabbitry.wire.properties import (
    CONTENT_ENCODING,
    CONTENT_TYPE,
    DELIVERY_MODE,
    HEADERS,
    delivery_mode_of,
)

PERSISTENT: Final = 2

# Where the mode is in a content's first frame, when nothing stands before it.
_MODE_OFFSET: Final = 21
_first_value = itemgetter(_MODE_OFFSET)
_LONGER: Final = CONTENT_TYPE | CONTENT_ENCODING | HEADERS


def persistent_parts(flags: int, contents: list[bytes]) -> list[tuple[int, int]]:
    """Return which of a run's contents are persistent, as half-open ranges of their indexes.

    `flags` are the property flags that all of them have.
    """
    if not flags & DELIVERY_MODE or not contents:
        return []
    if flags & _LONGER:
        modes = list(map(delivery_mode_of, contents))
    else:
        modes = list(map(_first_value, contents))
    alike = modes.count(modes[0])
    if alike == len(modes):
        return [(0, alike)] if modes[0] == PERSISTENT else []
    parts = []
    at = 0
    for mode, group in groupby(modes):
        end = at + len(list(group))
        if mode == PERSISTENT:
            parts.append((at, end))
        at = end
    return parts
