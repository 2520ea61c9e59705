"""Every record that is for a leader calls it; the calls themselves are the leader's tests."""

from __future__ import annotations

from typing import Any, get_args
from unittest.mock import MagicMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rabbitry.broker.message import Routes
from rabbitry.cluster.leader import QueueLeader
from rabbitry.cluster.leading import tell_leader
from rabbitry.cluster.queue_records import Publish, ToLeader


@pytest.mark.parametrize("kind", get_args(ToLeader), ids=lambda kind: kind.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_every_record_is_one_call(kind: type[Any], data: st.DataObject) -> None:
    record = Publish(1, 1, 2, RUN, 1) if kind is Publish else data.draw(st.builds(kind))
    leader = MagicMock(spec=QueueLeader)
    tell_leader(leader, Routes(), "b", "b#1", record)
    assert len(leader.method_calls) == 1


RUN = (b"e", b"k", 0, [b"one", b"two"])


def test_a_publish_is_its_messages_and_numbers() -> None:
    leader = MagicMock(spec=QueueLeader)
    tell_leader(leader, Routes(), "b", "b#1", Publish(1, 1, 9, RUN, 7))
    ((name, (origin, last, messages, settled), _),) = leader.method_calls
    assert (name, origin, last, settled) == ("publish", "b#1", 9, 7)
    assert [(route.exchange, frames) for route, frames in messages] == [
        (b"e", b"one"),
        (b"e", b"two"),
    ]
