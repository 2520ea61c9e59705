"""What a node has of its queues."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from rabbitry.cluster.site import Site, pageable


def test_a_site_is_paged_by_its_leader_else_by_its_mirror() -> None:
    entry: Any = SimpleNamespace(placed=SimpleNamespace(epoch=3))
    leading, mirroring, using = Site(entry), Site(entry), Site(entry)
    leader: Any = SimpleNamespace(pager="pager")
    mirror: Any = "mirror"
    leading.leader, mirroring.mirror = leader, mirror
    assert pageable([leading, using, mirroring]) == ["pager", "mirror"]
    assert using.epoch == 3
