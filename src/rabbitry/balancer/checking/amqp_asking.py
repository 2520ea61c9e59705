"""One AMQP connection on which a server is asked whether it answers.

Owns what is said on it and what the answers mean. Does not own when to ask, or what silence means
(`amqp_watch`).

What is asked is `basic.qos` without a limit, on a channel that consumes nothing. It is the cheapest
synchronous method there is: the answer passes through the reader, the channel and the writer of the
connection, touches no queue, exchange, file or other node, needs no permission, and leaves nothing
in a log. Heartbeats are off: the questions do their work, and a broker that was stopped for a while
has no reason to call the connection dead when it goes on.

A disk is asked by a durable message, where that is wished: see `amqp_disk`.

An alarm. RabbitMQ and our nodes tell `connection.blocked` only to connections that publish while
the alarm lasts (rabbit_reader.erl, publish_received/1), which is when the header of a content has
come, or any of its body. So a connection that `probes` begins one message of one byte on a channel
of its own, and sends an empty body frame now and then: the message never becomes complete, nothing
is published, routed or counted. Then the broker says `blocked`, and reads that connection no more
until the alarm is over (it says `unblocked` then): another one must do the asking for so long, and
what the disk owes on this one is no fault of the disk. LavinMQ, which says no such thing, is asked
in its own way (`amqp_low_disk`), and goes on answering. Other brokers are not probed; what they say
unasked is heard.

Invariants: the password is in no text; after `conclusion` is set nothing more is asked.
"""

from __future__ import annotations

from typing import Final

from rabbitry.balancer.checking.amqp_disk import DiskAsking
from rabbitry.balancer.checking.amqp_low_disk import LowDiskAsking
from rabbitry.balancer.checking.results import Result, printable, result
from rabbitry.connection.endpoint import Endpoint
from rabbitry.connection.handshake import Credentials
from rabbitry.wire.errors import (
    ACCESS_REFUSED,
    CONNECTION_FORCED,
    NOT_ALLOWED,
    AmqpException,
)
from rabbitry.wire.frames import content_frames, method_frame
from rabbitry.wire.methods import (
    BasicProperties,
    BasicPublish,
    BasicQos,
    ChannelClose,
    ChannelOpen,
)
from rabbitry.wire.values import FieldValue

PRODUCT: Final = "Rabbitry balancer"
_NO_AMQP: Final = result("L7RSP", "does not speak AMQP 0-9-1")
_ASKING: Final = 1
_PROBING: Final = 2
_DISK: Final = 3
_RABBITMQ: Final = "RabbitMQ"
_PROBED: Final = (_RABBITMQ, "Rabbitry")
_LAVINMQ: Final = "LavinMQ"
_BODY_FRAME_OF_ONE_BYTE: Final = 9
_EMPTY_BODY: Final = bytes((3, 0, _PROBING, 0, 0, 0, 0, 0xCE))
_BEGUN_MESSAGE: Final = (
    method_frame(_PROBING, BasicPublish().encode())
    + content_frames(_PROBING, BasicProperties().encode(), b"\0", 4096)[:-_BODY_FRAME_OF_ONE_BYTE]
)


class AmqpAsking:
    """A connection to one server. Bytes go in by `received`; `take_bytes` after each call.

    `connection_name` tells the server's operator who this is. `opened_at` is when it was begun.
    With `probes` alarms are looked for; with `asks_disk` its disk is asked too.
    """

    def __init__(
        self,
        credentials: Credentials,
        connection_name: str,
        now: int,
        *,
        probes: bool,
        asks_disk: bool = False,
    ) -> None:
        properties: dict[str, FieldValue] = {
            "product": PRODUCT,
            "information": "health checks",
            "connection_name": connection_name,
            "capabilities": {"authentication_failure_close": True, "connection.blocked": True},
        }
        self.opened_at = now
        self.ready = False  # logged in
        self.disk: DiskAsking | None = None  # where it is asked
        self.conclusion: Result | None = None  # why it ended, once it has
        self.retiring = False  # no longer wanted: it is being closed in order
        self._credentials = credentials
        self._endpoint = Endpoint(
            "client", now, credentials=credentials, properties=properties, heartbeat_s=0
        )
        self._garbled = False  # the server speaks no AMQP, or no more
        self._owes_method = True  # it has been asked something, the login to begin with
        self._wishes_to_probe = probes
        self._wishes_to_ask_disk = asks_disk
        self._probing = False
        self._low_disk: LowDiskAsking | None = None  # where alarms are told by refusals

    # --- what the owner does ----------------------------------------------------------------------

    def ask(self, now: int, probe: bool) -> None:
        """Ask; `probe` for an alarm too, where it can be done."""
        if probe and self._low_disk is not None:
            self._low_disk.ask()
        self.ask_method()
        if probe and self._probing:
            self._endpoint.write([_EMPTY_BODY])
        if self.disk is not None:
            self.disk.ask()

    def ask_method(self) -> None:
        """Ask what needs no disk."""
        self._owes_method = True
        self._endpoint.send_method(_ASKING, BasicQos())

    @property
    def outstanding(self) -> bool:
        """Whether an answer is owed, the login to begin with."""
        return self._owes_method or self._owes_disk

    @property
    def _owes_disk(self) -> bool:
        return self.disk is not None and self.disk.owes and not self.blocked_by

    @property
    def owing_disk(self) -> DiskAsking | None:
        """The disk, where nothing is owed but its answer."""
        return self.disk if self._owes_disk and not self._owes_method else None

    def retire(self, now: int) -> None:
        """End it in order, as soon as it can be: a login under way is finished first."""
        self.retiring = True
        if self.ready:
            self._endpoint.close(200, "Goodbye", now=now)

    def take_bytes(self, now: int) -> bytes:
        """What is to be sent."""
        return self._endpoint.take_bytes(now)

    @property
    def finished(self) -> bool:
        """Whether the link is to be closed, once all is sent."""
        return self._endpoint.finished or self._garbled

    @property
    def blocked_by(self) -> str:
        """The alarm for which this connection is not read; empty where it is."""
        reason = self._endpoint.blocked_reason
        return "" if reason is None else reason or "an alarm"

    @property
    def alarm(self) -> str:
        """The reason of the server's alarm; empty where none is known."""
        return self.blocked_by or (self._low_disk.alarm if self._low_disk is not None else "")

    @property
    def remark(self) -> str:
        """What people should know of what cannot be asked; empty where all is well."""
        if self.disk is not None and self.disk.remark:
            return self.disk.remark
        return self._low_disk.remark if self._low_disk is not None else ""

    @property
    def server_name(self) -> str:
        """Product and version, as the server names itself."""
        names = [self._endpoint.peer_properties.get(key) for key in ("product", "version")]
        return " ".join(printable(name) for name in names if name)

    @property
    def waiting_for(self) -> str:
        """What a silent server owes."""
        state = self._endpoint.state
        if state == "header":
            return "connection.start"
        if state in ("starting", "tuning"):
            return "connection.tune"
        if state == "opening":
            return "connection.open-ok"
        return "basic.qos-ok"

    # --- what the server does ---------------------------------------------------------------------

    def received(self, data: bytes, now: int) -> bool:
        """Take bytes; return whether they answered a question."""
        endpoint = self._endpoint
        owed = self.outstanding
        for command in endpoint.receive_bytes(data, now):
            try:
                method = command.method()
            except AmqpException as fault:
                self.conclusion = self.conclusion or _NO_AMQP
                endpoint.close(fault.reply_code, fault.reply_text, now=now)
                continue
            if command.channel == _DISK and self.disk is not None:
                self.disk.take(method)
            elif command.channel == _PROBING and self._low_disk is not None:
                self._low_disk.take(method)
            elif method.name == "basic.qos-ok":
                self._owes_method = False
                if self._low_disk is not None:
                    self._low_disk.answered()
            elif isinstance(method, ChannelClose):
                text = f"channel.close {method.reply_code}: {printable(method.reply_text)}"
                self.conclusion = result("L7STS", text, method.reply_code)
                endpoint.close(200, "Goodbye", now=now)
        if endpoint.fault is not None:  # not even an answer to our close could be read
            self._garbled = True
            self.conclusion = self.conclusion or _NO_AMQP
        elif endpoint.finished and not self.retiring:
            self.conclusion = self.conclusion or self._why_ended()
        elif endpoint.state == "open" and not self.ready:
            self._log_in_done(now)
        return owed and not self.outstanding

    def _log_in_done(self, now: int) -> None:
        self.ready = True
        if self.retiring:
            self.retire(now)
            return
        endpoint = self._endpoint
        endpoint.send_method(_ASKING, ChannelOpen())
        product = endpoint.peer_properties.get("product")
        known, channel_max = product in _PROBED, endpoint.channel_max or _DISK
        if self._wishes_to_probe and known and channel_max >= _PROBING:
            self._probing = True
            endpoint.send_method(_PROBING, ChannelOpen())
        if self._wishes_to_probe and product == _LAVINMQ and channel_max >= _PROBING:
            self._low_disk = LowDiskAsking(endpoint, _PROBING)
        if self._wishes_to_ask_disk and known and channel_max >= _DISK:
            self.disk = DiskAsking(endpoint, _DISK, rabbitmq=product == _RABBITMQ)
        self.ask(now, probe=self._low_disk is not None)
        if self._probing:
            endpoint.write([_BEGUN_MESSAGE])

    def lost(self) -> Result:
        """The link broke, without a word: what that means."""
        state = self._endpoint.state
        if self.conclusion is not None:
            return self.conclusion
        if state in ("starting", "tuning"):
            # Brokers that cannot say so (or were not asked to) end a bad login like this.
            text = f"closed the connection at the login of {self._user}"
            return result("L7RSP", text, ACCESS_REFUSED)
        if self.ready:
            return result("L7RSP", "closed the connection without a word")
        return result("L7RSP", f"closed the connection instead of {self.waiting_for}")

    @property
    def _user(self) -> str:
        return f"user '{printable(self._credentials.user)}'"

    def _why_ended(self) -> Result:
        """What the server said at its end, or what was wrong with what it said."""
        endpoint = self._endpoint
        code, _, text = endpoint.end_reason.partition(" ")
        if not code.isdigit():
            return _NO_AMQP
        said = f"{code} {printable(text)}"
        if int(code) == ACCESS_REFUSED and not self.ready:
            return result("L7STS", f"refuses the login of {self._user}: {said}", ACCESS_REFUSED)
        if int(code) == NOT_ALLOWED and not self.ready:
            name = printable(self._credentials.virtual_host)
            return result("L7STS", f"refuses virtual host '{name}': {said}", NOT_ALLOWED)
        if int(code) == CONNECTION_FORCED:
            text = f"is leaving: {said}"
            return result("L7OKC", text, CONNECTION_FORCED, remark=text)
        return result("L7STS", f"closed the connection: {said}", int(code))
