"""What channels ask to be declared, and the way to the coordinator and back.

Implements `rabbitry.broker.ports.BrokerPort` over the node's replica of the catalog. What the
replica shows to be there already, in the same form, is answered at once, also while there is no
coordinator: every node has followed a declaration before anybody was told of it, so the replica is
never behind what a client knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rabbitry.broker.direct_reply_to import ReplyConsumer
from rabbitry.broker.exchanges import Exchange, route
from rabbitry.broker.message import Message, Route
from rabbitry.broker.permissions import Access
from rabbitry.broker.ports import OnAnswer, QueueHandle, Refusal
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.declarations import check_exchange, check_queue, has_binding
from rabbitry.cluster.hosting import Hosting
from rabbitry.cluster.records import (
    Bind,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteOwned,
    Refused,
    Request,
    Unbind,
)
from rabbitry.cluster.replies import Replies
from rabbitry.cluster.tracking import ConnectionTracking, Tracked
from rabbitry.wire.errors import RESOURCE_LOCKED
from rabbitry.wire.methods import BasicProperties

AskCoordinator = Callable[[Request, Callable[[Refused | None], None]], None]


class Administration:
    """See the module."""

    def __init__(
        self,
        origin: str,
        hosting: Hosting,
        ask: AskCoordinator,
        replies: Replies,
        connections: Callable[[], Iterable[Tracked]] = tuple,
    ) -> None:
        """`connections` are those of this node's clients."""
        self.origin = origin
        self.catalog = Catalog()
        self.tracking = ConnectionTracking(lambda: self.catalog, connections)
        # Grows also when a whole catalog comes anew, whose own count may be smaller.
        self._versions_before = 0
        self._hosting = hosting
        self._ask = ask
        self._replies = replies
        self._owners: dict[str, None] = {}  # connections that have asked for exclusive queues

    @property
    def access(self) -> Access:
        """Users and permissions."""
        return self.catalog.access

    @property
    def routing_version(self) -> int:
        """A number that changes whenever a message might go elsewhere."""
        return self._versions_before + self.catalog.routing_version

    def set_catalog(self, catalog: Catalog) -> None:
        """Use a catalog that was told anew."""
        self._versions_before = self.routing_version + 1
        self.catalog = catalog

    def channel_refusal(self, user: str) -> str:
        """Return why a limit forbids one more channel, or an empty text."""
        return self.tracking.channel_refusal(user)

    # --- looking up -------------------------------------------------------------------------------

    def find_exchange(self, virtual_host: str, name: str) -> Exchange | None:
        """Return the exchange, or None."""
        return self.catalog.find_exchange(virtual_host, name)

    def find_queue(self, virtual_host: str, name: str) -> QueueHandle | None:
        """Return the queue, or None."""
        entry = self.catalog.find_queue(virtual_host, name)
        return self._hosting.proxy(entry) if entry is not None else None

    def route(
        self,
        virtual_host: str,
        exchange: Exchange,
        routing_keys: Sequence[str],
        properties: BasicProperties | None = None,
    ) -> list[QueueHandle] | None:
        """Return the queues that a message reaches, each once; see `BrokerPort`."""
        host = self.catalog.virtual_hosts[virtual_host]
        names = route(host.exchanges, exchange, routing_keys, properties)
        if names is None:
            return None
        return [self._hosting.proxy(host.queues[name]) for name in names]

    def intern_route(self, exchange: bytes, routing_key: bytes, flags: int) -> Route:
        """Return the one `Route` object for these (`flags` as in `Route`)."""
        return self._hosting.routes.get(exchange, routing_key, flags)

    # --- direct reply-to --------------------------------------------------------------------------

    def set_reply_consumer(self, channel: int, consumer: ReplyConsumer | None) -> None:
        """Have what comes for the reply address of a channel given to `consumer`, or to nobody."""
        self._replies.set_consumer(channel, consumer)

    def send_answer(self, name: str, message: Message) -> None:
        """Send a message to the direct reply-to address `name`; lost where there is none such."""
        self._replies.send(name, message)

    def find_reply_consumer(self, name: str, on_answer: Callable[[bool], None]) -> None:
        """Ask whether somebody consumes at the direct reply-to address `name`."""
        self._replies.ask(name, on_answer)

    # --- changing ---------------------------------------------------------------------------------

    def _request(self, request: Request, on_answer: OnAnswer) -> None:
        self._ask(request, lambda refused: on_answer(_refusal(refused)))

    def declare_exchange(
        self,
        virtual_host: str,
        name: str,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: bytes,
        on_answer: OnAnswer,
    ) -> None:
        """Declare, or check that what is there is the same."""
        request = DeclareExchange(
            virtual_host, name, kind, durable, auto_delete, internal, arguments
        )
        exchange = self.catalog.find_exchange(virtual_host, name)
        if exchange is not None:
            on_answer(_refusal(check_exchange(exchange, request)))
        else:
            self._request(request, on_answer)

    def delete_exchange(
        self, virtual_host: str, name: str, if_unused: bool, on_answer: OnAnswer
    ) -> None:
        """Delete; one that does not exist counts as deleted."""
        self._request(DeleteExchange(virtual_host, name, if_unused), on_answer)

    def declare_queue(
        self,
        virtual_host: str,
        name: str,
        durable: bool,
        auto_delete: bool,
        owner: str,
        arguments: bytes,
        on_answer: OnAnswer,
    ) -> None:
        """Declare, or check that what is there is the same. `owner` is empty if not exclusive."""
        request = DeclareQueue(virtual_host, name, durable, auto_delete, owner, arguments)
        entry = self.catalog.find_queue(virtual_host, name)
        refused = check_queue(entry, request) if entry is not None else None
        if entry is not None and (refused is None or refused.reply_code != RESOURCE_LOCKED):
            on_answer(_refusal(refused))
            return
        # One that is exclusive to another connection is asked for nevertheless: that connection may
        # have ended, and its queues be about to go.
        if owner:
            self._owners[owner] = None
        self._request(request, on_answer)

    def bind(
        self,
        unbind: bool,
        virtual_host: str,
        source: str,
        destination_kind: str,
        destination: str,
        routing_key: str,
        arguments: bytes,
        owner: str,
        on_answer: OnAnswer,
    ) -> None:
        """Bind a queue or an exchange to `source`, or undo it."""
        make = Unbind if unbind else Bind
        request = make(
            virtual_host, source, destination_kind, destination, routing_key, arguments, owner
        )
        if isinstance(request, Bind) and has_binding(self.catalog, request):
            on_answer(None)
        else:
            self._request(request, on_answer)

    def delete_owned(self, owner: str, on_gone: Callable[[], None]) -> None:
        """A connection has ended: delete its exclusive queues, if it has any.

        `on_gone` is called when they are gone everywhere, or at once. They include those whose
        declaration is still on its way: requests are carried out in order.
        """
        if owner in self._owners:
            del self._owners[owner]
            self._request(DeleteOwned(owner), lambda _refusal: on_gone())
        else:
            on_gone()


def _refusal(refused: Refused | None) -> Refusal | None:
    if refused is None:
        return None
    return Refusal(refused.reply_code, refused.text, refused.hard)
