"""Tests of the PROXY protocol's headers. Bytes are those of doc/proxy-protocol.txt."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.balancer.proxy_protocol import (
    HEADER_SIZE_BYTES_MAX,
    INVALID,
    LINE_SIZE_BYTES_MAX,
    NOT_A_HEADER,
    SIGNATURE,
    TRUNCATED,
    UNHANDLED,
    HeaderMistake,
    ProxyHeader,
    crc32c,
    header_for,
    read_header,
)
from rabbitry.machine import Address

FOUR = (Address("192.0.2.1", 56324), Address("198.51.100.7", 443))
SIX = (Address("2001:db8::1", 56324), Address("2001:db8::2", 443))
LINE = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"


def binary(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    size = len(rest) if length is None else length
    return SIGNATURE + struct.pack("!BBH", command, family, size) + rest


ADDRESSES_4 = bytes([192, 0, 2, 1, 198, 51, 100, 7]) + struct.pack("!HH", 56324, 443)


def test_lines() -> None:
    assert header_for(1, *FOUR) == LINE
    assert read_header(LINE + b"AMQP") == ProxyHeader(*FOUR, len(LINE))
    line = b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"
    assert header_for(1, *SIX) == line
    assert read_header(line) == ProxyHeader(*SIX, len(line))
    assert read_header(b"PROXY UNKNOWN\r\n") == ProxyHeader(None, None, 15)


def test_binary() -> None:
    header = binary(0x21, 0x11, ADDRESSES_4)
    assert header_for(2, *FOUR) == header
    assert read_header(header + b"AMQP") == ProxyHeader(*FOUR, len(header))
    assert header_for(2, *SIX)[13:16] == b"\x21\x00\x24"
    assert read_header(header_for(2, *SIX)) == ProxyHeader(*SIX, 52)


def test_local_and_other_families_keep_the_links_own_addresses() -> None:
    assert read_header(binary(0x20, 0, b"")) == ProxyHeader(None, None, 16)
    assert read_header(binary(0x20, 0x11, ADDRESSES_4)) == ProxyHeader(None, None, 28)
    assert read_header(binary(0x21, 0x31, bytes(216))) == ProxyHeader(None, None, 232)


@pytest.mark.parametrize(
    "addresses",
    [(Address("/run/front.sock", 0), FOUR[1]), (None, None), (FOUR[0], Address("@name", 0))],
)
def test_who_has_no_ip_address_is_told_as_unknown(
    addresses: tuple[Address | None, Address | None],
) -> None:
    assert header_for(1, *addresses) == b"PROXY UNKNOWN\r\n"
    assert header_for(2, *addresses) == binary(0x20, 0, b"")


def test_mixed_families_are_told_as_ipv6() -> None:
    mixed = (FOUR[0], SIX[1])
    assert header_for(1, *mixed) == b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 56324 443\r\n"
    assert header_for(2, *mixed)[13] == 0x21


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"AMQP\x00\x00\x09\x01", NOT_A_HEADER),
        (b"PROXX", NOT_A_HEADER),
        (binary(0x11, 0x11, ADDRESSES_4), NOT_A_HEADER),
        (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", UNHANDLED),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", INVALID),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", INVALID),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 -2\r\n", INVALID),
        (b"PROXY TCP4 ::1 ::2 1 2\r\n", INVALID),
        (b"PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", INVALID),
        (b"PROXY " + b"x" * LINE_SIZE_BYTES_MAX, INVALID),
        (binary(0x22, 0x11, ADDRESSES_4), INVALID),
        (binary(0x21, 0x11, ADDRESSES_4[:11]), INVALID),
        (binary(0x21, 0x11, ADDRESSES_4 + b"\x04\x00"), INVALID),
        (binary(0x21, 0x11, ADDRESSES_4 + b"\x04\x00\x09x"), INVALID),
        (binary(0x21, 0x11, ADDRESSES_4 + b"\x03\x00\x04abcd"), INVALID),
        (binary(0x21, 0x11, b"", HEADER_SIZE_BYTES_MAX), TRUNCATED),
    ],
)
def test_what_is_no_header_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(HeaderMistake, match=text):
        read_header(data)


def test_extensions_are_skipped_and_a_checksum_that_holds_is_taken() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    header = binary(0x21, 0x11, ADDRESSES_4 + b"\x04\x00\x01x\x03\x00\x04\0\0\0\0")
    header = header[:-4] + crc32c(header).to_bytes(4, "big")
    assert read_header(header) == ProxyHeader(*FOUR, len(header))


@pytest.mark.parametrize("header", [LINE, header_for(2, *FOUR), header_for(2, *SIX)])
def test_a_header_may_come_in_pieces(header: bytes) -> None:
    assert [read_header(header[:cut]) for cut in range(len(header))] == [None] * len(header)


@given(st.binary(max_size=200))
def test_hostile_bytes_are_refused_or_read_never_more(data: bytes) -> None:
    for prefix in (b"", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"):
        try:
            header = read_header(prefix + data)
        except HeaderMistake:
            continue
        assert header is None or header.size_bytes <= len(prefix + data)
