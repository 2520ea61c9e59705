"""The links of a node to the other nodes: one for each pair, opened by the one whose name is less.

A peer is *up* while the catalog lists it and a link to its process has logged in; a link to a
process that the catalog does not list yet waits for that. `peer_up` and `peer_down` alternate
strictly for each peer, also where a link is replaced by a younger one before its end was noticed;
between them records go both ways in order. A link that breaks is opened again at the next tick,
one that does not log in is given up after `LOGIN_TICKS_MAX`. Both sides say every `HEARTBEAT_TICKS`
that they live; a link over which nothing comes for `SILENT_TICKS_MAX` leads nowhere (its other end
went dark, or something between swallows all) and is given up too.
"""

from __future__ import annotations

from typing import Final, Protocol

from rabbitry.cluster.links import ClusterLink
from rabbitry.cluster.queue_records import Record
from rabbitry.cluster.records import AnyRecord, Heard, NodeJoined
from rabbitry.machine import Address, Entropy

LOGIN_TICKS_MAX: Final = 50
HEARTBEAT_TICKS: Final = 5
SILENT_TICKS_MAX: Final = 30


class PeersPort(Protocol):
    """What the links need of their node."""

    def open_link(self, address: Address) -> int:
        """Open a link and return its number."""
        ...

    def close_link(self, link: int) -> None:
        """Close a link at once."""
        ...

    def report(self, level: str, what: str, **details: object) -> None:
        """Tell people."""
        ...

    def peer_up(self, name: str, origin: str) -> None:
        """Records can be sent to the node `name`, whose process is `origin`."""
        ...

    def peer_down(self, name: str, origin: str) -> None:
        """What was on the way to or from the node is lost."""
        ...

    def take_record(self, name: str, origin: str, record: AnyRecord) -> None:
        """Take a record of the node."""
        ...


class Peers:
    """See the module. `origin_of` names a process: node and incarnation."""

    def __init__(
        self, port: PeersPort, name: str, incarnation: str, secret: bytes, entropy: Entropy
    ) -> None:
        self._port = port
        self._name = name
        self._incarnation = incarnation
        self._secret = secret
        self._entropy = entropy
        self._nodes: dict[str, NodeJoined] = {}
        self._links: dict[int, ClusterLink] = {}
        self._opening: dict[int, str] = {}  # links that we opened, and to whom
        self._logins: dict[int, int] = {}  # links that have not logged in: ticks left
        self._up: dict[str, int] = {}  # the link of each peer that is up
        self._logged_in: dict[str, int] = {}  # links to processes that the catalog does not list
        self._early: dict[int, list[AnyRecord]] = {}  # what came over these
        self._ticks = 0
        self._silent: dict[int, int] = {}  # of links that have logged in: ticks since bytes came

    def set_nodes(self, nodes: dict[str, NodeJoined]) -> None:
        """Follow the catalog: these are in the cluster now."""
        for name, link in list(self._up.items()):
            node = nodes.get(name)
            if node is None or node.incarnation != self._links[link].peer_incarnation:
                self._close(link)
        self._nodes = dict(nodes)
        for name, link in list(self._logged_in.items()):
            if self._is_listed(self._links[link]):
                del self._logged_in[name]
                self._peer_up(link)
        self._open_missing()

    def tick(self) -> None:
        """Open the links that are missing. Call it every tenth of a second."""
        for link, left in list(self._logins.items()):
            if left:
                self._logins[link] = left - 1
            else:
                self._refuse(link, "it did not log in")
        self._ticks += 1
        beat = self._ticks % HEARTBEAT_TICKS == 0
        for link, ticks in list(self._silent.items()):
            if ticks >= SILENT_TICKS_MAX:
                self._refuse(link, "nothing comes over it")
                continue
            self._silent[link] = ticks + 1
            if beat:
                self._links[link].send(Heard())
        self._open_missing()

    def _open_missing(self) -> None:
        known = dict.fromkeys([*self._opening.values(), *self._up, *self._logged_in])
        for name, node in self._nodes.items():
            if name > self._name and name not in known:
                link = self._port.open_link(Address(node.host, node.port))
                self._opening[link] = name

    def _is_listed(self, session: ClusterLink) -> bool:
        node = self._nodes.get(session.peer_name)
        return node is not None and node.incarnation == session.peer_incarnation

    def up(self) -> list[str]:
        """Return the names of the nodes to which records can be sent."""
        return list(self._up)

    def is_up(self, name: str) -> bool:
        """Whether records can be sent to this node."""
        return name in self._up

    def origin_of(self, name: str) -> str:
        """Return the process of a peer that is up."""
        link = self._links[self._up[name]]
        return f"{name}#{link.peer_incarnation}"

    def send(self, name: str, record: Record) -> None:
        """Send a record to a peer; it is lost if the peer is not up."""
        link = self._up.get(name)
        if link is not None:
            self._links[link].send(record)

    def send_encoded(self, name: str, encoded: bytes) -> None:
        """Send a record that is encoded already."""
        link = self._up.get(name)
        if link is not None:
            self._links[link].send_encoded(encoded)

    # --- links ------------------------------------------------------------------------------------

    def link_opened(self, link: int, opener: bool) -> None:
        """A link has opened: one of ours, or one that another node opened."""
        self._links[link] = ClusterLink(
            opener, self._secret, self._name, self._incarnation, self._entropy
        )
        self._logins[link] = LOGIN_TICKS_MAX

    def link_closed(self, link: int) -> None:
        """A link is gone, or could not be opened."""
        self._opening.pop(link, None)
        self._logins.pop(link, None)
        self._early.pop(link, None)
        self._silent.pop(link, None)
        session = self._links.pop(link, None)
        if session is None:
            return
        name = session.peer_name
        if self._logged_in.get(name) == link:
            del self._logged_in[name]
        if self._up.get(name) == link:
            del self._up[name]
            self._port.peer_down(name, f"{name}#{session.peer_incarnation}")

    def receive(self, link: int, data: bytes) -> None:
        """Take bytes of a link."""
        session = self._links.get(link)
        if session is None:
            return
        if link in self._silent:
            self._silent[link] = 0
        was_ready = session.ready
        records = session.receive(data)
        if session.ready and not was_ready:
            self._logged(link, session)
        if self._logged_in.get(session.peer_name) == link:
            # The peer knows of us, the catalog has not told us of the peer yet.
            self._early.setdefault(link, []).extend(records)
        else:
            self._pass(link, session, records)
        if session.failure and link in self._links:
            self._refuse(link, session.failure)

    def _pass(self, link: int, session: ClusterLink, records: list[AnyRecord]) -> None:
        origin = f"{session.peer_name}#{session.peer_incarnation}"
        for record in records:
            if self._up.get(session.peer_name) != link:
                break
            if isinstance(record, Heard):
                continue
            self._port.take_record(session.peer_name, origin, record)

    def take_bytes(self) -> list[tuple[int, bytes]]:
        """Return what shall be sent, by link."""
        taken = []
        for link, session in self._links.items():
            data = session.take_bytes()
            if data:
                taken.append((link, data))
        return taken

    def _logged(self, link: int, session: ClusterLink) -> None:
        name = session.peer_name
        expected = self._opening.pop(link, name)
        del self._logins[link]
        self._silent[link] = 0
        if name != expected or name in ("", self._name):
            self._refuse(link, "it is another node than the catalog says")
            return
        for older in (self._up.get(name), self._logged_in.get(name)):
            if older is not None:
                self._close(older)
        if self._is_listed(session):
            self._peer_up(link)
        else:
            self._logged_in[name] = link

    def _peer_up(self, link: int) -> None:
        session = self._links[link]
        self._up[session.peer_name] = link
        origin = f"{session.peer_name}#{session.peer_incarnation}"
        self._port.peer_up(session.peer_name, origin)
        self._pass(link, session, self._early.pop(link, []))

    def _refuse(self, link: int, reason: str) -> None:
        self._port.report("warning", "link refused", reason=reason)
        self._close(link)

    def _close(self, link: int) -> None:
        self._port.close_link(link)
        self.link_closed(link)
