"""Records about a queue: each names the queue and the epoch first, by which they are sorted."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from rabbitry.cluster.queue_records import Replied, Subscribe, ToLeader, ToMirror, ToUser
from rabbitry.cluster.records import AnyRecord, decode, encode

KINDS = [*get_args(ToLeader), *get_args(ToUser), *get_args(ToMirror)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_names_its_queue_and_epoch(kind: type[Any]) -> None:
    assert kind.__struct_fields__[:2] == ("queue", "epoch")


def test_each_belongs_to_one_direction_and_can_be_decoded() -> None:
    assert len(dict.fromkeys(KINDS)) == len(KINDS)
    assert set(KINDS) <= set(get_args(AnyRecord))


def test_what_may_be_left_out_has_its_default() -> None:
    subscribe = Subscribe(1, 2, 3, ("n#1", 4), 5, False, False, 6)
    assert not subscribe.paused
    assert decode(encode(subscribe)) == subscribe
    assert decode(encode(Replied(1, 2, 3, None))) == Replied(1, 2, 3, None, 0, 0)
