"""Answers find the node and the channel that they are for, or are lost."""

from __future__ import annotations

from collections.abc import Sequence

from support.fake_broker import content

from rabbitry.broker.direct_reply_to import ReplyConsumer, reply_name
from rabbitry.broker.message import Message, Routes
from rabbitry.cluster.records import ReplyRecord, decode, encode
from rabbitry.cluster.replies import Replies


class Channel:
    """A channel of a node that consumes answers."""

    def __init__(self, origin: str, number: int, key: str = "key") -> None:
        self.frame_size_max = 0
        self.next_tag = 1
        self.written: list[bytes] = []
        self.consumer = ReplyConsumer((origin, number), key, "c", 1, self, self)

    def write(self, parts: Sequence[bytes]) -> None:
        self.written += parts


class Pair:
    """Two nodes, "a#1" and "b#1"; records go through their encoded form."""

    def __init__(self) -> None:
        self.nodes: dict[str, Replies] = {}
        self.down: set[str] = set()
        self.waiting: list[tuple[str, str, bytes]] = []
        for name in "ab":
            self.nodes[name] = Replies(f"{name}#1", Half(self, name), Routes())

    def deliver(self) -> None:
        while self.waiting:
            source, target, encoded = self.waiting.pop(0)
            record = decode(encoded)
            assert isinstance(record, ReplyRecord)
            self.nodes[target].take(source, record)


class Half:
    def __init__(self, pair: Pair, name: str) -> None:
        self.pair = pair
        self.name = name

    def up(self) -> list[str]:
        return [name for name in "ab" if name != self.name and name not in self.pair.down]

    def origin_of(self, name: str) -> str:
        return f"{name}#1"

    def send(self, name: str, record: ReplyRecord) -> None:
        self.pair.waiting.append((self.name, name, encode(record)))


def message() -> Message:
    return Routes().get(b"", b"k"), content(b"answer")


def test_an_answer_reaches_a_channel_here_and_there() -> None:
    pair = Pair()
    channel = Channel("b#1", 4)
    pair.nodes["b"].set_consumer(4, channel.consumer)
    for name in "ba":
        channel.written.clear()
        pair.nodes[name].send(channel.consumer.name, message())
        pair.deliver()
        assert b"answer" in b"".join(channel.written)


def test_an_answer_to_nobody_is_lost() -> None:
    pair = Pair()
    channel = Channel("b#1", 4)
    pair.nodes["b"].set_consumer(4, channel.consumer)
    for name in (
        "q",
        reply_name(("b#1", 4), "other"),
        reply_name(("b#1", 5), "key"),
        reply_name(("b#2", 4), "key"),
    ):
        for node in pair.nodes.values():
            node.send(name, message())
    pair.deliver()
    assert channel.written == []
    pair.nodes["b"].set_consumer(4, None)
    pair.nodes["a"].send(channel.consumer.name, message())
    pair.deliver()
    assert channel.written == []


def test_whether_somebody_is_there_is_asked_of_the_node() -> None:
    pair = Pair()
    channel = Channel("b#1", 4)
    pair.nodes["b"].set_consumer(4, channel.consumer)
    told: list[bool] = []
    for node in pair.nodes.values():
        for name in (channel.consumer.name, reply_name(("b#1", 4), "other"), "q"):
            node.ask(name, told.append)
            pair.deliver()
    assert told == [True, False, False] * 2


def test_a_node_that_is_gone_has_nobody() -> None:
    pair = Pair()
    told: list[bool] = []
    name = reply_name(("b#1", 4), "key")
    pair.nodes["a"].ask(name, told.append)
    assert told == []
    pair.nodes["a"].peer_down("b")
    assert told == [False]
    pair.deliver()  # the answer comes too late
    pair.down.add("b")
    pair.nodes["a"].ask(name, told.append)
    assert told == [False, False]
