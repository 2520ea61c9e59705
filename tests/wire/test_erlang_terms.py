"""Terms look as Erlang's `~p` shows them (tried in an Erlang shell of OTP 25)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rabbitry.wire import erlang_terms
from rabbitry.wire.values import ByteArray, FieldValue, SignedLong, Timestamp


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        ("all", "longstr", '<<"all">>'),
        ("", "longstr", "<<>>"),
        ('a"b\\', "longstr", '<<"a\\"b\\\\">>'),
        (b"\xff\x01", "longstr", "<<255,1>>"),
        (ByteArray(b"x"), "binary", '<<"x">>'),
        (1, "signedint", "1"),
        (SignedLong(-5), "long", "-5"),
        (Timestamp(5), "timestamp", "5"),
        (True, "bool", "true"),
        (1.5, "double", "1.5"),
        (None, "void", "undefined"),
        (Decimal("1.25"), "decimal", "{2,125}"),
        ([1, "a"], "array", '[{signedint,1},{longstr,<<"a">>}]'),
        ({"k": True}, "table", '[{<<"k">>,bool,true}]'),
    ],
)
def test_terms(value: FieldValue, kind: str, shown: str) -> None:
    assert erlang_terms.type_name(value) == kind
    assert erlang_terms.term(value) == shown


def test_a_string_is_a_list_of_characters() -> None:
    assert erlang_terms.string("ms") == '"ms"'
    assert erlang_terms.string("") == "[]"
    assert erlang_terms.string('a"\n\x1b\\') == '"a\\"\\n\\e\\\\"'
    assert erlang_terms.string("\x01a") == "[1,97]"
