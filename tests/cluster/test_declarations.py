"""Requests judged: RabbitMQ's codes and texts, and what withers with what.

Texts are those of RabbitMQ 3.10.8: rabbit_misc.erl equivalence_fail/4, val/1; rabbit_amqqueue.erl
check_exclusive_access/3, not_found/1; rabbit_channel.erl handle_method/6.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.coordination_catalogs import ARGUMENTS, History

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.declarations import delete_owned, has_binding, judge
from rabbitry.cluster.records import (
    AdmitMirror,
    Bind,
    Bound,
    Change,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteOwned,
    DeleteQueue,
    DropMirror,
    ExchangeDeclared,
    ExchangeDeleted,
    NodeJoined,
    NodeLeft,
    QueueDeclared,
    QueueDeleted,
    QueuePlaced,
    Refused,
    Request,
    Unbind,
    Unbound,
)
from rabbitry.wire.values import FieldValue, SignedLong, Timestamp, UnsignedByte, encode_table

QUEUE = {"virtual_host": "/", "durable": True, "auto_delete": False, "owner": "", "arguments": b""}
EXCHANGE = {
    "virtual_host": "/",
    "kind": "direct",
    "durable": True,
    "auto_delete": False,
    "internal": False,
    "arguments": b"",
}
LOCKED = (
    "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally "
    "declared on another connection or the exclusive property value does not match that of the "
    "original declaration."
)


def queue(name: str = "q", **different: Any) -> DeclareQueue:
    return DeclareQueue(**{**QUEUE, "name": name, **different})


def exchange(name: str = "x", **different: Any) -> DeclareExchange:
    return DeclareExchange(**{**EXCHANGE, "name": name, **different})


def bind(source: str = "x", destination: str = "q", **different: Any) -> Bind:
    kind = "queue" if destination.startswith("q") else "exchange"
    return Bind(
        **{
            "virtual_host": "/",
            "source": source,
            "destination_kind": kind,
            "destination": destination,
            "routing_key": "k",
            "arguments": b"",
            **different,
        }
    )


def unbind(source: str = "x", destination: str = "q", **different: Any) -> Unbind:
    like = bind(source, destination, **different)
    return Unbind(
        like.virtual_host,
        like.source,
        like.destination_kind,
        like.destination,
        like.routing_key,
        like.arguments,
        like.owner,
    )


def having(*requests: Request) -> Catalog:
    history = History()
    for request in requests:
        history.grant(request)
    return history.catalog


def judged(catalog: Catalog, request: Request) -> list[Change] | tuple[int, str]:
    judgement = judge(catalog, request, "a", 99)
    if isinstance(judgement, Refused):
        assert not judgement.hard
        return judgement.reply_code, judgement.text
    return judgement


def table(**arguments: FieldValue) -> bytes:
    return encode_table({name.replace("_", "-"): value for name, value in arguments.items()})


# --- queues ---------------------------------------------------------------------------------------


def test_a_new_queue_is_declared_and_placed() -> None:
    catalog = Catalog()
    catalog.apply(NodeJoined("a", "1", "h", 1))
    catalog.apply(NodeJoined("b", "1", "h", 2))
    assert judged(catalog, queue()) == [
        QueueDeclared("/", "q", 99, True, False, "", b""),
        QueuePlaced(99, 1, "a", ["b"], ["a", "b"]),
    ]


def test_declaring_the_same_queue_again_changes_nothing() -> None:
    assert judged(having(queue()), queue()) == []
    assert judged(having(queue(owner="a#1/1")), queue(owner="a#1/1")) == []


@pytest.mark.parametrize(
    ("different", "text"),
    [
        ({"durable": False}, "'durable' for queue 'q' in vhost '/': received 'false' but current"
         " is 'true'"),
        ({"auto_delete": True}, "'auto_delete' for queue 'q' in vhost '/': received 'true' but"
         " current is 'false'"),
        ({"arguments": ARGUMENTS[2]}, "'x-queue-mode' for queue 'q' in vhost '/': received the"
         " value 'lazy' of type 'longstr' but current is none"),
    ],
)  # fmt: skip
def test_inequivalent_queue(different: dict[str, Any], text: str) -> None:
    assert judged(having(queue()), queue(**different)) == (406, f"inequivalent arg {text}")


def test_durable_is_judged_before_arguments_and_ownership_before_both() -> None:
    other = queue(durable=False, arguments=ARGUMENTS[2])
    code, text = judged(having(queue()), other)
    assert (code, "'durable'" in str(text)) == (406, True)
    assert judged(having(queue(owner="b#1/1")), other) == (405, LOCKED)


@pytest.mark.parametrize(("first", "second"), [("a#1/1", "a#1/2"), ("a#1/1", ""), ("", "a#1/1")])
def test_a_queue_of_another_connection_is_locked(first: str, second: str) -> None:
    assert judged(having(queue(owner=first)), queue(owner=second)) == (405, LOCKED)


@pytest.mark.parametrize(
    ("current", "received", "text"),
    [
        ({"x_max_length": 5}, {"x_max_length": 6}, "received '6' but current is '5'"),
        ({"x_max_length": 5}, {}, "received none but current is the value '5' of type 'signedint'"),
        (
            {"x_max_length": SignedLong(5)},
            {},
            "received none but current is the value '5' of type 'long'",
        ),
        (
            {},
            {"x_max_length": UnsignedByte(5)},
            "received the value '5' of type 'unsignedbyte' but current is none",
        ),
        ({}, {"x_expires": True}, "received the value 'true' of type 'bool' but current is none"),
        ({}, {"x_expires": 1.5}, "received the value '1.5' of type 'double' but current is none"),
        (
            {},
            {"x_expires": Timestamp(3)},
            "received the value '3' of type 'timestamp' but current is none",
        ),
        ({"x_overflow": "a"}, {"x_overflow": "b"}, "received 'b' but current is 'a'"),
        ({"x_expires": 1}, {"x_expires": True}, "received 'true' but current is '1'"),
        ({"x_expires": 1}, {"x_expires": 1.0}, "received '1.0' but current is '1'"),
        ({"x_expires": 1}, {"x_expires": "1"}, "received '1' but current is '1'"),
        (
            {},
            {"x_queue_type": "quorum"},
            "received the value 'quorum' of type 'longstr' but current is none",
        ),
    ],
)
def test_inequivalent_argument(
    current: dict[str, FieldValue], received: dict[str, FieldValue], text: str
) -> None:
    catalog = having(queue(arguments=table(**current)))
    code, told = judged(catalog, queue(arguments=table(**received)))
    name = next(iter({**current, **received})).replace("_", "-")
    assert (code, told) == (406, f"inequivalent arg '{name}' for queue 'q' in vhost '/': {text}")


@pytest.mark.parametrize(
    ("current", "received"),
    [
        ({"x_max_length": 5}, {"x_max_length": SignedLong(5)}),
        ({"x_max_length": UnsignedByte(5)}, {"x_max_length": SignedLong(5)}),
        ({"x_unheard_of": 1}, {"x_unheard_of": 2}),
        ({"my_own": 1}, {}),
        ({}, {"x_queue_type": "classic"}),
        ({"x_queue_type": "classic"}, {}),
        ({"x_max_length": 5, "x_overflow": "a"}, {"x_overflow": "a", "x_max_length": 5}),
    ],
)
def test_equivalent_arguments(
    current: dict[str, FieldValue], received: dict[str, FieldValue]
) -> None:
    catalog = having(queue(arguments=table(**current)))
    assert judged(catalog, queue(arguments=table(**received))) == []


def test_deleting_a_queue_twice() -> None:
    catalog = having(queue())
    assert judged(catalog, DeleteQueue(1)) == [QueueDeleted("/", "q", 1)]
    assert judged(catalog, DeleteQueue(2)) == []


# --- exchanges ------------------------------------------------------------------------------------


def test_a_new_exchange() -> None:
    declared = ExchangeDeclared("/", "x", "direct", True, False, False, b"")
    assert judged(Catalog(), exchange()) == [declared]
    assert judged(having(exchange()), exchange()) == []


@pytest.mark.parametrize(
    ("different", "text"),
    [
        ({"kind": "topic"}, "'type' for exchange 'x' in vhost '/': received 'topic' but current"
         " is 'direct'"),
        ({"durable": False}, "'durable' for exchange 'x' in vhost '/': received 'false' but"
         " current is 'true'"),
        ({"auto_delete": True}, "'auto_delete' for exchange 'x' in vhost '/': received 'true' but"
         " current is 'false'"),
        ({"internal": True}, "'internal' for exchange 'x' in vhost '/': received 'true' but"
         " current is 'false'"),
        ({"arguments": encode_table({"alternate-exchange": "y"})}, "'alternate-exchange' for"
         " exchange 'x' in vhost '/': received the value 'y' of type 'longstr' but current is"
         " none"),
        ({"kind": "topic", "durable": False}, "'type' for exchange 'x' in vhost '/': received"
         " 'topic' but current is 'direct'"),
    ],
)  # fmt: skip
def test_inequivalent_exchange(different: dict[str, Any], text: str) -> None:
    assert judged(having(exchange()), exchange(**different)) == (406, f"inequivalent arg {text}")


def test_other_arguments_of_an_exchange_may_differ() -> None:
    assert judged(having(exchange()), exchange(arguments=table(x_mine=1))) == []


def test_deleting_an_exchange() -> None:
    catalog = having(exchange(), queue(), bind())
    assert judged(catalog, DeleteExchange("/", "x", False)) == [ExchangeDeleted("/", "x")]
    in_use = (406, "exchange 'x' in vhost '/' in use")
    assert judged(catalog, DeleteExchange("/", "x", True)) == in_use
    assert judged(having(exchange()), DeleteExchange("/", "x", True)) != []
    assert judged(catalog, DeleteExchange("/", "y", True)) == []


def test_an_exchange_that_only_others_lead_to_is_unused() -> None:
    catalog = having(exchange(), exchange("y"), bind("y", "x"))
    assert judged(catalog, DeleteExchange("/", "x", True)) == [ExchangeDeleted("/", "x")]


# --- bindings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (bind(), "no exchange 'x' in vhost '/'"),
        (bind("amq.direct"), "no queue 'q' in vhost '/'"),
        (bind("amq.direct", "x"), "no exchange 'x' in vhost '/'"),
    ],
)
def test_binding_what_is_not_there(request_: Bind, text: str) -> None:
    assert judged(Catalog(), request_) == (404, text)


def test_binding_and_unbinding() -> None:
    catalog = having(exchange(), queue())
    assert not has_binding(catalog, bind())
    assert judged(catalog, bind()) == [Bound("/", "x", "queue", "q", "k", b"")]
    catalog = having(exchange(), queue(), bind())
    assert has_binding(catalog, bind())
    assert judged(catalog, bind()) == []
    assert judged(catalog, bind(arguments=ARGUMENTS[1])) != []
    assert judged(catalog, unbind()) == [Unbound("/", "x", "queue", "q", "k", b"")]


def test_unbinding_what_is_not_there_succeeds() -> None:
    assert judged(Catalog(), unbind()) == []
    assert judged(having(exchange()), unbind()) == []
    assert judged(having(exchange(), queue()), unbind()) == []
    locked = having(exchange(), queue(owner="b#1/1"))
    assert judged(locked, unbind(owner="a#1/1")) == []


def test_bindings_of_a_queue_of_another_connection() -> None:
    mine, other = bind(owner="b#1/1"), bind(owner="a#1/1")
    catalog = having(exchange(), queue(owner="b#1/1"))
    assert judged(catalog, other) == (405, LOCKED)
    assert judged(catalog, mine) != []
    catalog = having(exchange(), queue(owner="b#1/1"), mine)
    assert judged(catalog, other) == (405, LOCKED)
    assert not has_binding(catalog, other)
    assert judged(catalog, unbind(owner="a#1/1")) == (405, LOCKED)


# --- what goes with what --------------------------------------------------------------------------


def test_an_auto_delete_exchange_withers_with_its_last_binding() -> None:
    catalog = having(exchange(auto_delete=True), queue(), bind(), bind(routing_key="other"))
    assert judged(catalog, unbind()) == [Unbound("/", "x", "queue", "q", "k", b"")]
    assert judged(catalog, DeleteQueue(2)) == [
        QueueDeleted("/", "q", 2),
        ExchangeDeleted("/", "x"),
    ]
    for change in judge(catalog, unbind(), "a", 9):
        catalog.apply(change)
    last = judged(catalog, unbind(routing_key="other"))
    assert last == [Unbound("/", "x", "queue", "q", "other", b""), ExchangeDeleted("/", "x")]


def test_an_auto_delete_exchange_that_was_never_bound_stays() -> None:
    catalog = having(exchange(auto_delete=True), queue())
    assert judged(catalog, DeleteQueue(2)) == [QueueDeleted("/", "q", 2)]


def test_withering_goes_on_through_chains_and_cycles() -> None:
    chain = having(
        exchange("w"),
        exchange("x", auto_delete=True),
        exchange("y", auto_delete=True),
        queue(),
        bind("w", "x"),
        bind("x", "y"),
        bind("y", "q"),
    )
    gone = [QueueDeleted("/", "q", 4), ExchangeDeleted("/", "y"), ExchangeDeleted("/", "x")]
    assert judged(chain, DeleteQueue(4)) == gone
    cycle = having(
        exchange("x", auto_delete=True), exchange("y", auto_delete=True), bind("x", "y"),
        bind("y", "x"),
    )  # fmt: skip
    deleted = [ExchangeDeleted("/", "x"), ExchangeDeleted("/", "y")]
    assert judged(cycle, DeleteExchange("/", "x", False)) == deleted


def test_a_connection_takes_its_queues_and_what_withers_by_all_of_them() -> None:
    catalog = having(
        exchange(auto_delete=True),
        queue("q", owner="a#1/1"),
        queue("qq", owner="a#1/1"),
        queue("qqq", owner="a#1/11"),
        bind(owner="a#1/1"),
        bind(destination="qq", owner="a#1/1"),
    )
    gone = [QueueDeleted("/", "q", 2), QueueDeleted("/", "qq", 3), ExchangeDeleted("/", "x")]
    assert judged(catalog, DeleteOwned("a#1/1")) == gone
    assert delete_owned(catalog, "a#1/") == [*gone[:2], QueueDeleted("/", "qqq", 4), gone[2]]
    assert delete_owned(catalog, "a#2/") == []


# --- mirrors --------------------------------------------------------------------------------------


def placed(*in_sync: str) -> Catalog:
    catalog = having(queue())
    for name in "abc":
        catalog.apply(NodeJoined(name, "1", "h", 1))
    catalog.apply(QueuePlaced(1, 5, "a", ["b", "c"], list(in_sync)))
    return catalog


def test_admitting_and_dropping_a_mirror() -> None:
    admitted = QueuePlaced(1, 5, "a", ["b", "c"], ["a", "b", "c"])
    assert judged(placed("a", "b"), AdmitMirror(1, 5, "c", 0)) == [admitted]
    dropped = QueuePlaced(1, 5, "a", ["b", "c"], ["a", "b"])
    assert judged(placed("a", "b", "c"), DropMirror(1, 5, "c")) == [dropped]


def test_admitting_and_dropping_one_that_is_stored() -> None:
    catalog = placed()
    catalog.apply(QueuePlaced(1, 5, "a", ["b", "c"], ["a"], ["b", "c"]))
    admitted = QueuePlaced(1, 5, "a", ["b", "c"], ["a", "b"], ["c"])
    assert judged(catalog, AdmitMirror(1, 5, "b", 0)) == [admitted]
    dropped = QueuePlaced(1, 5, "a", ["b", "c"], ["a"], ["c"])
    assert judged(catalog, DropMirror(1, 5, "b")) == [dropped]
    catalog.apply(NodeLeft("b", "1", True))
    assert judged(catalog, AdmitMirror(1, 5, "b", 0)) == [], "it would be waited for"


@pytest.mark.parametrize(
    "request_",
    [
        AdmitMirror(1, 4, "c", 0),
        AdmitMirror(2, 5, "c", 0),
        AdmitMirror(1, 5, "b", 0),
        AdmitMirror(1, 5, "d", 0),
        DropMirror(1, 4, "b"),
        DropMirror(1, 5, "c"),
        DropMirror(1, 5, "a"),
    ],
)
def test_words_about_mirrors_that_change_nothing(request_: Request) -> None:
    assert judged(placed("a", "b"), request_) == []
