"""Properties that cannot be decoded, and those that only look so: as by RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.fuzz_seeds import nested_table
from support.raw_client import RawClient, shown
from support.stages import Stage

from rabbitry.wire.frames import content_frames, method_frame
from rabbitry.wire.methods import BasicGet, BasicPublish, TxSelect
from rabbitry.wire.values import TABLE_DEPTH_MAX

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()
NONE = b"\x00\x00"
BAD = b"\x00\x00x"


def _table(fields: bytes) -> bytes:
    return b"\x20\x00" + len(fields).to_bytes(4, "big") + fields


def _publish(
    client: RawClient,
    routing_key: str,
    *encoded: bytes,
    exchange: str = "",
    mandatory: bool = False,
) -> None:
    """Publish messages with these properties, bodies 0, 1 and so on, in one piece."""
    method = BasicPublish(0, exchange, routing_key, mandatory)
    frames = []
    for number, one in enumerate(encoded):
        frames.append(method_frame(1, method.encode()))
        frames.append(content_frames(1, one, b"%d" % number, 131072))
    client.write(b"".join(frames))


@scenario.each(
    nothing_where_one_is=b"\x10\x00",
    more_than_there_are=b"\x10\x00\x02x",
    more_than_none=BAD,
    time_cut_short=b"\x00\x40\x00\x00\x00\x01",
    string_cut_short=b"\x80\x00\x05ab",
    string_that_ends_early=b"\x80\x00\x01ab",
    second_string_gone=b"\xc0\x00\x01a",
    further_flags=b"\x00\x01\x00\x00",
    further_flags_before_a_value=b"\x10\x01\x00\x00\x02",
    further_flags_with_a_property=b"\x00\x01\x80\x00\x01a",
    table_without_size=b"\x20\x00",
    table_longer_than_its_frame=b"\x20\x00\x00\x00\x00\x09abc",
    table_that_ends_early=_table(b"\x01aV") + b"\x01aV",
    field_of_no_known_type=_table(b"\x01a?"),
    field_without_value=_table(b"\x01aI"),
    field_without_type=_table(b"\x01a"),
    name_cut_short=_table(b"\x05a"),
    text_longer_than_its_table=_table(b"\x01aS\x00\x00\x00\x09ab"),
    table_in_the_table=_table(b"\x01aF\x00\x00\x00\x03\x01b?"),
    table_in_the_table_cut_short=_table(b"\x01aF\x00\x00\x00\x04\x01bV"),
    array_in_the_table=_table(b"\x01aA\x00\x00\x00\x01?"),
    no_number=_table(b"\x01ad\x7f\xf8" + bytes(6)),
    infinite_number=_table(b"\x01ad\xff\xf0" + bytes(6)),
    infinite_single=_table(b"\x01af\x7f\x80\x00\x00"),
)
def properties_that_cannot_be_decoded(stage: Stage, value: bytes) -> None:
    neighbour = stage.declared("neighbour")
    client = stage.client()
    _publish(client, stage.queue, NONE, value, NONE)
    client.hear()
    neighbour.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)


@scenario.each(
    flag_of_no_property=b"\x00\x02",
    text_that_is_no_utf_8=b"\x80\x00\x02\xff\xfe",
    name_that_is_no_utf_8=_table(b"\x02\xff\xfeV"),
    name_of_nothing=_table(b"\x00V"),
    bool_of_two=_table(b"\x01at\x02"),
    table_of_nothing=_table(b""),
    subnormal_number=_table(b"\x01ad" + bytes(7) + b"\x01"),
)
def properties_that_can_be_decoded(stage: Stage, value: bytes) -> None:
    client = stage.declared()
    _publish(client, stage.queue, value)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def undecodable_in_a_transaction(stage: Stage) -> None:
    neighbour = stage.declared("neighbour")
    client = stage.client()
    client.ask(TxSelect())
    _publish(client, stage.queue, NONE, BAD)
    client.hear()
    neighbour.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def undecodable_behind_one_that_is_returned(stage: Stage) -> None:
    client = stage.client()
    _publish(client, "nowhere", NONE, BAD, mandatory=True)
    client.hear(2)


@scenario
def undecodable_for_an_exchange_that_is_not_there(stage: Stage) -> None:
    client = stage.client()
    _publish(client, "q", BAD, exchange=stage.exchange)
    client.hear()


@scenario
def undecodable_though_it_goes_nowhere(stage: Stage) -> None:
    client = stage.client()
    _publish(client, "nowhere", BAD)
    client.hear()


@scenario
def undecodable_behind_a_wrong_expiration(stage: Stage) -> None:
    client = stage.client()
    _publish(client, "q", b"\x01\x00\x01x", b"\x01\x00\x09x")
    client.hear()


def _publish_and_get(stage: Stage, encoded: bytes) -> None:
    client = stage.declared()
    _publish(client, stage.queue, encoded)
    client.send(BasicGet(queue=stage.queue, no_ack=True))
    client.note(shown(client.take_method()))  # what cannot be decoded cannot be shown


@scenario
def tables_nested_very_deep(stage: Stage) -> None:
    _publish_and_get(stage, b"\x20\x00" + nested_table(TABLE_DEPTH_MAX))


@scenario
def further_property_flags_announced(stage: Stage) -> None:
    _publish_and_get(stage, b"\x10\x01\x02")


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("properties", conversation, scenario[conversation])
