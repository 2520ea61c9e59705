"""Exchanges and bindings: from an exchange and a routing key to the queues a message goes to.

Owns the four routing rules (default and direct, fanout, topic) and the walk over bindings between
exchanges. What is declared where, and who may, is not decided here. Bindings keep the order in
which they were made.

Specification 3.1.3; RabbitMQ: rabbit_exchange.erl route/2, rabbit_exchange_type_topic.erl.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from rabbitry.broker.policies import Definition

DestinationKind = Literal["queue", "exchange"]
EXCHANGE_TYPES: Final = ("direct", "fanout", "topic")


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
        self._by_key: dict[str, dict[Destination, int]] = {}
        self._tree = TopicTree()

    def bind(self, binding: Binding) -> bool:
        """Add a binding; False where the same one is there already."""
        if binding in self.bindings:
            return False
        self.bindings[binding] = None
        if self.kind == "topic":
            self._tree.add(topic_words(binding.routing_key), binding.destination)
        else:
            counts = self._by_key.setdefault(self._key(binding.routing_key), {})
            counts[binding.destination] = counts.get(binding.destination, 0) + 1
        return True

    def unbind(self, binding: Binding) -> bool:
        """Take a binding away; False where there is none such."""
        if binding not in self.bindings:
            return False
        del self.bindings[binding]
        if self.kind == "topic":
            self._tree.remove(topic_words(binding.routing_key), binding.destination)
            return True
        key = self._key(binding.routing_key)
        counts = self._by_key[key]
        counts[binding.destination] -= 1
        if not counts[binding.destination]:
            del counts[binding.destination]
        if not counts:
            del self._by_key[key]
        return True

    def match(self, routing_key: str) -> Iterable[Destination]:
        """Return where messages with this routing key go, each destination once."""
        if self.kind == "topic":
            return self._tree.match(topic_words(routing_key))
        return self._by_key.get(self._key(routing_key), ())

    def _key(self, routing_key: str) -> str:
        return "" if self.kind == "fanout" else routing_key


def predeclared_exchanges() -> list[Exchange]:
    """Return the exchanges that every virtual host has from the start."""
    return [
        Exchange("", "direct", durable=True),
        Exchange("amq.direct", "direct", durable=True),
        Exchange("amq.fanout", "fanout", durable=True),
        Exchange("amq.topic", "topic", durable=True),
    ]


def route(exchanges: dict[str, Exchange], start: Exchange, routing_key: str) -> list[str]:
    """Return the names of the queues that a message reaches from `start`, each once.

    Follows bindings between exchanges; a cycle among them is walked once.
    """
    queues: dict[str, None] = {}
    visited: dict[str, None] = {start.name: None}
    work = [start]
    while work:
        exchange = work.pop()
        for kind, name in exchange.match(routing_key):
            if kind == "queue":
                queues[name] = None
            elif name not in visited and name in exchanges:
                visited[name] = None
                work.append(exchanges[name])
    return list(queues)
