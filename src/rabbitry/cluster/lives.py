"""The coordinator's lives: whether what a node has heard is part of what this store tells.

A store cannot know that it is an older copy of itself; the nodes' stores can. A node remembers the
last revision that it heard and in which life of the coordinator (`Join`), and the coordinator's
store has its lives with the revision at which each began. A life ends where the next one begins: a
node that heard more in it than that, or heard a life that is not there, has followed something that
this store has never seen. To let that node in would delete what has been declared since.

Nobody is told what is not durable, nor in which life before that is in the store: no crash or power
failure makes a node know more. Owns only the lives; a part of the coordinator's counters.
"""

from __future__ import annotations

from typing import Final

from rabbitry.cluster.records import Join

LIVES_MAX: Final = 32
"""So many are kept: they are written with every change. Of older ones only the end is known."""


class Lives:
    """See the module. `began` has the first revision of each, oldest first; the last one lasts."""

    def __init__(self, began: dict[str, int]) -> None:
        self.began = began

    @property
    def current(self) -> str:
        """The name of this life; empty before there is one."""
        return next(reversed(self.began), "")

    def begin(self, life: str, revision: int) -> None:
        """Another life begins, with everything through `revision` in the store."""
        self.began[life] = revision
        while len(self.began) > LIVES_MAX:
            del self.began[next(iter(self.began))]

    def has_told(self, join: Join) -> bool:
        """Whether all that the node has heard is in this store, or was."""
        if join.life in ("", self.current):
            return True
        lives = list(self.began)
        # Of a life that is not there, no more can be ours than what came before all that are.
        following = lives.index(join.life) + 1 if join.life in self.began else 0
        return join.revision <= self.began[lives[following]]


def refusal_of(name: str) -> str:
    """Return what people are told about a node that has heard more than this store has told."""
    return (
        f"the coordinator's store is older than that of node {name}: put the newer one back, or "
        "have a whole backup with `rabbitry restore FILE`; nothing was deleted"
    )
