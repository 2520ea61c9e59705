"""A route is one object for an exchange and a key, and a message is a pair."""

from __future__ import annotations

from rabbitry.broker.message import ROUTES_KEPT_MAX, Route, Routes, messages_of, run_of
from rabbitry.wire.frames import method_frame
from rabbitry.wire.methods import BasicDeliver


def test_the_tail_ends_a_deliver_frame() -> None:
    route = Route(b"amq.topic", b"a.b")
    deliver = BasicDeliver(
        consumer_tag="c", delivery_tag=1, exchange="amq.topic", routing_key="a.b"
    )
    assert method_frame(1, deliver.encode()).endswith(route.tail)
    assert len(route.tail) == 1 + 9 + 1 + 3 + 1


def test_names_may_have_any_255_bytes() -> None:
    name = bytes(range(256))[:255]
    assert Route(name, name).tail == (b"\xff" + name) * 2 + b"\xce"


def test_the_same_names_give_the_same_route() -> None:
    routes = Routes()
    route = routes.get(b"x", b"key")
    assert routes.get(b"x", b"key") is route
    assert (route.exchange, route.routing_key) == (b"x", b"key")
    # Where one name ends and the other begins must not blur.
    assert routes.get(b"xk", b"ey") is not route


def test_endless_routing_keys_take_bounded_memory_and_stay_right() -> None:
    routes = Routes()
    for number in range(2 * ROUTES_KEPT_MAX + 5):
        key = str(number).encode()
        assert routes.get(b"x", key).routing_key == key
    assert len(routes._known) <= ROUTES_KEPT_MAX


def test_messages_of_a_run_share_their_route() -> None:
    route = Route(b"", b"q")
    assert messages_of(route, [b"one", b"two"]) == [(route, b"one"), (route, b"two")]
    assert messages_of(route, []) == []


def test_a_run_travels_with_all_that_its_route_says() -> None:
    routes = Routes()
    route = routes.get(b"x", b"k", 0x0100)
    assert route is not routes.get(b"x", b"k")
    run = run_of([(route, b"one"), (route, b"two")])
    assert run == (b"x", b"k", 0x0100, [b"one", b"two"])
    assert routes.messages(run) == [(route, b"one"), (route, b"two")]
