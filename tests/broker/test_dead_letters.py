"""Dead letters: the history that RabbitMQ 3.10's rabbit_dead_letter.erl would write."""

from __future__ import annotations

from typing import Any

import pytest

from rabbitry.broker.dead_letters import DeadLetter, Reason, dead_letter, header_routing_keys
from rabbitry.broker.message import Message, Route
from rabbitry.wire.frames import content_body, content_frames, content_properties
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import ByteArray, FieldValue, SignedLong, Timestamp

TIME_S = 1_700_000_000
Table = dict[str, FieldValue]


def message(
    headers: Table | None = None, exchange: bytes = b"x", key: bytes = b"k", **others: Any
) -> Message:
    encoded = BasicProperties(headers=headers, **others).encode()
    flags = int.from_bytes(encoded[:2], "big")
    return Route(exchange, key, flags), content_frames(1, encoded, b"body", 0)


def properties(letter: DeadLetter) -> BasicProperties:
    return BasicProperties.decode(content_properties(letter.frames), 0)[0]


def headers_of(letter: DeadLetter) -> Table:
    headers = properties(letter).headers
    assert headers is not None
    return headers


def again(letter: DeadLetter, queue: str, reason: Reason, exchange: bytes = b"dlx") -> DeadLetter:
    """Let a dead letter die again."""
    route = Route(exchange, letter.routing_keys[0], letter.flags)
    return dead_letter(queue, reason, (route, letter.frames), TIME_S + 1, None)


def kinds(letter: DeadLetter) -> list[tuple[FieldValue, FieldValue, FieldValue]]:
    deaths = headers_of(letter)["x-death"]
    assert isinstance(deaths, list)
    found = []
    for death in deaths:
        assert isinstance(death, dict)
        found.append((death["queue"], death["reason"], death["count"]))
    return found


def test_the_first_death_is_told_in_full() -> None:
    letter = dead_letter("q", "expired", message(), TIME_S, None)
    assert headers_of(letter) == {
        "x-death": [
            {
                "count": 1,
                "reason": "expired",
                "queue": "q",
                "time": TIME_S,
                "exchange": "x",
                "routing-keys": ["k"],
            }
        ],
        "x-first-death-exchange": "x",
        "x-first-death-queue": "q",
        "x-first-death-reason": "expired",
    }
    assert list(headers_of(letter)) == sorted(headers_of(letter))
    (death,) = headers_of(letter)["x-death"]  # type: ignore[misc]
    assert list(death) == ["count", "reason", "queue", "time", "exchange", "routing-keys"]
    assert type(death["count"]) is SignedLong
    assert type(death["time"]) is Timestamp
    assert letter.routing_keys == [b"k"]
    assert letter.flags == 0x2000
    assert content_body(letter.frames) == b"body"


def test_headers_that_were_there_stay_and_are_sorted() -> None:
    letter = dead_letter("q", "maxlen", message({"zz": 1, "a": ByteArray(b"b")}), TIME_S, None)
    assert list(headers_of(letter)) == [
        "a",
        "x-death",
        "x-first-death-exchange",
        "x-first-death-queue",
        "x-first-death-reason",
        "zz",
    ]
    assert type(headers_of(letter)["a"]) is ByteArray


def test_the_expiration_goes_into_the_history() -> None:
    letter = dead_letter(
        "q", "expired", message(expiration="60000", priority=3, app_id="a"), TIME_S, None
    )
    assert properties(letter).expiration is None
    assert (properties(letter).priority, properties(letter).app_id) == (3, "a")
    (death,) = headers_of(letter)["x-death"]  # type: ignore[misc]
    assert death["original-expiration"] == "60000"
    assert letter.flags == 0x2808


def test_a_dead_letter_routing_key_takes_the_place_of_all_keys() -> None:
    headers: Table = {"CC": ["a", 7, "b"], "BCC": ["c"]}
    kept = dead_letter("q", "rejected", message(headers), TIME_S, None)
    assert kept.routing_keys == [b"k", b"a", b"b", b"c"]
    assert headers_of(kept)["CC"] == ["a", 7, "b"]
    replaced = dead_letter("q", "rejected", message(headers), TIME_S, b"other")
    assert replaced.routing_keys == [b"other"]
    assert "CC" not in headers_of(replaced)
    (death,) = headers_of(replaced)["x-death"]  # type: ignore[misc]
    assert death["routing-keys"] == ["k", "a", "b", "c"]


def test_a_death_of_the_same_kind_counts_up_and_comes_to_the_front() -> None:
    letter = dead_letter("q", "rejected", message(), TIME_S, None)
    letter = again(letter, "retry", "expired")
    assert kinds(letter) == [("retry", "expired", 1), ("q", "rejected", 1)]
    letter = again(letter, "q", "rejected")
    assert kinds(letter) == [("q", "rejected", 2), ("retry", "expired", 1)]
    (death, _) = headers_of(letter)["x-death"]  # type: ignore[misc]
    assert (death["exchange"], death["time"]) == ("x", TIME_S)
    assert list(death) == sorted(death)
    assert headers_of(letter)["x-first-death-queue"] == "q"


def test_the_older_entries_turn_round_with_each_death() -> None:
    """RabbitMQ's group_by_queue_and_reason/1 folds from the left and leaves them so."""
    letter = dead_letter("a", "expired", message(), TIME_S, None)
    for queue in ("b", "c", "d"):
        letter = again(letter, queue, "expired")
    assert [queue for queue, _, _ in kinds(letter)] == ["d", "b", "a", "c"]


def test_entries_from_before_there_was_a_count_are_grouped() -> None:
    old: Table = {"queue": "q", "reason": "rejected"}
    letter = dead_letter("z", "expired", message({"x-death": [old, old, old]}), TIME_S, None)
    assert kinds(letter) == [("z", "expired", 1), ("q", "rejected", 3)]
    letter = dead_letter("q", "rejected", message({"x-death": [old]}), TIME_S, None)
    assert kinds(letter) == [("q", "rejected", 1)]


def test_a_history_that_a_client_has_spoilt_begins_anew() -> None:
    letter = dead_letter("q", "expired", message({"x-death": "gone"}), TIME_S, None)
    assert kinds(letter) == [("q", "expired", 1)]
    assert "x-first-death-queue" not in headers_of(letter)
    letter = dead_letter("q", "expired", message({"x-death": [1, {"queue": 5}]}), TIME_S, None)
    deaths = headers_of(letter)["x-death"]
    assert isinstance(deaths, list)
    assert deaths[1:] == [{"count": 1, "queue": 5}, 1]


@pytest.mark.parametrize(
    ("history", "reason", "cycling"),
    [
        ([], "expired", ("q",)),
        ([], "rejected", ()),
        ([("a", "expired"), ("b", "maxlen")], "expired", ("q", "b", "a")),
        ([("a", "rejected"), ("b", "expired")], "maxlen", ("q", "b")),
        ([("a", "expired"), ("b", "rejected")], "expired", ("q",)),
    ],
)
def test_a_cycle_is_one_without_a_rejection(
    history: list[tuple[str, str]], reason: Reason, cycling: tuple[str, ...]
) -> None:
    deaths: list[FieldValue] = [{"queue": queue, "reason": why} for queue, why in history]
    letter = dead_letter("q", reason, message({"x-death": deaths}), TIME_S, None)
    assert letter.cycling == cycling


def test_what_a_client_put_into_the_history_ends_a_cycle() -> None:
    letter = dead_letter(
        "q", "expired", message({"x-death": ["odd", {"queue": "z"}, {"queue": "a"}]}), TIME_S, None
    )
    assert letter.cycling == ("q", "a", "z")


def test_properties_that_cannot_be_read_do_not_end_the_history() -> None:
    route, frames = message({"a": 1})
    broken = bytearray(frames)
    broken[21 + 4 + 2] = 0xFF  # the type of the header
    letter = dead_letter("q", "expired", (route, bytes(broken)), TIME_S, None)
    assert kinds(letter) == [("q", "expired", 1)]
    assert content_body(letter.frames) == b"body"


def test_names_that_are_no_utf_8_stay_as_they_are() -> None:
    queue = b"q\xff".decode("utf-8", "surrogateescape")
    letter = dead_letter(queue, "expired", message(exchange=b"x\xfe", key=b"\xfd"), TIME_S, None)
    (death,) = headers_of(letter)["x-death"]  # type: ignore[misc]
    assert (death["queue"], death["exchange"], death["routing-keys"]) == (
        b"q\xff",
        b"x\xfe",
        [b"\xfd"],
    )
    assert letter.cycling == (queue,)


def test_only_long_strings_are_routing_keys() -> None:
    assert header_routing_keys({"CC": ["a", b"\xff", ByteArray(b"x"), 1]}) == [b"a", b"\xff"]
    assert header_routing_keys({"CC": "a"}) == []
