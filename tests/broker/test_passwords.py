"""Passwords: hashes as RabbitMQ makes them, and what is a password for which hash."""

from __future__ import annotations

from base64 import b64decode

import pytest

from rabbitry.broker.passwords import ALGORITHMS, hash_password, is_password

# From definitions that RabbitMQ 3.10.8 exported of a user with password "test12".
EXPORTED = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
SHA256 = "rabbit_password_hashing_sha256"


def test_the_example_of_rabbitmqs_documentation() -> None:
    """https://www.rabbitmq.com/passwords.html: salt 908D C60A, password test12."""
    made = hash_password(b"test12", bytes.fromhex("908DC60A"))
    assert made == b64decode(EXPORTED)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_password_is_that_of_its_hash_and_no_other_is(algorithm: str) -> None:
    made = hash_password(b"secret", b"salt", algorithm)
    assert made[:4] == b"salt"
    assert is_password(b"secret", made, algorithm)
    assert not is_password(b"Secret", made, algorithm)
    assert not is_password(b"", made, algorithm)


def test_a_hash_of_another_algorithm_is_of_no_password() -> None:
    made = hash_password(b"secret", b"salt", SHA256)
    assert not is_password(b"secret", made, "rabbit_password_hashing_sha512")
    assert not is_password(b"secret", made, "somebody's own")


@pytest.mark.parametrize("password", [b"", b"x"])
def test_the_empty_hash_is_of_no_password(password: bytes) -> None:
    assert not is_password(password, b"", SHA256)


def test_the_hash_of_the_empty_password_lets_nobody_in() -> None:
    assert not is_password(b"", hash_password(b"", b"salt"), SHA256)
