"""One AMQP connection, either role, as bytes in and bytes out.

How to use it, call by call. When bytes come, call `receive_bytes` and carry out each command that
it yields before you take the next: whether a command is legal depends on what you did with those
before it (a channel that you closed takes no more). Whatever you do (`send_method`,
`send_content`, `write`, `close`) queues bytes. Afterwards, and after `tick`, call `take_bytes` and
send what it gives; then, if `finished` is true, close the link. Call `tick` about once a second:
heartbeats, time limits.

The endpoint carries out everything on channel 0 itself (handshake, login, close, heartbeats) and
judges what may come on which channel; commands of other channels, channel.open and channel.close
among them, pass to the owner undecoded. A peer's fault becomes a queued close with the AMQP reply
code, and what the peer sends after it is discarded; only our own faults raise.

Codes and texts are those of RabbitMQ 3.10, tried against it. Where that only resets the link, or
gives 541 for an exception of its own (malformed arguments), we say what was wrong.

Sources: specification 2.2.4, 4.2; RabbitMQ rabbit_reader.erl, rabbit_heartbeat.erl.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rabbitry.connection.channels import OpenChannels
from rabbitry.connection.handshake import (
    ACCEPTED_HEADERS,
    CHANNEL_MAX,
    FRAME_SIZE_MAX,
    HEARTBEAT_S,
    SERVER_CAPABILITIES,
    Authenticator,
    Credentials,
    LoginRefused,
    check_tune_ok,
    choose_limits,
    mechanisms_offered,
)
from rabbitry.connection.states import RECEIVED, SENT, Role, State
from rabbitry.machine import MICROSECONDS_PER_SECOND
from rabbitry.wire.content import Command, ContentAssembler, snippet
from rabbitry.wire.errors import (
    ACCESS_REFUSED,
    CHANNEL_ERROR,
    UNEXPECTED_FRAME,
    AmqpException,
    ChannelException,
    ConnectionException,
)
from rabbitry.wire.frames import (
    HEARTBEAT_FRAME,
    PROTOCOL_HEADER,
    content_frames,
    method_frame,
)
from rabbitry.wire.methods import (
    BasicProperties,
    ChannelClose,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionSecure,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUnblocked,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    Method,
)
from rabbitry.wire.values import FieldValue

# RabbitMQ: handshake_timeout, CLOSING_TIMEOUT, SILENT_CLOSE_DELAY.
HANDSHAKE_TIMEOUT_US: Final = 10 * MICROSECONDS_PER_SECOND
CLOSING_TIMEOUT_US: Final = 30 * MICROSECONDS_PER_SECOND
SILENT_CLOSE_DELAY_US: Final = 3 * MICROSECONDS_PER_SECOND


class Endpoint:
    """One side of an AMQP connection.

    A server endpoint needs an `authenticator`, a client endpoint `credentials`. `peer_host` and
    `peer_name` are told to the authenticator. `heartbeat_s`: a server's offer, a client's wish (0:
    none).
    """

    def __init__(
        self,
        role: Role,
        now: int,
        *,
        authenticator: Authenticator | None = None,
        credentials: Credentials | None = None,
        peer_host: str = "",
        peer_name: str | None = None,
        properties: dict[str, FieldValue] | None = None,
        heartbeat_s: int = HEARTBEAT_S,
    ) -> None:
        self.role: Role = role
        self.state: State = "header"
        self.peer_host = peer_host
        self.peer_name = peer_name
        self.user = ""
        self.virtual_host = ""
        self.peer_properties: dict[str, FieldValue] = {}
        self.peer_capabilities: dict[str, FieldValue] = {}
        self.channel_max = CHANNEL_MAX
        self.frame_size_max = FRAME_SIZE_MAX
        self.heartbeat_s = heartbeat_s
        self.end_reason = ""  # once it has ended: the text of connection.close, or a word of ours
        # For the log: the peer's fault, why a login was refused, whether we waited in vain.
        self.fault: AmqpException | None = None
        self.refusal = ""
        self.timed_out = False
        self.blocked_reason: str | None = None
        self._authenticator = authenticator
        self._credentials = credentials
        self._properties = properties or {}
        self.assembler = ContentAssembler(FRAME_SIZE_MAX)
        self._header = b""
        self._mechanism = ""
        self._channels = OpenChannels(role, CHANNEL_MAX, self._answer)
        self._hears_settlements = False  # also while closing
        self._out: list[bytes] = []
        self._received_at = self._sent_at = now
        self._give_up_at = now + HANDSHAKE_TIMEOUT_US  # 0: no limit is running
        self._heartbeats_run = False
        self._reading_paused = False
        self._deaf = False  # the peer is not listened to any more
        self.finished = False
        self._offered = ConnectionTune(CHANNEL_MAX, FRAME_SIZE_MAX, heartbeat_s)
        if role == "client":
            self._out.append(PROTOCOL_HEADER)

    # --- bytes in ---------------------------------------------------------------------------------

    def receive_bytes(self, data: bytes, now: int) -> Iterator[Command]:
        """Take bytes of the peer; yield the commands of channels 1 and up, in order.

        Nothing happens until it is iterated, and it must be iterated to its end. A command may
        bear a `fault`: its channel is to be closed with it.
        """
        self._received_at = now
        if self._deaf:
            return
        if self.state == "header":
            data = self._take_protocol_header(data)
        if self._deaf or not data:
            return
        for command in self.assembler.feed(data):
            if self._deaf:
                return
            if command.channel == 0:
                self._receive_connection_method(command, now)
            elif self._admit(command, now):
                yield command
        failure = self.assembler.failure
        if failure is not None and not self._deaf:
            self._fail(failure, now)
            if not self.finished:
                self._deaf = True  # not even its close-ok can be read
                self._give_up_at = min(self._give_up_at, now + SILENT_CLOSE_DELAY_US)

    def _take_protocol_header(self, data: bytes) -> bytes:
        """Return what follows the protocol header, once it is clear that we speak its version.

        A server's first bytes are a protocol header only where it wants another version.
        """
        if self.role == "client":
            if not self._header and data[:1] == PROTOCOL_HEADER[:1]:
                self._end("the server speaks another protocol version")
            self._header = self._header or data[:1]
            return data
        missing = len(PROTOCOL_HEADER) - len(self._header)
        self._header += data[:missing]
        if len(self._header) < len(PROTOCOL_HEADER):
            return b""
        if self._header not in ACCEPTED_HEADERS:
            self._out.append(PROTOCOL_HEADER)
            self._end("the client speaks another protocol version")
            return b""
        self._start()
        return data[missing:]

    def _start(self) -> None:
        properties: dict[str, FieldValue] = {
            "capabilities": dict.fromkeys(SERVER_CAPABILITIES, True),
            **self._properties,
        }
        self.send_method(
            0,
            ConnectionStart(
                version_major=0,
                version_minor=9,
                server_properties=properties,
                mechanisms=mechanisms_offered(self.peer_name),
                locales=b"en_US",
            ),
        )

    def _admit(self, command: Command, now: int) -> bool:
        """Return whether a command is legal on its channel; its owner gets it then."""
        if self._hears_settlements and self.state == "closing":
            return self._channels.admit_settlement(command)
        if self.state != "open":
            text = f"type 1, {snippet(command.frame[7:-1])}"
            self._fail(ConnectionException(UNEXPECTED_FRAME, text), now)
            return False
        try:
            return self._channels.admit(command)
        except ConnectionException as fault:
            self._fail(fault, now)
            return False

    # --- channel 0 --------------------------------------------------------------------------------

    def _receive_connection_method(self, command: Command, now: int) -> None:
        try:
            method = command.method()
        except AmqpException as fault:
            if self.state != "closing":
                self._fail(fault, now)
            return
        following = RECEIVED[self.role][self.state].get(method.name)
        if following is None:
            if self.state != "closing":
                self._fail(self._unexpected(method), now)
            return
        self.state = following
        try:
            self._carry_out(method, now)
        except LoginRefused as refusal:
            self._refuse_login(refusal, now)
        except ConnectionException as fault:
            fault.class_id = fault.class_id or method.class_id
            fault.method_id = fault.method_id or method.method_id
            self._fail(fault, now)

    def _unexpected(self, method: Method) -> ConnectionException:
        return ConnectionException(
            CHANNEL_ERROR,
            f"unexpected method in connection state {_STATE_NAMES.get(self.state, self.state)}",
            method.class_id,
            method.method_id,
        )

    def _carry_out(self, method: Method, now: int) -> None:
        """Answer a method of channel 0 that is legal now."""
        if isinstance(method, ConnectionClose):
            crossed = self.state == "closing"
            self.send_method(0, ConnectionCloseOk())
            if not crossed:
                text = f"{method.reply_code} {method.reply_text}"
                self._end(text if method.reply_code else "closed")
        elif isinstance(method, ConnectionCloseOk):
            self._end(self.end_reason or "closed")
        elif isinstance(method, ConnectionBlocked | ConnectionUnblocked):
            self.blocked_reason = getattr(method, "reason", None)
        elif isinstance(method, ConnectionUpdateSecret):
            self.send_method(0, ConnectionUpdateSecretOk())
        elif self.role == "server":
            self._carry_out_as_server(method)
        else:
            self._carry_out_as_client(method, now)

    def _carry_out_as_server(self, method: Method) -> None:
        authenticator = self._authenticator
        assert authenticator is not None, "a server endpoint needs an authenticator"
        if isinstance(method, ConnectionStartOk):
            self.peer_properties = method.client_properties
            capabilities = method.client_properties.get("capabilities")
            self.peer_capabilities = capabilities if isinstance(capabilities, dict) else {}
            self._mechanism = method.mechanism
            self.user = authenticator.authenticate(
                method.mechanism, method.response, self.peer_host, self.peer_name
            )
            self.send_method(0, self._offered)
        elif isinstance(method, ConnectionTuneOk):
            check_tune_ok(self._offered, method)
            self._apply_limits(method)
        elif isinstance(method, ConnectionOpen):
            authenticator.open_virtual_host(self.user, method.virtual_host)
            self.virtual_host = method.virtual_host
            self.send_method(0, ConnectionOpenOk())
            self._give_up_at = 0
        else:
            raise self._unexpected(method)

    def _carry_out_as_client(self, method: Method, now: int) -> None:
        credentials = self._credentials
        assert credentials is not None, "a client endpoint needs credentials"
        if isinstance(method, ConnectionStart):
            self.peer_properties = method.server_properties
            capabilities = method.server_properties.get("capabilities")
            self.peer_capabilities = capabilities if isinstance(capabilities, dict) else {}
            self.send_method(
                0,
                ConnectionStartOk(
                    client_properties=self._properties,
                    mechanism="PLAIN",
                    response=credentials.plain_response(),
                    locale="en_US",
                ),
            )
        elif isinstance(method, ConnectionTune):
            limits = choose_limits(method, self.heartbeat_s)
            self.send_method(0, limits)
            self._apply_limits(limits)
            self.send_method(0, ConnectionOpen(virtual_host=credentials.virtual_host))
        elif isinstance(method, ConnectionOpenOk):
            self.virtual_host = credentials.virtual_host
            self._give_up_at = 0
        elif isinstance(method, ConnectionSecure):
            raise self._unexpected(method)

    def _apply_limits(self, limits: ConnectionTuneOk) -> None:
        self.channel_max = self._channels.channel_max = limits.channel_max
        self.frame_size_max = limits.frame_max
        self.heartbeat_s = limits.heartbeat
        self.assembler.frame_size_max = limits.frame_max
        self._heartbeats_run = limits.heartbeat > 0

    def _refuse_login(self, refusal: LoginRefused, now: int) -> None:
        """Say so to clients that can hear it; keep silent for a while to all, then close."""
        self.end_reason = self.refusal = str(refusal)
        if self.peer_capabilities.get("authentication_failure_close") is True:
            text = (
                f"Login was refused using authentication mechanism {self._mechanism}. "
                "For details see the broker logfile."
            )
            self._fail(ConnectionException(ACCESS_REFUSED, text), now)
        else:
            self._deaf = True
            self.state = "closing"
        self.end_reason = str(refusal)
        self._give_up_at = now + SILENT_CLOSE_DELAY_US

    def _fail(self, fault: AmqpException, now: int) -> None:
        """Answer a peer's fault: with a close where it can understand one, else by ending."""
        if self.state in ("closing", "closed"):
            return
        self.fault = fault
        if self.role == "server" and self.state == "starting":
            # RabbitMQ does not trust the peer at this point: silence, then the end.
            self.end_reason = fault.reply_text
            self.state = "closing"
            self._deaf = True
            self._give_up_at = now + SILENT_CLOSE_DELAY_US
            return
        if "connection.close" not in SENT[self.role][self.state]:
            self._end(fault.reply_text)
            return
        self.close(fault.reply_code, fault.reply_text, fault.class_id, fault.method_id, now=now)

    def _end(self, reason: str) -> None:
        self.state = "closed"
        self.end_reason = self.end_reason or reason
        self.finished = True
        self._deaf = True
        self._channels.clear()

    # --- what the owner does ----------------------------------------------------------------------

    def send_method(self, channel: int, method: Method) -> None:
        """Queue a method; on a channel, only while the connection is open, else it is dropped.

        Sending on channel 0 what is not legal in this state is a fault of ours: AssertionError.
        """
        if channel == 0:
            following = SENT[self.role][self.state].get(method.name)
            assert following is not None, f"{method.name} sent in state {self.state}"
            self.state = following
        elif self.state != "open":
            return
        else:
            self._channels.sent(channel, method)
        self._answer(channel, method)

    def _answer(self, channel: int, method: Method) -> None:
        self._out.append(method_frame(channel, method.encode()))

    def send_content(
        self, channel: int, method: Method, properties: BasicProperties, body: bytes
    ) -> None:
        """Queue a method with its content, while the connection is open."""
        if self.state == "open":
            self.send_method(channel, method)
            frames = content_frames(channel, properties.encode(), body, self.frame_size_max)
            self._out.append(frames)

    def write(self, parts: Sequence[bytes]) -> None:
        """Queue frames that are encoded already, while the connection is open.

        The way of deliveries and confirms. Nothing may follow connection.close.
        """
        if self.state == "open":
            self._out += parts

    def close(
        self,
        reply_code: int = 200,
        reply_text: str = "",
        class_id: int = 0,
        method_id: int = 0,
        *,
        now: int,
        hear_settlements: bool = False,
    ) -> None:
        """Queue connection.close; the connection is over for its owner, `finished` comes later.

        With `hear_settlements` acknowledgements pass until close-ok comes. The specification has
        all but close and close-ok discarded; but a client that has sent them before it knew may
        rely on them, and an acknowledgement asks for no answer.
        """
        if self.state in ("closing", "closed"):
            return
        if "connection.close" not in SENT[self.role][self.state]:
            self._end(reply_text or "closed")
            return
        self.send_method(0, ConnectionClose(reply_code, reply_text, class_id, method_id))
        self.end_reason = f"{reply_code} {reply_text}" if reply_text else "closed"
        self._hears_settlements = hear_settlements
        if not hear_settlements:
            self._channels.clear()
        self._give_up_at = now + CLOSING_TIMEOUT_US

    def close_channel(self, channel: int, fault: ChannelException) -> None:
        """Queue channel.close for an open channel; what comes on it is dropped until close-ok."""
        close = ChannelClose(fault.reply_code, fault.reply_text, fault.class_id, fault.method_id)
        self.send_method(channel, close)

    # --- time and bytes out -----------------------------------------------------------------------

    def pause_reading(self, paused: bool, now: int) -> None:
        """Count no missed heartbeats while the owner leaves the peer's bytes unread.

        RabbitMQ: rabbit_heartbeat.erl pause_monitor/1, resume_monitor/1.
        """
        self._reading_paused = paused
        self._received_at = now

    def tick(self, now: int) -> None:
        """Send a heartbeat where one is due; end the connection where time has run out."""
        if self._give_up_at and now >= self._give_up_at:
            self.timed_out = self.state != "closing"
            self._end("timed out in state " + self.state)
            return
        if not self._heartbeats_run or self.finished:
            return
        interval_us = self.heartbeat_s * MICROSECONDS_PER_SECOND
        if now - self._received_at > 2 * interval_us and not self._reading_paused:
            self.timed_out = True
            self._end(f"missed heartbeats from the peer, timeout {self.heartbeat_s} s")
        elif now - self._sent_at >= interval_us // 2 and not self._out:
            self._out.append(HEARTBEAT_FRAME)

    @property
    def queued(self) -> Sequence[bytes]:
        """What waits to be taken, as parts."""
        return self._out

    def take_bytes(self, now: int) -> bytes:
        """Return what is queued to be sent, and forget it."""
        out = self._out
        if not out:
            return b""
        self._sent_at = now
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)


# The words of the specification's texts in RabbitMQ's replies.
_STATE_NAMES: Final = {"open": "running", "header": "starting"}
