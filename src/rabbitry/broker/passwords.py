"""Passwords as RabbitMQ keeps them: a salt of four bytes and the digest of salt and password.

Owns the arithmetic. Nothing here is random: whoever hashes brings the salt. Nothing keeps, shows or
reports a password.

RabbitMQ: rabbit_password.erl, rabbit_password_hashing_sha256.erl and its siblings.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

SALT_BYTES: Final = 4
DEFAULT_ALGORITHM: Final = "rabbit_password_hashing_sha256"
_DIGESTS: Final = {
    DEFAULT_ALGORITHM: "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    # What RabbitMQ used before 3.6; definitions from that time have it.
    "rabbit_password_hashing_md5": "md5",
}
ALGORITHMS: Final = tuple(_DIGESTS)


def hash_password(password: bytes, salt: bytes, algorithm: str = DEFAULT_ALGORITHM) -> bytes:
    """Return salt and digest; raises KeyError for an algorithm that is not one of `ALGORITHMS`."""
    digest = hashlib.new(_DIGESTS[algorithm], salt + password, usedforsecurity=False)
    return salt + digest.digest()


def is_password(password: bytes, password_hash: bytes, algorithm: str) -> bool:
    """Whether this is the password. An empty one never is, nor is any of an empty hash."""
    salt = password_hash[:SALT_BYTES]
    known = algorithm if algorithm in _DIGESTS else DEFAULT_ALGORITHM
    # Hashed in any case: how long a refusal takes must not tell whether the user exists.
    made = hash_password(password, salt, known)
    return hmac.compare_digest(made, password_hash) and bool(password) and known == algorithm
