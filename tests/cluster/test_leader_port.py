"""What a leader needs of its node is what `Hosting` has."""

from __future__ import annotations

import inspect

from rabbitry.cluster.hosting import Hosting
from rabbitry.cluster.leader_port import LeaderPort


def test_hosting_has_all_of_it() -> None:
    asked = [
        name
        for kind in LeaderPort.__mro__
        for name, value in vars(kind).items()
        if not name.startswith("_") and inspect.isfunction(value)
    ]
    assert {"deliver", "dead_letter", "tell_mirrors", "wake"} <= set(asked)
    for name in asked:
        wanted = inspect.signature(getattr(LeaderPort, name)).parameters
        assert list(inspect.signature(getattr(Hosting, name)).parameters)[: len(wanted)] == list(
            wanted
        ), name
