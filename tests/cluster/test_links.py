"""Links: login of both sides, framing cut anywhere, and everything that must be refused."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.cluster.links import LOGIN_FRAME_BYTES_MAX, MAGIC, ClusterLink
from rabbitry.cluster.queue_records import Accepted, Applied
from rabbitry.cluster.records import AnyRecord

SECRET = b"s" * 32
_numbers = itertools.count()


class Counting:
    """Entropy that never says the same twice."""

    def token_bytes(self, count: int) -> bytes:
        return next(_numbers).to_bytes(count, "big")


def make(opener: bool, name: str = "", secret: bytes = SECRET) -> ClusterLink:
    return ClusterLink(opener, secret, name or ("a" if opener else "b"), "1", Counting())


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def bodies(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


def log_in() -> tuple[ClusterLink, ClusterLink]:
    opener, acceptor = make(True), make(False)
    acceptor.receive(opener.take_bytes())
    opener.receive(acceptor.take_bytes())
    acceptor.receive(opener.take_bytes())
    assert opener.ready
    assert acceptor.ready
    return opener, acceptor


def test_both_learn_who_the_other_is() -> None:
    opener, acceptor = log_in()
    assert (opener.peer_name, opener.peer_incarnation) == ("b", "1")
    assert (acceptor.peer_name, acceptor.peer_incarnation) == ("a", "1")
    assert not opener.failure
    assert not acceptor.failure


def test_the_secret_never_travels() -> None:
    opener, acceptor = make(True), make(False)
    seen = b""
    for sender, receiver in ((opener, acceptor), (acceptor, opener), (opener, acceptor)):
        data = sender.take_bytes()
        seen += data
        receiver.receive(data)
    assert acceptor.ready
    assert SECRET not in seen


@given(st.lists(st.integers(1, 40), max_size=30))
def test_records_go_both_ways_however_they_are_cut(cuts: list[int]) -> None:
    opener, acceptor = log_in()
    sent: list[AnyRecord] = [Accepted(1, 2, at) for at in range(5)]
    for sender, receiver in ((opener, acceptor), (acceptor, opener)):
        for record in sent:
            sender.send(record)
        data = sender.take_bytes()
        got: list[AnyRecord] = []
        for cut in [*cuts, len(data)]:
            got += receiver.receive(data[:cut])
            data = data[cut:]
        assert got == sent
        assert not receiver.failure


def test_login_and_records_byte_by_byte() -> None:
    opener, acceptor = make(True), make(False)
    got: list[AnyRecord] = []
    for _ in range(3):
        for sender, receiver in ((opener, acceptor), (acceptor, opener)):
            for byte in sender.take_bytes():
                got += receiver.receive(bytes((byte,)))
        if opener.ready and not got:
            opener.send(Applied(1, 1, 1, 1))
    assert got == [Applied(1, 1, 1, 1)]


def test_records_right_behind_the_login_are_taken() -> None:
    opener, acceptor = make(True), make(False)
    acceptor.receive(opener.take_bytes())
    opener.receive(acceptor.take_bytes())
    opener.send(Applied(1, 1, 1, 1))
    assert acceptor.receive(opener.take_bytes()) == [Applied(1, 1, 1, 1)]


@pytest.mark.parametrize("opener", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        b"AMQP\x00\x00\x09\x01",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        frame(b""),
        frame(b"\xc1"),
        frame(msgspec.msgpack.encode(("not", "what", "is", "meant"))),
        frame(msgspec.msgpack.encode((b"RBTY9", "a", "1", b"n" * 16))),
        frame(msgspec.msgpack.encode((MAGIC, "a", "1", b""))),
        frame(b"\x94\xc4\x05RBTY1\xa1\xff\xa11\xc4\x01n"),
    ],
)
def test_foreign_bytes_end_the_link(opener: bool, data: bytes) -> None:
    link = make(opener)
    link.take_bytes()
    assert link.receive(data) == []
    assert link.failure
    assert not link.ready
    assert link.take_bytes() == b""
    assert link.receive(frame(b"more")) == []


@given(st.binary(min_size=4, max_size=200), st.booleans())
def test_noise_never_logs_in_nor_raises(data: bytes, opener: bool) -> None:
    link = make(opener)
    assert link.receive(data) == []
    assert not link.ready


def test_an_oversize_frame_before_login_ends_the_link_at_its_length() -> None:
    link = make(False)
    link.receive((LOGIN_FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    assert link.failure


def test_after_login_frames_may_be_large() -> None:
    opener, acceptor = log_in()
    record = Accepted(1, 1, 1)
    opener.send_encoded(b"")
    acceptor.receive(opener.take_bytes())
    assert acceptor.failure  # an empty record is none
    opener, acceptor = log_in()
    for _ in range(LOGIN_FRAME_BYTES_MAX):
        opener.send(record)
    assert acceptor.receive(opener.take_bytes()) == [record] * LOGIN_FRAME_BYTES_MAX


def test_what_is_no_record_ends_the_link_after_those_before_it() -> None:
    opener, acceptor = log_in()
    opener.send(Applied(1, 1, 1, 1))
    data = opener.take_bytes() + frame(msgspec.msgpack.encode((999, 1))) + frame(b"\x00")
    assert acceptor.receive(data) == [Applied(1, 1, 1, 1)]
    assert acceptor.failure


def test_a_wrong_secret_is_noticed_by_the_opener() -> None:
    opener, acceptor = make(True), make(False, secret=b"x" * 32)
    acceptor.receive(opener.take_bytes())
    opener.receive(acceptor.take_bytes())
    assert "secret" in opener.failure
    assert not opener.ready
    assert opener.take_bytes() == b"", "one who does not know the secret gets no proof of it"


def test_a_wrong_secret_is_noticed_by_the_acceptor() -> None:
    opener, acceptor = make(True), make(False)
    acceptor.receive(opener.take_bytes())
    acceptor.take_bytes()
    acceptor.receive(frame(b"p" * 32))
    assert "secret" in acceptor.failure
    assert not acceptor.ready


def test_nobody_is_taken_for_ready_before_its_proof() -> None:
    opener, acceptor = make(True), make(False)
    acceptor.receive(opener.take_bytes())
    assert not acceptor.ready
    acceptor.receive(frame(msgspec.msgpack.encode((76, 1, 1, 1))))
    assert acceptor.failure


def test_the_proof_of_another_link_is_worth_nothing() -> None:
    """Replay: an eavesdropper has a whole login, and says the opener's part again."""
    opener, acceptor = make(True), make(False)
    hello = opener.take_bytes()
    acceptor.receive(hello)
    opener.receive(acceptor.take_bytes())
    proof = opener.take_bytes()
    second = make(False)
    second.receive(hello)
    second.receive(proof)
    assert "secret" in second.failure


def test_the_answer_of_another_link_is_worth_nothing() -> None:
    opener, acceptor = make(True), make(False)
    acceptor.receive(opener.take_bytes())
    answer = acceptor.take_bytes()
    second = make(True)
    second.receive(answer)
    assert "secret" in second.failure


def test_a_proof_cannot_be_reflected() -> None:
    """An acceptor's own proof, sent back to it, is not the opener's."""
    acceptor = make(False)
    nonce = b"n" * 16
    acceptor.receive(frame(msgspec.msgpack.encode((MAGIC, "a", "1", nonce))))
    (answer,) = bodies(acceptor.take_bytes())
    _, proof, _, _ = msgspec.msgpack.decode(answer)
    acceptor.receive(frame(proof))
    assert "secret" in acceptor.failure


@pytest.mark.parametrize("field", [2, 3])
def test_an_acceptor_cannot_be_given_another_name_on_the_way(field: int) -> None:
    opener, acceptor = make(True), make(False)
    acceptor.receive(opener.take_bytes())
    (answer,) = bodies(acceptor.take_bytes())
    said = list(msgspec.msgpack.decode(answer))
    said[field] = "c"
    opener.receive(frame(msgspec.msgpack.encode(said)))
    assert "secret" in opener.failure


@pytest.mark.parametrize("field", [1, 2])
def test_an_opener_cannot_be_given_another_name_on_the_way(field: int) -> None:
    opener, acceptor = make(True), make(False)
    (hello,) = bodies(opener.take_bytes())
    said = list(msgspec.msgpack.decode(hello))
    said[field] = "c"
    acceptor.receive(frame(msgspec.msgpack.encode(said)))
    opener.receive(acceptor.take_bytes())
    assert "secret" in opener.failure
