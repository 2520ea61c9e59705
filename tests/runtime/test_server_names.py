"""Tests of the choice among certificates by server name."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from rabbitry.runtime.server_names import NamedCertificate, Names, is_named, names_and_kind


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("one.example", (0,)),
        ("ONE.Example", (0,)),
        ("two.example", (1,)),  # the first who has it
        ("a.example", (1,)),
        ("a.b.example", ()),  # a star is one component
        ("example", ()),
        ("b.example", (3,)),  # a whole name goes before one with a star
        ("c.example", (2,)),  # taken out of the star of the first
        ("both.example", (4, 5)),
        ("d.other", (7, 6)),  # ECDSA by a star beside RSA by its whole name
        ("", ()),
        ("*.example", (1,)),
    ],
)
def test_who_is_found(asked: str, found: tuple[int, ...]) -> None:
    names = Names(
        [
            (["one.example"], "rsa"),
            (["two.example", "*.example", "!c.example"], "rsa"),
            (["two.example", "*.example"], "rsa"),
            (["b.example"], "rsa"),
            (["both.example"], "ecdsa"),
            (["both.example"], "rsa"),
            (["d.other", "*"], "rsa"),
            (["*.other"], "ecdsa"),
        ]
    )
    assert names.find(asked) == found


@pytest.mark.parametrize(
    ("name", "is_for"),
    [
        ("a.example", True),
        ("A.Example", True),
        ("common", True),
        ("b.example", False),
        ("x.wild.example", True),
        ("x.y.wild.example", False),
        ("wild.example", False),
        ("prefix-1-suffix.part.example", True),
        ("prefix-suffix.part.example", False),
        ("a.twice.example", False),
        ("anything", False),
        ("127.0.0.1", True),
        ("127.0.0.2", False),
    ],
)
def test_whether_a_certificate_is_for_a_server(name: str, is_for: bool) -> None:
    certificate = {
        "subject": ((("countryName", "DE"),), (("commonName", "Common"),)),
        "subjectAltName": (
            *(("DNS", "a.example"), ("DNS", "*.wild.example"), ("IP Address", "127.0.0.1")),
            *(("DNS", "prefix-*-suffix.part.example"), ("DNS", "*a*.twice.example"), ("DNS", "*")),
        ),
    }
    assert is_named(certificate, name) is is_for
    assert not is_named({}, name)


def test_names_of_a_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    for kind in (trustme.KeyType.RSA, trustme.KeyType.ECDSA):
        path = tmp_path / "a.pem"
        issued = authority.issue_cert("a.example", "*.b.example", common_name="c", key_type=kind)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        whole = NamedCertificate(cert=str(path), key=str(path))
        expected = ("a.example", "*.b.example", "c")
        assert names_and_kind(whole) == (expected, kind.name.lower())
        filtered = NamedCertificate(cert=str(path), key=str(path), filters=("x",))
        assert names_and_kind(filtered) == (("x",), kind.name.lower())
    path.write_text("no certificate")
    with pytest.raises(ValueError, match="PEM"):
        names_and_kind(whole)
