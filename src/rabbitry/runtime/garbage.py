"""When Python looks for cycles of objects that nobody else holds: seldom.

Owns that choice for processes that serve. Messages of a broker and sessions of a balancer form none
that stay; looking through a full queue, or ten thousand sessions, again and again for what is not
there is work for nothing.
"""

from __future__ import annotations

import gc


def tune_garbage_collection() -> None:
    """Spare the collector what lives as long as the process. Call it when everything is made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
