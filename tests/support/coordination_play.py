"""What may happen to a coordinator: requests, commits, lost links, deaths, and its own restarts.

`Play` plays drawn happenings on a stage and remembers what nodes were told, for ever: whoever was
at a revision knew the same, and an epoch of a queue has one leader, which is one process.
"""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec.structs import replace
from support.coordination_catalogs import shape
from support.coordination_stage import Stage

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.records import (
    Bind,
    DeclareExchange,
    DeclareQueue,
    DeleteOwned,
    DeleteQueue,
    DropMirror,
    Request,
)

Happening = tuple[object, ...]


def _queue(name: str, owner: str = "") -> DeclareQueue:
    return DeclareQueue("/", name, True, False, owner, b"")


_request = st.sampled_from(
    [
        _queue("q"),
        _queue("r"),
        _queue("own", "a#1/1"),
        DeclareExchange("/", "x", "fanout", True, True, False, b""),
        Bind("/", "x", "queue", "q", "", b""),
        Bind("/", "x", "queue", "r", "", b""),
        DeleteQueue(1),
        DeleteQueue(2),
        DeleteOwned("a#1/1"),
        DropMirror(1, 1, "b"),
    ]
)
_node = st.sampled_from("abc")
happening = st.one_of(
    st.tuples(st.just("ask"), _node, _request),
    st.tuples(st.just("ask"), _node, _request),
    st.tuples(st.just("commit")),
    st.tuples(st.just("lose"), _node),
    st.tuples(st.just("join"), _node),
    st.tuples(st.just("dies"), _node),
    st.tuples(st.just("restart"), st.integers(0, 3)),
)


class Play:
    """Plays happenings, and remembers what nodes were promised."""

    def __init__(self) -> None:
        self.stage = Stage("a", "b", "c")
        for name in "abc":
            self.stage.join(name)
        self.stage.commits_wait = True
        self.incarnation = dict.fromkeys("abc", 1)
        self.heard: dict[int, dict[str, object]] = {}
        self.led: dict[tuple[int, int], tuple[str, str]] = {}

    def play(self, happening: Happening) -> None:
        stage = self.stage
        what, *details = happening
        node = stage.nodes.get(str(details[0])) if details else None
        if what == "ask" and node is not None and node.welcomes and not node.closed:
            request = details[1]
            assert isinstance(request, Request.__args__)
            if getattr(request, "owner", ""):
                # A node asks for connections of its own process only.
                owner = f"{node.name}#{self.incarnation[node.name]}/1"
                request = replace(request, owner=owner)
            node.ask(request)
        elif what == "commit" and stage.under_way:
            stage.commit_one()
        elif what == "lose" and node is not None and not node.closed:
            stage.lose_link(node.name)
        elif what == "join" and node is not None and node.closed:
            stage.join(node.name, str(self.incarnation[node.name]))
        elif what == "dies" and node is not None:
            self.incarnation[node.name] += 1
            stage.join(node.name, str(self.incarnation[node.name]))
        elif what == "restart":
            stage.restart(int(str(details[0])))
        self.check()

    def check(self) -> None:
        """What is durable is whole; what was told at a revision is the same for all, for ever."""
        stage = self.stage
        for node in stage.nodes.values():
            assert not node.turned_away, "no crash makes a node know more than is durable"
            if node.welcomes:
                told = shape(node.catalog)
                assert self.heard.setdefault(node.revision, told) == told
                self.check_leaders(node.catalog)

    def check_leaders(self, catalog: Catalog) -> None:
        """An epoch of a queue has one leader, which is one process."""
        for entry in catalog.queues.values():
            leader = entry.placed.leader
            process = catalog.nodes.get(leader) or catalog.away.get(leader)
            if process is not None:
                led = (leader, process.incarnation)
                assert self.led.setdefault((entry.number, entry.placed.epoch), led) == led

    def finish(self) -> None:
        stage = self.stage
        stage.commits_wait = False
        while stage.under_way:
            stage.commit_one()
        for name in "abc":
            if stage.nodes[name].closed:
                stage.join(name, str(self.incarnation[name]))
        self.check()
        for node in stage.nodes.values():
            assert shape(node.catalog) == shape(stage.coordinator.catalog)
        for entry in stage.coordinator.catalog.queues.values():
            assert entry.placed.leader in stage.coordinator.catalog.nodes
