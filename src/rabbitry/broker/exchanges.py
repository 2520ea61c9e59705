"""Exchanges and bindings: from an exchange and a routing key to the queues a message goes to.

Owns the routing rules of direct, fanout and topic exchanges and the walk over bindings between
exchanges and to alternate exchanges; those of the types `headers` and `x-consistent-hash` are in
`headers_matching` and `consistent_hash`. What is declared where, and who may, is not decided here.
Bindings keep the order in which they were made.

Most messages are routed by their routing key alone, a whole run at once. Only where the way leads
to an exchange that looks at properties must each message be routed for itself: `route` returns
None to say so when it was not given them.

Specification 3.1.3; RabbitMQ: rabbit_exchange.erl route/2, rabbit_exchange_type_topic.erl.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from rabbitry.broker.consistent_hash import HashRing, HashSource, check_arguments, check_weight
from rabbitry.broker.headers_matching import HeadersPattern, check_match, comparable
from rabbitry.broker.policies import Definition
from rabbitry.wire.erlang_terms import type_name
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import FieldValue, decode_table

DestinationKind = Literal["queue", "exchange"]
EXCHANGE_TYPES: Final = ("direct", "fanout", "topic", "headers", "x-consistent-hash")


class Destination(NamedTuple):
    """What a binding leads to."""

    kind: DestinationKind
    name: str


class Binding(NamedTuple):
    """One binding of an exchange. `arguments` are an encoded table: equal bytes, equal binding."""

    destination: Destination
    routing_key: str
    arguments: bytes = b""


def topic_words(key: str) -> list[str]:
    """Return the words of a routing or binding key; the empty key has none, as in RabbitMQ."""
    return key.split(".") if key else []


class TopicTree:
    """Binding keys of a topic exchange as a tree of words; `*` is one word, `#` any number."""

    __slots__ = ("branches", "destinations")

    def __init__(self) -> None:
        self.branches: dict[str, TopicTree] = {}
        self.destinations: dict[Destination, int] = {}  # to how many bindings lead here

    def add(self, words: list[str], destination: Destination) -> None:
        """Add a binding key, split into words."""
        node = self
        for word in words:
            node = node.branches.setdefault(word, TopicTree())
        node.destinations[destination] = node.destinations.get(destination, 0) + 1

    def remove(self, words: list[str], destination: Destination) -> bool:
        """Take a binding key away; True when nothing is left in this tree."""
        if words:
            branch = self.branches.get(words[0])
            if branch is not None and branch.remove(words[1:], destination):
                del self.branches[words[0]]
        elif destination in self.destinations:
            self.destinations[destination] -= 1
            if not self.destinations[destination]:
                del self.destinations[destination]
        return not self.branches and not self.destinations

    def match(self, words: list[str]) -> dict[Destination, None]:
        """Return the destinations whose binding keys match a routing key, split into words.

        All places in the tree where the words so far may lead are kept side by side, so that a key
        of many words against many `#` costs their product and not an exponential. They are keyed
        by the identity of the node, and kept in the order of the walk, which is that of the tree.
        """
        places: dict[TopicTree, bool] = {}  # does a `#` end here, which takes more words?
        self._arrive(places, False)
        for word in words:
            following: dict[TopicTree, bool] = {}
            for node, is_many in places.items():
                if is_many:
                    node._arrive(following, True)
                # "*" and "#" as words of a routing key meet the branches of their own name, which
                # match any word anyhow.
                for branch in (node.branches.get(word), node.branches.get("*")):
                    if branch is not None:
                        branch._arrive(following, False)
            places = following
        found: dict[Destination, None] = {}
        for node in places:
            found.update(dict.fromkeys(node.destinations))
        return found

    def _arrive(self, places: dict[TopicTree, bool], is_many: bool) -> None:
        """Add this node, and those that a `#` for no word at all leads to, to `places`."""
        node: TopicTree | None = self
        while node is not None:
            places[node] = is_many or places.get(node, False)
            node, is_many = node.branches.get("#"), True


class Exchange:
    """An exchange and the bindings that leave it."""

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: bytes = b"",
    ) -> None:
        self.name = name
        self.kind = kind
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = arguments
        self.policy: Definition = {}  # what the policies that govern it say together
        self.bindings: dict[Binding, None] = {}
        table = decode_table(arguments, 0)[0] if arguments else {}
        self._declared_alternate = _name(table.get("alternate-exchange"))
        self._by_key: dict[str, dict[Destination, int]] = {}
        self._tree = TopicTree()
        self._patterns: dict[Binding, HeadersPattern] = {}
        self._ring: HashRing[Destination] | None = None  # None: to be made of the bindings anew
        self._hashed = HashSource(table)

    @property
    def alternate_exchange(self) -> str | None:
        """The name of the exchange that gets what matches no binding of this one, or None."""
        if self._declared_alternate is not None:
            return self._declared_alternate
        governed = self.policy.get("alternate-exchange")
        return governed if isinstance(governed, str) else None

    def bind(self, binding: Binding) -> bool:
        """Add a binding; False where the same one is there already."""
        if binding in self.bindings:
            return False
        self.bindings[binding] = None
        match self.kind:
            case "topic":
                self._tree.add(topic_words(binding.routing_key), binding.destination)
            case "headers":
                self._patterns[binding] = HeadersPattern(binding.arguments)
            case "x-consistent-hash":
                self._ring = None
            case _:
                counts = self._by_key.setdefault(self._key(binding.routing_key), {})
                counts[binding.destination] = counts.get(binding.destination, 0) + 1
        return True

    def unbind(self, binding: Binding) -> bool:
        """Take a binding away; False where there is none such."""
        if binding not in self.bindings:
            return False
        del self.bindings[binding]
        match self.kind:
            case "topic":
                self._tree.remove(topic_words(binding.routing_key), binding.destination)
            case "headers":
                del self._patterns[binding]
            case "x-consistent-hash":
                self._ring = None
            case _:
                key = self._key(binding.routing_key)
                counts = self._by_key[key]
                counts[binding.destination] -= 1
                if not counts[binding.destination]:
                    del counts[binding.destination]
                if not counts:
                    del self._by_key[key]
        return True

    def match(
        self, routing_keys: Sequence[str], properties: BasicProperties | None = None
    ) -> Collection[Destination] | None:
        """Return where messages with these routing keys go, each destination once.

        The first key is the message's own, the others come from its headers CC and BCC. None where
        this exchange must see the properties and they were not given.
        """
        if self.kind == "headers":
            return None if properties is None else self._match_headers(properties)
        if self.kind == "x-consistent-hash":
            if properties is None and self._hashed.needs_properties:
                return None
            return self._match_hash(routing_keys[0], properties)
        if len(routing_keys) == 1:
            return self._match_key(routing_keys[0])
        found: dict[Destination, None] = {}
        for routing_key in routing_keys:
            found.update(dict.fromkeys(self._match_key(routing_key)))
        return found

    def _match_key(self, routing_key: str) -> Collection[Destination]:
        if self.kind == "topic":
            return self._tree.match(topic_words(routing_key))
        return self._by_key.get(self._key(routing_key), ())

    def _match_headers(self, properties: BasicProperties) -> Collection[Destination]:
        headers = {name: comparable(one) for name, one in (properties.headers or {}).items()}
        matching = [
            binding.destination
            for binding, pattern in self._patterns.items()
            if pattern.matches(headers)
        ]
        return dict.fromkeys(matching)

    def _match_hash(
        self, routing_key: str, properties: BasicProperties | None
    ) -> Collection[Destination]:
        if self._ring is None:
            self._ring = HashRing(
                (binding.destination, int(binding.routing_key)) for binding in self.bindings
            )
        found = self._ring.find(self._hashed.hash_of(routing_key, properties))
        return () if found is None else (found,)

    def _key(self, routing_key: str) -> str:
        return "" if self.kind == "fanout" else routing_key


def check_declaration(kind: str, arguments: Mapping[str, FieldValue]) -> str:
    """Return why an exchange of this type cannot have these arguments (for 406), "" where it can.

    The text for a wrong type of `alternate-exchange` wants the exchange's name behind it.
    """
    alternate = arguments.get("alternate-exchange")
    if "alternate-exchange" in arguments and type_name(alternate) != "longstr":
        return f"invalid type '{type_name(alternate)}' for arg 'alternate-exchange'"
    return check_arguments(dict(arguments)) if kind == "x-consistent-hash" else ""


def check_binding(exchange: Exchange, routing_key: str, arguments: bytes) -> str:
    """Return why this exchange cannot have such a binding (for 406), "" where it can."""
    if exchange.kind == "headers":
        return check_match(decode_table(arguments, 0)[0]) if arguments else ""
    return check_weight(routing_key) if exchange.kind == "x-consistent-hash" else ""


def _name(value: FieldValue) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else None


def predeclared_exchanges() -> list[Exchange]:
    """Return the exchanges that every virtual host has from the start."""
    return [
        Exchange("", "direct", durable=True),
        Exchange("amq.direct", "direct", durable=True),
        Exchange("amq.fanout", "fanout", durable=True),
        Exchange("amq.headers", "headers", durable=True),
        # The name that AMQP 0-9 had for it.
        Exchange("amq.match", "headers", durable=True),
        Exchange("amq.rabbitmq.trace", "topic", durable=True, internal=True),
        Exchange("amq.topic", "topic", durable=True),
    ]


def route(
    exchanges: Mapping[str, Exchange],
    start: Exchange,
    routing_keys: Sequence[str],
    properties: BasicProperties | None = None,
) -> list[str] | None:
    """Return the names of the queues that a message reaches from `start`, each once.

    Follows bindings between exchanges, and from an exchange where nothing matches to its alternate
    exchange; a cycle among them is walked once. `routing_keys` has the message's own first, then
    those of its headers CC and BCC. None where the message's properties are needed and were not
    given.
    """
    queues: dict[str, None] = {}
    visited: dict[str, None] = {start.name: None}
    work = [start]
    while work:
        exchange = work.pop()
        if exchange is not start and not exchange.name:
            continue  # RabbitMQ: as an alternate exchange the default exchange has no bindings
        matching = exchange.match(routing_keys, properties)
        if matching is None:
            return None
        alternate = exchange.alternate_exchange
        if alternate is not None and not matching:
            matching = (Destination("exchange", alternate),)
        for kind, name in matching:
            if kind == "queue":
                queues[name] = None
            elif name not in visited and name in exchanges:
                visited[name] = None
                work.append(exchanges[name])
    return list(queues)
