"""Which commands may come on which channel. (The faults' words are in test_endpoint_faults.py.)"""

from __future__ import annotations

import pytest

from rabbitry.connection.channels import OpenChannels, is_settlement
from rabbitry.wire.content import Command
from rabbitry.wire.errors import CHANNEL_ERROR, NOT_ALLOWED, ConnectionException
from rabbitry.wire.frames import method_frame
from rabbitry.wire.methods import (
    BasicAck,
    BasicNack,
    BasicQos,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    Method,
)


def command(method: Method, channel: int = 1) -> Command:
    return Command(channel, method_frame(channel, method.encode()), [])


class Channels:
    def __init__(self, channel_max: int = 0) -> None:
        self.answers: list[tuple[int, Method]] = []
        self.open = OpenChannels("server", channel_max, self._answer)

    def _answer(self, channel: int, method: Method) -> None:
        self.answers.append((channel, method))


def test_a_channel_lives_from_open_to_close_ok() -> None:
    one = Channels()
    assert one.open.admit(command(ChannelOpen()))
    assert one.open.admit(command(BasicQos()))
    one.open.sent(1, ChannelClose())
    assert not one.open.admit(command(BasicQos()))
    assert not one.open.admit(command(ChannelClose()))
    assert one.answers == [(1, ChannelCloseOk())]
    assert one.open.admit(command(ChannelCloseOk()))
    with pytest.raises(ConnectionException) as found:
        one.open.admit(command(BasicQos()))
    assert found.value.reply_code == CHANNEL_ERROR


def test_there_are_not_more_than_agreed() -> None:
    one = Channels(channel_max=1)
    one.open.admit(command(ChannelOpen()))
    with pytest.raises(ConnectionException) as found:
        one.open.admit(command(ChannelOpen(), channel=2))
    assert found.value.reply_code == NOT_ALLOWED
    one.open.sent(1, ChannelCloseOk())
    assert one.open.admit(command(ChannelOpen(), channel=2))


def test_a_client_opens_by_what_it_sends() -> None:
    channels = OpenChannels("client", 0, lambda channel, method: None)
    with pytest.raises(ConnectionException):
        channels.admit(command(ChannelOpenOk()))
    channels.sent(1, ChannelOpen())
    assert channels.admit(command(ChannelOpenOk()))


def test_settlements_are_told_from_the_rest() -> None:
    for method in (BasicAck(1), BasicNack(1), BasicReject(1)):
        assert is_settlement(command(method))
    assert not is_settlement(command(BasicQos()))


def test_settlements_count_on_channels_that_are_open() -> None:
    one = Channels()
    assert not one.open.admit_settlement(command(BasicAck(1)))
    one.open.admit(command(ChannelOpen()))
    assert one.open.admit_settlement(command(BasicAck(1)))
    assert not one.open.admit_settlement(command(BasicQos()))
    one.open.sent(1, ChannelClose())
    assert not one.open.admit_settlement(command(BasicAck(1)))
