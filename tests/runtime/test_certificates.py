"""Tests of which files `crt` and `crt-list` stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from rabbitry.balancer.configuration.model import BindTls, CertificateList
from rabbitry.runtime.certificates import certificates_of
from rabbitry.runtime.server_names import NamedCertificate
from rabbitry.runtime.tls import TlsFailed

KEY = "-----BEGIN PRIVATE KEY-----\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "b.pem": KEY,
        "a.pem": "",
        "a.pem.key": KEY,
        "a.pem.ocsp": "",
        ".hidden": KEY,
        "both.rsa": KEY,
        "both.ecdsa": KEY,
    }.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "folder").mkdir()
    return tmp_path


def found(*paths: Path | CertificateList) -> list[tuple[str, str, tuple[str, ...]]]:
    entries = tuple(each if isinstance(each, CertificateList) else str(each) for each in paths)
    named = certificates_of(BindTls(entries))
    return [(Path(each.cert).name, Path(each.key).name, each.filters) for each in named]


def test_the_key_is_in_the_file_or_beside_it(folder: Path) -> None:
    assert found(folder / "b.pem", folder / "a.pem") == [
        ("b.pem", "b.pem", ()),
        ("a.pem", "a.pem.key", ()),
    ]
    (folder / "b.pem.key").touch()  # the one inside counts
    assert found(folder / "b.pem") == [("b.pem", "b.pem", ())]


def test_a_folder_stands_for_its_files_by_name(folder: Path) -> None:
    assert [cert for cert, _, _ in found(folder)] == ["a.pem", "b.pem", "both.ecdsa", "both.rsa"]


def test_a_name_may_stand_for_one_of_each_kind(folder: Path) -> None:
    assert [cert for cert, _, _ in found(folder / "both")] == ["both.ecdsa", "both.rsa"]


def test_a_list_has_names(folder: Path) -> None:
    listed = folder / "list"
    listed.write_text("# those\n\nb.pem one.example !two.example\n  both\n")
    assert found(folder / "a.pem", CertificateList(str(listed), str(folder))) == [
        ("a.pem", "a.pem.key", ()),
        ("b.pem", "b.pem", ("one.example", "!two.example")),
        ("both.ecdsa", "both.ecdsa", ()),
        ("both.rsa", "both.rsa", ()),
    ]
    assert NamedCertificate(cert="c", key="c").filters == ()


def test_what_cannot_be_found(folder: Path) -> None:
    listed = folder / "list"
    for text, complaint in (
        ("/none.pem", f"{listed}:1: cannot use certificate /none.pem: No such file"),
        ("\nb.pem [verify none] a", f"{listed}:2: '\\[' settings of one certificate"),
        ("#", f"certificates of {listed}: there are none"),
    ):
        listed.write_text(text)
        with pytest.raises(TlsFailed, match=complaint) as raised:
            found(CertificateList(str(listed), str(folder)))
        assert raised.value.word == "crt-list"
    (folder / "c.pem").touch()
    (folder / "empty").mkdir()
    for path, complaint in (
        (folder / "c.pem", "has no key: add it there, or beside it as"),
        (folder / "empty", "there are none"),
        (folder / "none.pem", "No such file"),
    ):
        with pytest.raises(TlsFailed, match=complaint) as raised:
            found(path)
        assert raised.value.word == "crt"
    with pytest.raises(TlsFailed, match="cannot use list /none: No such file"):
        found(CertificateList("/none"))
