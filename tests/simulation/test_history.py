"""The facts of a run: what is written down, and what cannot be."""

from __future__ import annotations

import pytest

from rabbitry.simulation.history import History, MessageKey, key_of, make_body, replica_views

KEY = MessageKey("p0", 12, 3)


@pytest.mark.parametrize("padding_bytes", [0, 1, 100])
def test_a_body_says_which_message_it_is(padding_bytes: int) -> None:
    body = make_body(KEY, padding_bytes)
    assert key_of(body) == KEY
    assert len(body) == len(make_body(KEY)) + padding_bytes


@pytest.mark.parametrize("body", [b"", b"p0:1", b"p0:x:1|", b"\xff:1:1|"])
def test_foreign_bodies_are_told_apart(body: bytes) -> None:
    with pytest.raises(ValueError):
        key_of(body)


def test_an_attempt_is_published_once() -> None:
    history = History()
    history.publish(1, "q", KEY, 1, make_body(KEY))
    with pytest.raises(ValueError, match="p0:12:3 published twice"):
        history.publish(2, "q", KEY, 2, make_body(KEY))


def test_what_arrives_otherwise_than_published_is_a_fact_of_its_own() -> None:
    history = History()
    history.publish(1, "q", KEY, 1, make_body(KEY, 5))
    history.deliver(2, "q", "c", 1, make_body(KEY, 5), False)
    assert not history.damaged and KEY in history.delivered_keys
    history.deliver(3, "q", "c", 1, make_body(KEY, 4), True)
    history.deliver(4, "other", "c", 1, make_body(KEY, 5), True)
    history.deliver(5, "q", "c", 1, make_body(MessageKey("p0", 13, 1)), False)
    history.deliver(6, "q", "c", 1, b"nonsense", False)
    texts = ["another body", "from other, sent to q", "never published", "nobody published"]
    assert len(history.damaged) == len(texts)
    for text, damage in zip(texts, history.damaged, strict=True):
        assert text in damage


def test_the_views_of_what_a_node_shows() -> None:
    inspected = {
        "q": {"role": "leader", "epoch": 3, "position": 9, "messages": [(7, "x"), [8, "y"]]},
        "r": {"role": "mirror", "epoch": 1, "position": 0, "messages": [], "in_sync": ["a", "b"]},
    }
    one, other = replica_views("rabbit", inspected)
    assert (one.node, one.queue, one.role, one.epoch, one.position) == (
        "rabbit",
        "q",
        "leader",
        3,
        9,
    )
    assert one.messages == ((7, "x"), (8, "y")) and one.in_sync == ()
    assert other.in_sync == ("a", "b")


def test_leaders_are_remembered_once_with_the_time_first_seen() -> None:
    history = History()
    held = {"q": {"role": "leader", "epoch": 3, "position": 0, "messages": []}}
    mirror = {"q": {**held["q"], "role": "mirror"}}
    for at in (10, 20):
        history.see_replicas(at, replica_views("a", held) + replica_views("b", mirror))
        history.see_given(at, "q", 3, "a")
    assert history.leaders_seen == {("q", 3): {"a": 10}}
    assert history.leaders_given == {("q", 3): {"a": 10}}
