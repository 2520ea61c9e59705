"""Each checker with a history that must pass it and one that must fail it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rabbitry.simulation import checkers
from rabbitry.simulation.history import History, MessageKey, Quiet, ReplicaView, make_body


def key(sequence: int, attempt: int = 1) -> MessageKey:
    return MessageKey("p", sequence, attempt)


def published(*keys: MessageKey, connection: int = 1) -> History:
    history = History()
    publish(history, *keys, connection=connection)
    return history


def publish(history: History, *keys: MessageKey, connection: int) -> None:
    for each in keys:
        history.publish(1, "q", each, connection, make_body(each))


def deliver(
    history: History,
    *keys: MessageKey,
    redelivered: bool = False,
    consumer: str = "c",
    connection: int = 1,
    at: int = 5,
) -> None:
    for each in keys:
        history.deliver(at, "q", consumer, connection, make_body(each), redelivered)


VIEW = ReplicaView("a", "q", "leader", 2, 9, ((1, "x"), (2, "y")), ("a", "b"))
MIRROR = replace(VIEW, node="b", role="mirror", in_sync=())


def test_a_good_history_passes_everything() -> None:
    history = published(key(1), key(2), key(3))
    deliver(history, key(1), key(2))
    deliver(history, key(2), redelivered=True)
    deliver(history, key(3), consumer="d")
    for sequence in (1, 2, 3):
        history.confirm(2, key(sequence))
    history.see_replicas(3, [VIEW, MIRROR])
    history.see_given(3, "q", 2, "a")
    assert checkers.check_history(history) == []


def test_confirmed_delivered() -> None:
    history = published(key(1), key(1, 2), key(2))
    history.confirm(2, key(1, 2))
    deliver(history, key(1))
    assert checkers.check_confirmed_delivered(history) == [
        "confirmed but never delivered: p:1:2"
    ], "the attempt that was confirmed is the one that counts"
    deliver(history, key(1, 2))
    assert checkers.check_confirmed_delivered(history) == []


def test_what_is_not_confirmed_may_be_lost() -> None:
    history = published(key(1), key(2))
    history.refuse(2, key(1))
    history.give_up(2, key(2))
    assert checkers.check_history(history) == []


def test_bodies_and_routes() -> None:
    history = published(key(1))
    assert checkers.check_bodies(history) == checkers.check_routed(history) == []
    history.deliver(5, "q", "c", 1, b"nonsense", False)
    history.return_(5, key(1))
    assert len(checkers.check_bodies(history)) == 1
    assert checkers.check_routed(history) == [
        "returned as unroutable though the queue exists: p:1:1"
    ]


def test_order_within_one_stream() -> None:
    history = published(key(1), key(2))
    deliver(history, key(2), key(1))
    assert checkers.check_order(history) == [
        "c got p:1:1 after p:2:1 from q, neither marked redelivered"
    ]


def test_order_lets_redelivered_messages_come_late() -> None:
    history = published(key(1), key(2))
    deliver(history, key(2))
    deliver(history, key(1), redelivered=True)
    assert checkers.check_order(history) == []


def test_order_is_not_asked_across_consumers_or_connections() -> None:
    for apart in ({"consumer": "d"}, {"connection": 2}):
        history = published(key(1), key(2))
        deliver(history, key(2))
        deliver(history, key(1), **apart)  # type: ignore[arg-type]
        assert checkers.check_order(history) == []
    history = published(key(1))
    publish(history, key(2), connection=2)
    deliver(history, key(2), key(1))
    assert checkers.check_order(history) == []


def test_order_follows_what_was_published_not_the_sequence() -> None:
    history = published(key(2), key(1), key(2, 2))
    deliver(history, key(2), key(1), key(2, 2))
    assert checkers.check_order(history) == []
    history = published(key(2), key(1))
    deliver(history, key(1), key(2))
    assert len(checkers.check_order(history)) == 1


@pytest.mark.parametrize("consumer", ["c", "d"])
def test_a_second_fresh_delivery_is_a_fault_to_anybody(consumer: str) -> None:
    history = published(key(1))
    deliver(history, key(1))
    deliver(history, key(1), redelivered=True)
    assert checkers.check_redelivered(history) == []
    deliver(history, key(1), consumer=consumer)
    assert len(checkers.check_redelivered(history)) == 1


def test_a_late_first_delivery_and_a_second_attempt_are_no_faults() -> None:
    history = published(key(1), key(1, 2))
    deliver(history, key(1), redelivered=True, consumer="d")
    deliver(history, key(1), key(1, 2))
    assert checkers.check_redelivered(history) == []


def test_one_leader_in_an_epoch() -> None:
    history = History()
    history.see_replicas(1, [VIEW])
    history.see_replicas(2, [replace(VIEW, node="b", epoch=3)])
    assert checkers.check_leaders(history) == []
    history.see_replicas(3, [replace(VIEW, node="b")])
    assert checkers.check_leaders(history) == ["q has several leaders in epoch 2: a, b"]


def test_epochs_are_given_once_and_used_by_whom_they_were_given_to() -> None:
    history = History()
    history.see_given(1, "q", 2, "a")
    history.see_given(2, "q", 3, "b")
    history.see_replicas(2, [VIEW])
    assert checkers.check_epochs(history) == []
    history.see_replicas(3, [replace(VIEW, epoch=3)])
    assert checkers.check_epochs(history) == ["a leads q in epoch 3, which was given to b"]
    history.see_given(4, "q", 3, "a")
    assert checkers.check_epochs(history) == ["epoch 3 of q was given to several: b, a"]


def test_replicas_that_agree() -> None:
    assert checkers.check_replicas_agree([VIEW, MIRROR]) == []
    joining = replace(MIRROR, node="c", epoch=1, position=0, messages=())
    assert checkers.check_replicas_agree([VIEW, MIRROR, joining]) == [], "c is not in sync"


def test_what_only_a_store_has_is_not_compared() -> None:
    stored = replace(MIRROR, messages=((1, None), (2, "y")))
    assert checkers.check_replicas_agree([VIEW, stored]) == []
    assert checkers.check_mirror(VIEW, stored) == []
    lacking = replace(MIRROR, messages=((1, None),))
    assert checkers.check_replicas_agree([VIEW, lacking]) != []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"messages": ((1, "x"),)}, "lacks positions 2"),
        ({"messages": (*VIEW.messages, (3, "z"))}, "has besides positions 3"),
        ({"messages": ((1, "x"), (2, "!"))}, "differs in positions 2"),
        ({"messages": ((2, "y"), (1, "x"))}, "in another order"),
        ({"position": 8}, "applied up to 8, not 9"),
        ({"epoch": 1}, "is in epoch 1"),
    ],
)
def test_replicas_that_differ(change: dict[str, object], text: str) -> None:
    faults = checkers.check_replicas_agree([replace(MIRROR, **change), VIEW])  # type: ignore[arg-type]
    assert len(faults) == 1
    assert faults[0].startswith("q: b against leader a (epoch 2): ")
    assert text in faults[0]


def test_a_queue_without_a_leader() -> None:
    assert checkers.check_replicas_agree([MIRROR]) == ["q has no leader: b hold it"]


def test_a_mirror_is_a_prefix_of_its_leader() -> None:
    assert checkers.check_mirror(VIEW, VIEW) == []
    behind = replace(MIRROR, position=1, messages=((1, "x"),))
    assert checkers.check_mirror(VIEW, behind) == []
    assert checkers.check_mirror(VIEW, replace(MIRROR, position=12, epoch=1)) == []
    assert checkers.check_mirror(VIEW, replace(MIRROR, position=12, begun=False)) == []
    removed_late = replace(MIRROR, messages=((0, "w"), *VIEW.messages))
    assert checkers.check_mirror(VIEW, removed_late) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"position": 10}, "is at 10, ahead of 9"),
        ({"messages": ((1, "x"), (2, "!"))}, "differs in positions 2"),
        ({"messages": ((1, "x"),)}, "lacks positions 2"),
    ],
)
def test_a_mirror_that_is_not(change: dict[str, object], text: str) -> None:
    faults = checkers.check_mirror(VIEW, replace(MIRROR, **change))  # type: ignore[arg-type]
    assert len(faults) == 1
    assert text in faults[0]
    copying = replace(MIRROR, messages=((1, "x"),), complete=False)
    assert checkers.check_mirror(VIEW, copying) == []


def test_progress() -> None:
    history = published(key(1), key(2))
    history.confirm(10, key(1))
    deliver(history, key(1), at=11)
    assert checkers.check_progress(history, 10, ["p"]) == []
    assert checkers.check_progress(history, 12, ["p"]) == [
        "p got no confirm after the faults were healed",
        "q delivered nothing after the faults were healed",
    ]


def wiped(*, persistent: bool, at: int = 3) -> History:
    """Return a history of one message, published at 1 through node "n", whose queue died."""
    history = History()
    history.publish(1, "q", key(1), 1, make_body(key(1)), persistent=persistent, node="n")
    history.wipe(at, "q")
    return history


@pytest.mark.parametrize(
    ("persistent", "wiped_at", "confirmed_at", "forgiven"),
    [
        (False, 3, 2, True),
        (True, 3, 2, False),
        (False, 0, 2, False),
        (False, 3, 900_000, True),
        (False, 3, 1_100_000, False),
    ],
)
def test_a_transient_message_may_be_lost_with_all_who_had_it(
    persistent: bool, wiped_at: int, confirmed_at: int, forgiven: bool
) -> None:
    history = wiped(persistent=persistent, at=wiped_at)
    history.confirm(confirmed_at, key(1))
    assert (checkers.check_confirmed_delivered(history) == []) is forgiven


@pytest.mark.parametrize(
    ("confirmed_at", "publishers_node_died_at", "forgiven"),
    [(None, None, True), (4, None, True), (2, None, False), (None, 3, False), (None, 4, True)],
)
def test_unmarked_twice_only_where_an_unconfirmed_message_was_sent_to_a_queue_again(
    confirmed_at: int | None, publishers_node_died_at: int | None, forgiven: bool
) -> None:
    history = wiped(persistent=True)
    if confirmed_at is not None:
        history.confirm(confirmed_at, key(1))
    if publishers_node_died_at is not None:
        history.die(publishers_node_died_at, "n")
    deliver(history, key(1), at=2)
    deliver(history, key(1), at=5)
    assert (checkers.check_redelivered(history) == []) is forgiven
    assert (checkers.check_order(history) == []) is forgiven
    deliver(history, key(1), at=6)
    assert checkers.check_redelivered(history) != [], "one more for one death, not two"


def quiet_history(acknowledged_at: int = 25) -> History:
    history = published(key(1))
    history.quiet = Quiet(since=20, until=30, end=40)
    deliver(history, key(1), at=10)
    history.acknowledge(acknowledged_at, 10, key(1), "c", 1)
    return history


def test_what_was_acknowledged_in_the_quiet_time_does_not_come_back() -> None:
    history = quiet_history()
    assert checkers.check_acknowledged(history) == []
    deliver(history, key(1), at=50, redelivered=True)
    assert checkers.check_acknowledged(history) == [
        "acknowledged in time and back after all nodes died: p:1:1"
    ]
    assert checkers.check_acknowledged(published(key(1))) == [], "no quiet time"


def test_what_may_not_have_arrived_or_not_been_stored_may_come_back() -> None:
    late, early = quiet_history(31), quiet_history(19)
    lost = quiet_history()
    lost.lose_connection(35, "c", 1)
    again = quiet_history()
    deliver(again, key(1), at=35, redelivered=True)
    for history in (late, early, lost, again):
        deliver(history, key(1), at=50, redelivered=True)
        assert checkers.check_acknowledged(history) == []
    kept = quiet_history()
    kept.lose_connection(40, "c", 1)
    deliver(kept, key(1), at=50, redelivered=True)
    assert checkers.check_acknowledged(kept) != [], "the connection ended with the nodes"


def test_what_was_declared_is_there() -> None:
    history = History()
    history.declare(1, "exchange x")
    assert checkers.check_declared(history) == []
    history.miss("exchange x")
    assert checkers.check_declared(history) == ["exchange x is not as declared"]


def test_a_message_whose_digest_is_not_known_differs_from_none() -> None:
    leader = replace(VIEW, messages=((1, None), (2, "y")))
    assert checkers.check_replicas_agree([leader, MIRROR]) == []
    assert checkers.check_mirror(leader, MIRROR) == []
    assert checkers.check_replicas_agree([leader, replace(MIRROR, messages=((1, "x"),))]) != []
    swapped = replace(MIRROR, messages=((2, "y"), (1, "x")))
    assert "in another order" in checkers.check_replicas_agree([leader, swapped])[0]


def test_a_queue_is_lost_by_damage_only_and_what_follows_is_forgiven() -> None:
    history = wiped(persistent=True)
    history.confirm(2, key(1))
    history.forsake(4, "q")
    assert checkers.check_forsaken(history) == ["q is said to be lost"]
    history.damage_at = 3
    assert checkers.check_forsaken(history) == []
    assert checkers.check_confirmed_delivered(history) == []
    deliver(history, key(1), at=2)
    deliver(history, key(1), at=5)
    assert checkers.check_redelivered(history) == []
    lost_later = wiped(persistent=True)
    lost_later.confirm(2, key(1))
    deliver(lost_later, key(1), at=2)
    deliver(lost_later, key(1), at=5)
    lost_later.forsake(6, "q")
    assert checkers.check_redelivered(lost_later) != []


def test_a_leader_holds_no_message_twice() -> None:
    assert checkers.check_once(VIEW) == []
    assert checkers.check_once(replace(VIEW, messages=((1, None), (2, None)))) == []
    assert checkers.check_once(replace(VIEW, messages=((1, "x"), (2, "y"), (3, "x")))) == [
        "q: leader a (epoch 2): holds the same message at positions (1, 3)"
    ]
