"""Routing against a model of regular expressions, and bindings that are counted right."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rabbitry.broker.exchanges import (
    Binding,
    Destination,
    Exchange,
    check_binding,
    check_declaration,
    predeclared_exchanges,
    route,
)
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import FieldValue, encode_table


def to_queue(name: str, key: str = "", arguments: bytes = b"") -> Binding:
    return Binding(Destination("queue", name), key, arguments)


def to_exchange(name: str, key: str = "") -> Binding:
    return Binding(Destination("exchange", name), key)


def names(exchange: Exchange, key: str) -> list[str]:
    return [destination.name for destination in exchange.match([key]) or ()]


# --- topic ---------------------------------------------------------------------------------------


def topic_matches(binding_key: str, routing_key: str) -> bool:
    """The specification's rule, 3.1.3.3, as a regular expression over words that end in a dot."""
    pattern = ""
    for word in binding_key.split(".") if binding_key else []:
        pattern += {"*": r"[^.]*\.", "#": r"(?:[^.]*\.)*"}.get(word, re.escape(word) + r"\.")
    subject = routing_key + "." if routing_key else ""
    return re.fullmatch(pattern, subject) is not None


words = st.sampled_from(["a", "b", "*", "#", "", "a*"])
keys = st.lists(words, max_size=6).map(".".join)


@settings(max_examples=500)
@given(binding_keys=st.lists(keys, max_size=8, unique=True), routing_keys=st.lists(keys))
def test_topic_matches_like_the_regular_expression(
    binding_keys: list[str], routing_keys: list[str]
) -> None:
    exchange = Exchange("t", "topic")
    for key in binding_keys:
        exchange.bind(to_queue(key, key))
    for routing_key in routing_keys:
        expected = {key for key in binding_keys if topic_matches(key, routing_key)}
        found = names(exchange, routing_key)
        assert set(found) == expected
        assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("binding_key", "routing_key", "matches"),
    [
        ("*.stock.#", "usd.stock", True),
        ("*.stock.#", "eur.stock.db", True),
        ("*.stock.#", "stock.nasdaq", False),
        ("#", "", True),
        ("*", "", False),  # rabbit_exchange_type_topic.erl split_topic_key: "" has no words
        ("", "", True),
        ("*", "a", True),
        ("*.*", ".", True),
        ("#.#", "", True),
        ("#.a.#", "a", True),
        ("#.a", "a.b", False),
        ("a.#.b", "a.b", True),
        ("*.#", "", False),
        ("a", "*", False),
        ("a", "#", False),
        ("*", "#", True),
    ],
)
def test_topic_by_example(binding_key: str, routing_key: str, matches: bool) -> None:
    exchange = Exchange("t", "topic")
    exchange.bind(to_queue("q", binding_key))
    assert names(exchange, routing_key) == ["q"] * matches
    assert topic_matches(binding_key, routing_key) == matches


def test_many_hashes_against_many_words_end_soon() -> None:
    exchange = Exchange("t", "topic")
    exchange.bind(to_queue("never", ".".join(["#", "a"] * 60)))
    exchange.bind(to_queue("always", ".".join(["#"] * 120)))
    assert names(exchange, ".".join(["a"] * 59 + ["b"] * 60)) == ["always"]


def test_topic_gives_the_same_order_each_time() -> None:
    def build() -> Exchange:
        exchange = Exchange("t", "topic")
        for number, key in enumerate(["#", "a.*", "*.b", "a.b", "a.#", "#.b", "*.*"]):
            exchange.bind(to_queue(f"q{number}", key))
        return exchange

    first, second = build(), build()
    assert names(first, "a.b") == names(second, "a.b")
    assert len(names(first, "a.b")) == 7


# --- the other types -----------------------------------------------------------------------------


def test_direct_matches_the_key_alone() -> None:
    exchange = Exchange("d", "direct")
    for queue, key in (("one", "k"), ("two", "k"), ("other", "K"), ("star", "*")):
        assert exchange.bind(to_queue(queue, key))
    assert names(exchange, "k") == ["one", "two"]
    assert names(exchange, "*") == ["star"]
    assert names(exchange, "") == []


def test_fanout_takes_every_key_and_each_destination_once() -> None:
    exchange = Exchange("f", "fanout")
    exchange.bind(to_queue("one", "a"))
    exchange.bind(to_queue("one", "b"))
    exchange.bind(to_queue("two"))
    assert names(exchange, "anything") == ["one", "two"]
    exchange.unbind(to_queue("one", "a"))
    assert sorted(names(exchange, "")) == ["one", "two"]
    exchange.unbind(to_queue("one", "b"))
    assert names(exchange, "") == ["two"]


def test_a_queue_and_an_exchange_of_one_name_are_two_destinations() -> None:
    exchange = Exchange("d", "direct")
    exchange.bind(to_queue("n", "k"))
    exchange.bind(to_exchange("n", "k"))
    assert list(exchange.match(["k"]) or ()) == [
        Destination("queue", "n"),
        Destination("exchange", "n"),
    ]


# --- bind and unbind -----------------------------------------------------------------------------


class Bindings(RuleBasedStateMachine):
    """Any order of binding and unbinding routes as the list of bindings says."""

    def __init__(self) -> None:
        super().__init__()
        self.exchanges = [Exchange(kind, kind) for kind in ("direct", "fanout", "topic")]
        self.model: list[Binding] = []

    bindings = st.builds(
        to_queue,
        st.sampled_from(["q1", "q2"]),
        st.sampled_from(["", "a", "a.b", "#", "a.#", "*.b", "#.b.#"]),
        st.sampled_from([b"", b"\0\0\0\0"]),
    )

    @rule(binding=bindings)
    def bind(self, binding: Binding) -> None:
        for exchange in self.exchanges:
            assert exchange.bind(binding) == (binding not in self.model)
        if binding not in self.model:
            self.model.append(binding)

    @rule(binding=bindings)
    def unbind(self, binding: Binding) -> None:
        for exchange in self.exchanges:
            assert exchange.unbind(binding) == (binding in self.model)
        if binding in self.model:
            self.model.remove(binding)

    @invariant()
    def routes_as_the_list_says(self) -> None:
        direct, fanout, topic = self.exchanges
        assert list(direct.bindings) == self.model
        for key in ("", "a", "a.b", "b", "c"):
            assert set(names(direct, key)) == {
                one.destination.name for one in self.model if one.routing_key == key
            }
            assert set(names(fanout, key)) == {one.destination.name for one in self.model}
            assert set(names(topic, key)) == {
                one.destination.name for one in self.model if topic_matches(one.routing_key, key)
            }

    @invariant()
    def nothing_is_left_behind(self) -> None:
        if not self.model:
            _, _, topic = self.exchanges
            assert not topic._tree.branches
            assert not topic._tree.destinations
            assert not any(exchange._by_key for exchange in self.exchanges)


TestBindings = Bindings.TestCase
TestBindings.settings = settings(max_examples=60, stateful_step_count=25)


# --- over several exchanges ----------------------------------------------------------------------


def vhost(*kinds: str) -> dict[str, Exchange]:
    return {name: Exchange(name, kind) for name, kind in (one.split(":") for one in kinds)}


def test_a_message_follows_bindings_between_exchanges_by_its_own_key() -> None:
    exchanges = vhost("a:topic", "b:direct", "c:fanout")
    exchanges["a"].bind(to_exchange("b", "x.#"))
    exchanges["b"].bind(to_exchange("c", "x.y"))
    exchanges["b"].bind(to_queue("q1", "x.y"))
    exchanges["c"].bind(to_queue("q2", "unused"))
    assert route(exchanges, exchanges["a"], ["x.y"]) == ["q1", "q2"]
    assert route(exchanges, exchanges["a"], ["x.z"]) == []


def test_a_cycle_is_walked_once_and_a_queue_gets_one_copy() -> None:
    exchanges = vhost("a:fanout", "b:fanout", "c:fanout")
    for source, target in (("a", "b"), ("b", "c"), ("c", "a"), ("a", "a"), ("a", "c")):
        exchanges[source].bind(to_exchange(target))
    for name, exchange in exchanges.items():
        exchange.bind(to_queue("shared"))
        exchange.bind(to_queue(f"of {name}"))
    for start in exchanges.values():
        found = route(exchanges, start, ["key"])
        assert sorted(found) == ["of a", "of b", "of c", "shared"]


def test_a_binding_to_an_exchange_that_is_gone_leads_nowhere() -> None:
    exchanges = vhost("a:fanout")
    exchanges["a"].bind(to_exchange("gone"))
    exchanges["a"].bind(to_queue("q"))
    assert route(exchanges, exchanges["a"], [""]) == ["q"]


@given(
    edges=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12, unique=True),
    start=st.integers(0, 4),
)
def test_any_graph_reaches_what_is_reachable(edges: list[tuple[int, int]], start: int) -> None:
    exchanges = vhost(*(f"{number}:fanout" for number in range(5)))
    for source, target in edges:
        exchanges[str(source)].bind(to_exchange(str(target)))
    for name, exchange in exchanges.items():
        exchange.bind(to_queue(name))
    reached = {start}
    for _ in range(5):
        reached |= {target for source, target in edges if source in reached}
    assert sorted(route(exchanges, exchanges[str(start)], [""])) == sorted(map(str, reached))


# --- by properties --------------------------------------------------------------------------------


def encoded(**arguments: FieldValue) -> bytes:
    return encode_table({name.replace("_", "-"): one for name, one in arguments.items()})


def test_a_headers_exchange_wants_to_see_the_headers() -> None:
    exchange = Exchange("h", "headers")
    pdf = to_queue("pdf", "", encode_table({"x-match": "all", "format": "pdf"}))
    exchange.bind(pdf)
    exchange.bind(to_queue("any", "ignored", encode_table({"x-match": "any", "a": 1, "b": 2})))
    assert exchange.match(["k"]) is None
    assert list(exchange.match(["k"], BasicProperties()) or ()) == []
    headers: dict[str, FieldValue] = {"format": "pdf", "b": 2}
    found = exchange.match(["k"], BasicProperties(headers=headers)) or ()
    assert [one.name for one in found] == ["pdf", "any"]
    exchange.unbind(pdf)
    found = exchange.match(["k"], BasicProperties(headers=headers)) or ()
    assert [one.name for one in found] == ["any"]


def test_a_route_asks_for_properties_only_where_it_comes_to_need_them() -> None:
    exchanges = vhost("a:direct", "h:headers")
    exchanges["a"].bind(to_exchange("h", "to-h"))
    exchanges["a"].bind(to_queue("q", "to-q"))
    exchanges["h"].bind(to_queue("all"))
    assert route(exchanges, exchanges["a"], ["to-q"]) == ["q"]
    assert route(exchanges, exchanges["a"], ["to-h"]) is None
    assert route(exchanges, exchanges["a"], ["to-h"], BasicProperties()) == ["all"]


def test_a_consistent_hash_exchange_deals_by_routing_key() -> None:
    exchange = Exchange("c", "x-consistent-hash")
    assert exchange.match(["k"]) == ()
    for name in ("q1", "q2", "q3"):
        assert exchange.bind(to_queue(name, "10"))
    keys = [str(number) for number in range(300)]
    dealt = {key: names(exchange, key) for key in keys}
    assert {tuple(one) for one in dealt.values()} == {("q1",), ("q2",), ("q3",)}
    assert {key: names(exchange, key) for key in keys} == dealt
    exchange.bind(to_queue("q4", "10"))
    moved = [key for key in keys if names(exchange, key) != dealt[key]]
    assert {tuple(names(exchange, key)) for key in moved} == {("q4",)}
    assert 30 < len(moved) < 120
    exchange.unbind(to_queue("q4", "10"))
    assert {key: names(exchange, key) for key in keys} == dealt


def test_a_consistent_hash_exchange_may_deal_by_a_header() -> None:
    exchange = Exchange("c", "x-consistent-hash", arguments=encoded(hash_header="user"))
    exchange.bind(to_queue("q1", "1"))
    assert exchange.match(["k"]) is None
    properties = BasicProperties(headers={"user": "anna"})
    assert list(exchange.match(["k"], properties) or ()) == [Destination("queue", "q1")]


# --- several keys, and none -----------------------------------------------------------------------


def test_further_keys_add_destinations_each_once() -> None:
    exchanges = vhost("t:topic", "d:direct")
    exchanges["t"].bind(to_queue("q1", "a.#"))
    exchanges["t"].bind(to_queue("q2", "b"))
    exchanges["d"].bind(to_queue("q1", "a"))
    exchanges["d"].bind(to_queue("q2", "b"))
    assert route(exchanges, exchanges["t"], ["a.x", "b", "a.y"]) == ["q1", "q2"]
    assert route(exchanges, exchanges["d"], ["c", "b", "a"]) == ["q2", "q1"]


def alternate(name: str, kind: str, to: str) -> Exchange:
    return Exchange(name, kind, arguments=encoded(alternate_exchange=to))


def test_what_matches_nothing_goes_to_the_alternate_exchange() -> None:
    exchanges = vhost("rest:fanout")
    exchanges["a"] = alternate("a", "direct", "b")
    exchanges["b"] = alternate("b", "direct", "rest")
    exchanges["a"].bind(to_queue("q1", "k"))
    exchanges["b"].bind(to_queue("q2", "l"))
    exchanges["rest"].bind(to_queue("left"))
    assert exchanges["a"].alternate_exchange == "b"
    assert route(exchanges, exchanges["a"], ["k"]) == ["q1"]
    assert route(exchanges, exchanges["a"], ["l"]) == ["q2"]
    assert route(exchanges, exchanges["a"], ["m"]) == ["left"]


def test_an_alternate_exchange_by_policy_gives_way_to_the_argument() -> None:
    exchange = Exchange("a", "direct")
    assert exchange.alternate_exchange is None
    exchange.policy = {"alternate-exchange": "governed"}
    assert exchange.alternate_exchange == "governed"
    declared = alternate("b", "direct", "declared")
    declared.policy = exchange.policy
    assert declared.alternate_exchange == "declared"


def test_alternate_exchanges_may_go_round_or_lead_nowhere() -> None:
    exchanges = {
        "a": alternate("a", "direct", "b"),
        "b": alternate("b", "direct", "a"),
        "c": alternate("c", "direct", "gone"),
        "d": alternate("d", "direct", ""),
        "": Exchange("", "direct"),
    }
    exchanges[""].bind(to_queue("k", "k"))
    for start in "abcd":
        assert route(exchanges, exchanges[start], ["k"]) == []


def test_an_exchange_whose_bindings_lead_nowhere_has_no_use_for_its_alternate() -> None:
    exchanges = vhost("empty:fanout", "rest:fanout")
    exchanges["a"] = alternate("a", "fanout", "rest")
    exchanges["a"].bind(to_exchange("empty"))
    exchanges["rest"].bind(to_queue("left"))
    assert route(exchanges, exchanges["a"], ["k"]) == []


# --- what may be declared -------------------------------------------------------------------------


def test_an_alternate_exchange_is_a_name() -> None:
    assert check_declaration("direct", {"alternate-exchange": "x"}) == ""
    assert check_declaration("direct", {"alternate-exchange": 1}) == (
        "invalid type 'signedint' for arg 'alternate-exchange'"
    )
    assert check_declaration("direct", {"hash-property": "nonsense"}) == ""
    assert check_declaration("x-consistent-hash", {"hash-property": "nonsense"}) == (
        "Unsupported property: nonsense"
    )


def test_bindings_are_checked_by_the_type_of_their_exchange() -> None:
    wrong = encode_table({"x-match": "most"})
    assert check_binding(Exchange("d", "direct"), "k", wrong) == ""
    assert check_binding(Exchange("h", "headers"), "k", wrong).startswith("Invalid x-match field")
    assert check_binding(Exchange("h", "headers"), "k", b"") == ""
    hashing = Exchange("c", "x-consistent-hash")
    assert check_binding(hashing, "k", wrong).startswith("The binding key must be an integer")
    assert check_binding(hashing, "2", wrong) == ""


def test_the_predeclared_exchanges_are_durable() -> None:
    found = {one.name: one.kind for one in predeclared_exchanges() if one.durable}
    assert found == {
        "": "direct",
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.headers": "headers",
        "amq.match": "headers",
        "amq.rabbitmq.trace": "topic",
        "amq.topic": "topic",
    }
