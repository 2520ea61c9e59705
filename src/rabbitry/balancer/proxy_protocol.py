"""The PROXY protocol: whom a client really is, told by the proxy before us to us, or by us on.

Owns the header of versions 1 (a line) and 2 (binary), both ways. Does not own when one is expected
or sent (`admission`, `connecting`). Sources: doc/proxy-protocol.txt of HAProxy, and
src/connection.c, `conn_recv_proxy` and `make_proxy_line`, whose texts for mistakes are used.

One difference to HAProxy: a header may come in pieces, as long as it is not longer than one can be.

Invariants: never reads beyond the longest header; what cannot be a header is refused at the first
byte that shows it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from rabbitry.machine import Address

EMPTY = "Connection closed while waiting for PROXY protocol header"
ABORTED = "Connection error while waiting for PROXY protocol header"
TIMED_OUT = "Timeout while waiting for PROXY protocol header"
TRUNCATED = "Truncated PROXY protocol header received"
NOT_A_HEADER = "Received something which does not look like a PROXY protocol header"
INVALID = "Received an invalid PROXY protocol header"
UNHANDLED = "Received an unhandled protocol in the PROXY protocol header"

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE_SIZE_BYTES_MAX = 107
"""The longest line of version 1, with its CR LF (proxy-protocol.txt 2.1)."""

HEADER_SIZE_BYTES_MAX = 16 * 1024
"""HAProxy takes no longer header of version 2 than its buffer (tune.bufsize)."""

_PREFIX = b"PROXY "
_FIXED_SIZE = 16
_TLV_CRC32C = 0x03
_TLV_AUTHORITY = 0x02
_TLV_UNIQUE_ID = 0x05
_TLV_SIZES_MAX = {_TLV_AUTHORITY: 255, _TLV_UNIQUE_ID: 128}
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESSES_SIZES = {_TCP4: 12, _TCP6: 36}


class HeaderMistake(ValueError):
    """What came is no PROXY header. `str` is HAProxy's text."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A header that was read. `source` and `destination` are None where it tells none (LOCAL,
    UNKNOWN, families other than TCP): the link's own addresses hold. `size_bytes`: its length.
    """

    source: Address | None
    destination: Address | None
    size_bytes: int


def read_header(data: bytes) -> ProxyHeader | None:
    """Read the header at the beginning of `data`; None: more bytes are needed to tell.

    Raises HeaderMistake.
    """
    if data[:6] == _PREFIX[: len(data)]:
        return _read_line(data) if len(data) > len(_PREFIX) else None
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _read_binary(data) if len(data) >= _FIXED_SIZE else None
    raise HeaderMistake(NOT_A_HEADER)


def _read_line(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, LINE_SIZE_BYTES_MAX)
    if end < 0:
        if len(data) >= LINE_SIZE_BYTES_MAX:
            raise HeaderMistake(INVALID)
        return None
    size = end + 2
    words = data[len(_PREFIX) : end].split(b" ")
    if words == [b"UNKNOWN"]:
        return ProxyHeader(None, None, size)
    if words[0] not in (b"TCP4", b"TCP6"):
        raise HeaderMistake(UNHANDLED)
    if len(words) != 5:
        raise HeaderMistake(INVALID)
    version = 4 if words[0] == b"TCP4" else 6
    source = _address(words[1], words[3], version)
    return ProxyHeader(source, _address(words[2], words[4], version), size)


def _address(host: bytes, port: bytes, version: int) -> Address:
    try:
        known = ip_address(host.decode("ascii"))
        number = int(port) if port.isdigit() else -1
    except ValueError:
        raise HeaderMistake(INVALID) from None
    if known.version != version or not 0 <= number <= 0xFFFF:
        raise HeaderMistake(INVALID)
    return Address(str(known), number)


def _read_binary(data: bytes) -> ProxyHeader | None:
    command, family, length = struct.unpack_from("!BBH", data, len(SIGNATURE))
    if command >> 4 != 2:
        raise HeaderMistake(NOT_A_HEADER)
    size = _FIXED_SIZE + length
    if size > HEADER_SIZE_BYTES_MAX:
        raise HeaderMistake(TRUNCATED)
    if command & 0x0F > 1:
        raise HeaderMistake(INVALID)
    if len(data) < size:
        return None
    if command & 0x0F == 0 or family not in _ADDRESSES_SIZES:
        return ProxyHeader(None, None, size)  # LOCAL, or a family that says nothing to us
    addresses_size = _ADDRESSES_SIZES[family]
    if length < addresses_size:
        raise HeaderMistake(INVALID)
    header = data[:size]
    _check_extensions(header, _FIXED_SIZE + addresses_size)
    width = 4 if family == _TCP4 else 16
    hosts = header[_FIXED_SIZE : _FIXED_SIZE + 2 * width]
    ports = struct.unpack_from("!HH", header, _FIXED_SIZE + 2 * width)
    source = Address(str(ip_address(hosts[:width])), ports[0])
    return ProxyHeader(source, Address(str(ip_address(hosts[width:])), ports[1]), size)


def _check_extensions(header: bytes, offset: int) -> None:
    """Walk the TLVs; the checksum must hold, where there is one."""
    while offset < len(header):
        if offset + 3 > len(header):
            raise HeaderMistake(INVALID)
        kind, size = struct.unpack_from("!BH", header, offset)
        start, offset = offset + 3, offset + 3 + size
        if offset > len(header) or size > _TLV_SIZES_MAX.get(kind, size):
            raise HeaderMistake(INVALID)
        if kind == _TLV_CRC32C:
            without = header[:start] + bytes(size) + header[offset:]
            if size != 4 or crc32c(without) != int.from_bytes(header[start:offset], "big"):
                raise HeaderMistake(INVALID)


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum that a header of version 2 may carry."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# --- what we tell ---------------------------------------------------------------------------------


def header_for(version: int, source: Address | None, destination: Address | None) -> bytes:
    """The header of `version` (1 or 2) that tells of a client at `source`, connected to us at
    `destination`. Unix sockets and what is not known are told as UNKNOWN or LOCAL.
    """
    source_ip, destination_ip = _ip(source), _ip(destination)
    if source is None or destination is None or source_ip is None or destination_ip is None:
        if version == 1:
            return b"PROXY UNKNOWN\r\n"
        return SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)
    if source_ip.version != destination_ip.version:  # one is IPv6: the other is told as IPv6 too
        source_ip, destination_ip = _mapped(source_ip), _mapped(destination_ip)
    if version == 1:
        family = f"TCP{source_ip.version}"
        hosts = f"{_text(source_ip)} {_text(destination_ip)}"
        return f"PROXY {family} {hosts} {source.port} {destination.port}\r\n".encode("ascii")
    addresses = source_ip.packed + destination_ip.packed
    addresses += struct.pack("!HH", source.port, destination.port)
    family_byte = _TCP4 if source_ip.version == 4 else _TCP6
    return SIGNATURE + struct.pack("!BBH", 0x21, family_byte, len(addresses)) + addresses


def _ip(address: Address | None) -> IPv4Address | IPv6Address | None:
    if address is None:
        return None
    try:
        return ip_address(address.host.partition("%")[0])
    except ValueError:
        return None


def _mapped(address: IPv4Address | IPv6Address) -> IPv6Address:
    if isinstance(address, IPv6Address):
        return address
    return IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)


def _text(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(address) if mapped is None else f"::ffff:{mapped}"
