"""Logins: who is let in, who is refused in silence, and what is malformed."""

from __future__ import annotations

import pytest

from rabbitry.broker.authentication import Authentication
from rabbitry.broker.passwords import ALGORITHMS, DEFAULT_ALGORITHM, hash_password
from rabbitry.broker.permissions import User
from rabbitry.cluster.access import default_access
from rabbitry.connection.handshake import LoginRefused
from rabbitry.wire.errors import ConnectionException
from rabbitry.wire.values import FieldValue, encode_table

GOOD = b"\0guest\0guest"


class Port:
    """What logins are judged by: a fresh cluster's users, and what the test sets."""

    def __init__(self) -> None:
        self.access = default_access()
        self.refusal = ""

    def has_virtual_host(self, name: str) -> bool:
        return name in ("/", "other")

    def connection_refusal(self, user: str, virtual_host: str) -> str:
        return self.refusal

    def add(self, name: str, password: str, algorithm: str = DEFAULT_ALGORITHM) -> None:
        hashed = hash_password(password.encode(), b"abcd", algorithm)
        self.access.users[name] = User(name, hashed, algorithm)


def authentication(*loopback_users: str, port: Port | None = None) -> Authentication:
    return Authentication(port or Port(), loopback_users)


def amqplain(table: dict[str, FieldValue]) -> bytes:
    return encode_table(table)[4:]


def test_plain() -> None:
    assert authentication().authenticate("PLAIN", GOOD, "127.0.0.1") == "guest"


@pytest.mark.parametrize("login", ["guest", b"guest"])
def test_amqplain(login: FieldValue) -> None:
    response = amqplain({"LOGIN": login, "PASSWORD": b"guest"})
    assert authentication().authenticate("AMQPLAIN", response, "127.0.0.1") == "guest"


def test_external_is_whom_the_certificate_names() -> None:
    judge = authentication("guest")
    assert judge.authenticate("EXTERNAL", b"", "127.0.0.1", "guest") == "guest"
    with pytest.raises(LoginRefused, match="EXTERNAL login refused: user 'CN=x' - invalid"):
        judge.authenticate("EXTERNAL", b"guest", "127.0.0.1", "CN=x")
    with pytest.raises(LoginRefused, match="presented no TLS"):
        judge.authenticate("EXTERNAL", b"guest", "127.0.0.1", "")
    with pytest.raises(LoginRefused, match="localhost"):
        judge.authenticate("EXTERNAL", b"", "10.0.0.1", "guest")


@pytest.mark.parametrize(
    "response", [b"\0guest\0wrong", b"\0other\0guest", b"\0guest\0", b"\0\0guest", b"\0\xff\0guest"]
)
def test_a_wrong_login_is_refused_and_the_password_kept_out_of_the_text(response: bytes) -> None:
    with pytest.raises(LoginRefused, match="invalid credentials") as refused:
        authentication().authenticate("PLAIN", response, "127.0.0.1")
    assert "wrong" not in str(refused.value)


def test_a_refusal_shows_little_of_a_long_name_and_only_ascii() -> None:
    response = b"\0" + "\u00fc\n".encode() * 500 + b"\0guest"
    with pytest.raises(LoginRefused) as refused:
        authentication().authenticate("PLAIN", response, "127.0.0.1")
    assert len(str(refused.value)) < 150
    assert str(refused.value).isascii()


@pytest.mark.parametrize(
    "response", [b"", b"guest", b"\0guest", b"\0guest\0guest\0more", b"other\0guest\0guest"]
)
def test_malformed_plain(response: bytes) -> None:
    with pytest.raises(ConnectionException, match="malformed") as fault:
        authentication().authenticate("PLAIN", response, "127.0.0.1")
    assert fault.value.reply_code == 502


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (b"\x05LOG", "malformed"),
        (amqplain({"LOGIN": "guest"}), "missing LOGIN or PASSWORD"),
        (amqplain({"PASSWORD": "guest"}), "missing LOGIN or PASSWORD"),
        (amqplain({"LOGIN": 1, "PASSWORD": "guest"}), "missing LOGIN or PASSWORD"),
        (b"", "missing LOGIN or PASSWORD"),
    ],
)
def test_malformed_amqplain(response: bytes, text: str) -> None:
    with pytest.raises(ConnectionException, match=text) as fault:
        authentication().authenticate("AMQPLAIN", response, "127.0.0.1")
    assert fault.value.reply_code == 502


@pytest.mark.parametrize("mechanism", ["EXTERNAL", "plain", ""])
def test_an_unknown_mechanism(mechanism: str) -> None:
    with pytest.raises(ConnectionException, match="unknown authentication mechanism") as fault:
        authentication().authenticate(mechanism, GOOD, "127.0.0.1")
    assert fault.value.reply_code == 503


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_guest_comes_from_loopback(host: str) -> None:
    assert authentication("guest").authenticate("PLAIN", GOOD, host) == "guest"


@pytest.mark.parametrize("host", ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "somewhere", ""])
def test_guest_comes_from_nowhere_else(host: str) -> None:
    with pytest.raises(LoginRefused, match="only connect via localhost"):
        authentication("guest").authenticate("PLAIN", GOOD, host)
    assert authentication().authenticate("PLAIN", GOOD, host) == "guest"


def test_a_stranger_is_not_told_whether_the_password_was_good() -> None:
    with pytest.raises(LoginRefused, match="invalid credentials"):
        authentication("guest").authenticate("PLAIN", b"\0guest\0wrong", "10.0.0.1")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_user_of_the_catalog_logs_in_whatever_its_hash(algorithm: str) -> None:
    port = Port()
    port.add("alice", "secret", algorithm)
    judge = authentication("guest", port=port)
    assert judge.authenticate("PLAIN", b"\0alice\0secret", "10.0.0.1") == "alice"
    with pytest.raises(LoginRefused, match="invalid credentials"):
        judge.authenticate("PLAIN", b"\0alice\0guest", "10.0.0.1")


def test_a_user_without_a_password_cannot_log_in_with_an_empty_one() -> None:
    port = Port()
    port.access.users["bob"] = User("bob", b"", DEFAULT_ALGORITHM)
    for password in (b"", b"x"):
        with pytest.raises(LoginRefused):
            authentication(port=port).authenticate("PLAIN", b"\0bob\0" + password, "127.0.0.1")


def test_a_virtual_host_without_permissions_is_refused() -> None:
    with pytest.raises(ConnectionException) as fault:
        authentication().open_virtual_host("guest", "other")
    assert fault.value.reply_text == (
        "NOT_ALLOWED - access to vhost 'other' refused for user 'guest'"
    )


def test_a_limit_is_judged_before_permissions() -> None:
    port = Port()
    port.refusal = "connection limit (1) is reached"
    with pytest.raises(ConnectionException, match="connection limit") as fault:
        authentication(port=port).open_virtual_host("guest", "other")
    assert fault.value.reply_code == 530


def test_virtual_hosts() -> None:
    authentication().open_virtual_host("guest", "/")
    with pytest.raises(ConnectionException, match="vhost nowhere not found") as fault:
        authentication().open_virtual_host("guest", "nowhere")
    assert fault.value.reply_code == 530
    assert (fault.value.class_id, fault.value.method_id) == (10, 40)
