"""The hashes that place clients and servers: HAProxy's, bit for bit.

Owns `full_hash` (Bob Jenkins's, include/haproxy/intops.h) and the hash of a client's address
(src/backend.c, `get_server_sh`). Pure arithmetic on 32 bits.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF


def full_hash(number: int) -> int:
    """Spread a 32-bit number over all 32 bits."""
    number = (number + 0x7ED55D16 + (number << 12)) & _MASK
    number = (number ^ 0xC761C23C) ^ (number >> 19)
    number = (number + 0x165667B1 + (number << 5)) & _MASK
    number = ((number + 0xD3A2646C) ^ (number << 9)) & _MASK
    number = (number + 0xFD7046C5 + (number << 3)) & _MASK
    number = (number ^ 0xB55A4F09) ^ (number >> 16)
    return (number * 3221225473) & _MASK


def hash_of_address(packed: bytes, avalanche: bool = False) -> int:
    """Hash a packed IPv4 or IPv6 address; `avalanche` for `hash-type ... avalanche`."""
    value = 0
    for at in range(0, len(packed) - len(packed) % 4, 4):
        value ^= int.from_bytes(packed[at : at + 4], "big")
    return full_hash(value) if avalanche else value
