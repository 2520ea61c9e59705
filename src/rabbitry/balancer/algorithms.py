"""Which server is next: weighted round robin.

Owns the turn-taking among candidates that somebody else found usable. Knows nothing of health or
links.

The rule is the smooth weighted one: at each turn every candidate gains its weight, the one with
most is chosen and pays back the sum of all weights. With equal weights that is the order of the
list; with weights 5, 1, 1 it is a a b a c a a, never a a a a a b c. HAProxy's own `roundrobin`
(src/lb_fwrr.c) gives each server the same share by another road.

Invariants: deterministic; the turns of candidates that are not asked about do not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Weighted(Protocol):
    """A candidate. `weight` > 0; `credit` belongs to `round_robin` and starts at 0."""

    @property
    def weight(self) -> int:
        """The share of turns, relative to the other candidates' weights."""
        ...

    credit: int


Candidate = TypeVar("Candidate", bound=Weighted)


def round_robin(candidates: Sequence[Candidate]) -> Candidate | None:
    """Choose whose turn it is; None if there is no candidate. Ties go to the first in order."""
    best: Candidate | None = None
    total = 0
    for candidate in candidates:
        candidate.credit += candidate.weight
        total += candidate.weight
        if best is None or candidate.credit > best.credit:
            best = candidate
    if best is not None:
        best.credit -= total
    return best
