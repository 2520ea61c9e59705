"""The question that only a disk can answer: a durable message whose confirm is waited for.

Owns what is said for it on a channel of its own, and what is owed there. Does not own when it is
asked, or what it means for the server (`amqp_watch`).

A broker whose syncs hang goes on answering methods; but it confirms no persistent message in a
durable queue. So there is such a queue for each connection, gone with it, and one small message at
a time in it. Which queue that is depends on the broker, for it must be this broker's disk that is
asked, and no other's:

- RabbitMQ keeps no exclusive queue on its disk (rabbit_channel.erl: `Durable = DurableDeclare
  andalso not ExclusiveDeclare`), so the queue is an auto-delete one that we consume, and goes with
  the consumer; where that fails (the broker has crashed) `x-expires` ends it. A policy may mirror
  it, and then a confirm waits for other nodes too. But the sync is carried out by the process of
  the queue (rabbit_queue_index:sync/1), on this node: if that still answers a passive declaration
  while the confirm is missing, it is another's disk or another's silence that is waited for.
- Our nodes keep an exclusive queue on their disk where it is asked for (`x-confirm-durably`,
  `rabbitry.cluster.hosting`), and mirror none.

A declaration needs the whole cluster, so one without an answer says nothing of this broker: it is
waited for once, and then `waived`. If the broker refuses (permissions, a limit), `refusal` says why
and nothing more is asked.

Invariants: one message is unconfirmed at most; what was delivered is acknowledged, behind its
confirm, so that it was not forgotten before it was stored.
"""

from __future__ import annotations

from typing import Final, Literal

from rabbitry.balancer.checking.results import printable
from rabbitry.connection.endpoint import Endpoint
from rabbitry.wire.errors import NOT_FOUND
from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicNack,
    BasicProperties,
    BasicPublish,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ConfirmSelect,
    Method,
    QueueDeclare,
    QueueDeclareOk,
)
from rabbitry.wire.values import FieldValue

EXPIRES_MS: Final = 60_000
"""When RabbitMQ deletes a queue that nobody consumes."""
REFUSED: Final = "its disk is not asked: "
DURABLY: Final = "x-confirm-durably"

_PERSISTENT: Final = BasicProperties(content_type="application/octet-stream", delivery_mode=2)
_ON_THIS_NODE: Final[dict[str, FieldValue]] = {"x-queue-master-locator": "client-local"}
"""RabbitMQ 3's. RabbitMQ 4 warns of it, or refuses it, and needs it not."""
_OF_RABBITMQ: Final[dict[str, FieldValue]] = {
    "x-queue-type": "classic",
    "x-expires": EXPIRES_MS,
    "x-max-length": 1,
}
_OF_OURS: Final[dict[str, FieldValue]] = {"x-max-length": 1, DURABLY: True}


class DiskAsking:
    """The question on one connection. `channel` is its own; `rabbitmq`, or one of our nodes."""

    def __init__(self, endpoint: Endpoint, channel: int, rabbitmq: bool) -> None:
        self._endpoint = endpoint
        self._channel = channel
        self._rabbitmq = rabbitmq
        self.refusal = ""
        self.waived = False  # what is owed says nothing of this server's disk
        self._state: Literal["closed", "declaring", "ready", "refused"] = "closed"
        self._queue = ""
        self._unconfirmed = False
        self._looked = False  # the queue was asked whether it is there, and has not answered
        self._stood_still = False  # it was judged so, since the last message was sent
        self._delivered = 0  # the tag of what is to be acknowledged

    # --- what is asked ----------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask; where the last message is unconfirmed still, ask again what it waits for."""
        if self._state == "closed":
            self._say(ChannelOpen(), ConfirmSelect())
            self._declare()
        elif self._unconfirmed:
            self.waived = False
            self.press()
        elif self._state == "ready":
            self._publish()

    def press(self) -> None:
        """The confirm is late: find out whether this broker keeps it waiting, or another."""
        if self._unconfirmed and self._rabbitmq and not self._looked:
            self._looked = True
            self._say(QueueDeclare(queue=self._queue, passive=True))

    @property
    def pressed(self) -> bool:
        """Whether there is nothing left to find out but by waiting."""
        return self._looked or not self._rabbitmq

    @property
    def declaring(self) -> bool:
        """Whether the server has the declaration of a queue to answer."""
        return self._state == "declaring"

    @property
    def owes(self) -> bool:
        """Whether the server has to answer, and has not."""
        return (self._unconfirmed or self._state == "declaring") and not self.waived

    def waive(self) -> bool:
        """Time is over: return whether that says nothing of this server's disk."""
        if self._state == "declaring":
            self.waived = True
        self._stood_still = not self.waived
        return self.waived

    @property
    def remark(self) -> str:
        """What people should know of it; empty where all is well."""
        if self.refusal:
            return f"{REFUSED}{self.refusal}"
        if not self.waived:
            return ""
        if self._unconfirmed:
            return "confirms wait for other nodes"
        return "its disk is not asked yet: no queue.declare-ok"

    # --- what is answered -------------------------------------------------------------------------

    def take(self, method: Method) -> None:
        """Take what has come on the channel."""
        match method:
            case QueueDeclareOk() if self._state == "declaring":
                self._declared(method.queue)
            case QueueDeclareOk():
                self._looked = False
                if self._stood_still:  # the confirm may come behind this answer: look again
                    self._stood_still = False
                    self.press()
                else:
                    self.waived = self._unconfirmed
            case BasicAck() | BasicNack():
                self._unconfirmed = self._stood_still = self.waived = False
                self._acknowledge()
            case BasicDeliver():
                self._delivered = method.delivery_tag
                self._acknowledge()
            case BasicReturn():  # somebody has deleted the queue; the confirm follows
                self._declare()
            case ChannelClose():
                self._closed(method)

    def _declared(self, queue: str) -> None:
        self._queue = queue
        self._state = "ready"
        self.waived = False
        if self._rabbitmq:
            self._say(BasicConsume(queue=queue, no_wait=True, consumer_tag="disk"))
        if not self._unconfirmed:
            self._publish()

    def _closed(self, method: ChannelClose) -> None:
        """It is over, unless only the queue is gone: then it begins anew when it is asked next."""
        self._say(ChannelCloseOk())
        gone = method.reply_code == NOT_FOUND and self._state == "ready"
        self._state = "closed" if gone else "refused"
        if not gone:
            self.refusal = f"{method.reply_code} {printable(method.reply_text)}"
        self._unconfirmed = self._looked = self._stood_still = self.waived = False
        self._delivered = 0

    # --- saying it --------------------------------------------------------------------------------

    def _declare(self) -> None:
        self._state = "declaring"
        self._delivered = 0
        arguments = _OF_RABBITMQ if self._rabbitmq else _OF_OURS
        if self._rabbitmq and str(self._endpoint.peer_properties.get("version")).startswith("3."):
            arguments = arguments | _ON_THIS_NODE
        declaration = QueueDeclare(
            durable=True,
            exclusive=not self._rabbitmq,
            auto_delete=self._rabbitmq,
            arguments=arguments,
        )
        self._say(declaration)

    def _publish(self) -> None:
        self._unconfirmed = True
        method = BasicPublish(routing_key=self._queue, mandatory=True)
        self._endpoint.send_content(self._channel, method, _PERSISTENT, b"\0")

    def _acknowledge(self) -> None:
        if self._delivered and not self._unconfirmed:
            self._say(BasicAck(delivery_tag=self._delivered))
            self._delivered = 0

    def _say(self, *methods: Method) -> None:
        for method in methods:
            self._endpoint.send_method(self._channel, method)
