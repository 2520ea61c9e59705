"""Tests of the look at TLS files before a configuration is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.certificates import Certificates

from rabbitry.balancer.configuration.model import Configuration
from rabbitry.balancer.configuration.reader import parse
from rabbitry.runtime.tls_files import TlsFiles

MEND = "mend the file, or name another"


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    found = Certificates(tmp_path)
    (tmp_path / "all.pem").write_text(Path(found.cert).read_text() + Path(found.key).read_text())
    return found


def configured(bind: str = "", server: str = "") -> Configuration:
    text = f"listen a\nbind 127.0.0.1:1 {bind}\nserver s 127.0.0.1:2 {server}\n"
    return parse(text, "a.cfg")


def mistakes(bind: str = "", server: str = "") -> list[str]:
    return TlsFiles().mistakes(configured(bind, server))


def test_what_is_good(files: Certificates) -> None:
    folder = files.directory
    assert mistakes() == []
    assert mistakes(f"ssl crt {folder}/all.pem ca-file {files.ca} verify required") == []
    assert mistakes(server=f"ssl ca-file {files.ca} crt {folder}/all.pem") == []
    assert mistakes(server="ssl verify required ca-file @system-ca") == []


def test_what_is_wrong_names_line_and_word(files: Certificates) -> None:
    folder = files.directory
    good = f"ssl crt {folder}/all.pem"
    (folder / "torn.pem").write_text(Path(files.key).read_text() + "half of a certificate")
    assert mistakes("ssl crt /none.pem") == [
        "a.cfg:2: 'crt' cannot use certificate /none.pem: No such file or directory:"
        " mend the file, or name another"
    ]
    (said,) = mistakes(f"ssl crt {folder}/torn.pem")
    assert said.startswith(f"a.cfg:2: 'crt' cannot use certificate {folder}/torn.pem: ")
    (said,) = mistakes(f"{good} ca-file /none.pem")  # though nobody is verified
    assert said.startswith("a.cfg:2: 'ca-file' cannot use CA file /none.pem: No such file")
    (said,) = mistakes(f"{good} ca-file {files.ca} verify optional crl-file {files.key}")
    assert said.startswith("a.cfg:2: 'crl-file' cannot use revoked certificates of")
    (said,) = mistakes(f"{good} ciphers NOBODYS")
    assert said.startswith("a.cfg:2: 'ciphers' cannot use ciphers NOBODYS: OpenSSL knows none")
    first, second = mistakes("ssl crt /none.pem", "ssl verify none ca-file /none check")
    assert first.startswith("a.cfg:2: 'crt'")
    assert second.startswith("a.cfg:3: 'ca-file' cannot use CA file /none: No such file")
    (said,) = mistakes(server="ssl verify none crt /none.pem")
    assert said.startswith("a.cfg:3: 'crt' cannot use certificate /none.pem: No such file")


def test_a_key_that_does_not_fit(
    files: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> None:
    others = Certificates(tmp_path_factory.mktemp("others"))
    mixed = files.directory / "mixed.pem"
    mixed.write_text(Path(files.cert).read_text() + Path(others.key).read_text())
    (said,) = mistakes(f"ssl crt {mixed}")
    assert said == f"a.cfg:2: 'crt' cannot use certificate {mixed}: key values mismatch: {MEND}"


def forbid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody read this file any more, as if it were root's."""
    real_open = open

    def forbidden(file: object, *arguments: object, **options: object) -> object:
        if file == str(path):
            raise PermissionError(13, os.strerror(13))
        return real_open(file, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", forbidden)


def forbid_to_see(paths: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody see these files any more, as if their directory were root's."""
    real_stat = os.stat

    def forbidden(file: str, *arguments: object, **options: object) -> os.stat_result:
        if file in paths:
            raise PermissionError(13, os.strerror(13))
        return real_stat(file, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", forbidden)


def test_a_key_that_only_root_may_read_is_good_for_a_reload(
    files: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.directory / "all.pem"
    looking = TlsFiles()
    before = configured(f"ssl crt {path}")
    assert looking.mistakes(before) == []
    forbid(path, monkeypatch)
    assert looking.mistakes(before) == []
    assert looking.warnings == []
    (said,) = looking.mistakes(configured(f"ssl crt {path} alpn amqp"))
    assert said.endswith(f"Permission denied: {MEND}")


def test_a_renewed_key_that_only_root_may_read_is_a_mistake(
    files: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.directory / "all.pem"
    looking = TlsFiles()
    configuration = configured(f"ssl crt {path}", f"ssl verify none crt {path}")
    assert looking.mistakes(configuration) == []
    os.utime(path, ns=(1, 1))
    assert looking.mistakes(configuration) == [], "it can be read, and is the one to go by now"
    forbid(path, monkeypatch)
    assert looking.mistakes(configuration) == []
    new = files.directory / "new.pem"
    new.write_bytes(path.read_bytes())
    os.utime(new, ns=(1, 1))
    new.replace(path)  # the same size and time, another file
    (said,) = looking.mistakes(configuration)
    assert said == (
        f"a.cfg:2: 'crt' cannot use certificate {path}: Permission denied, and {path} has changed "
        "since it was loaded: let the user of this process read it, or restart"
    )
    assert looking.mistakes(configuration) == [said], "as often as it is tried"
    monkeypatch.undo()
    assert looking.mistakes(configuration) == []


def test_a_key_beside_its_certificate_and_a_new_one_in_a_directory(
    files: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files.directory / "folder"
    folder.mkdir()
    pem, key = folder / "a.pem", folder / "a.pem.key"
    pem.write_bytes(Path(files.cert).read_bytes())
    key.write_bytes(Path(files.key).read_bytes())
    looking = TlsFiles()
    configuration = configured(f"ssl crt {folder} ca-file {files.directory} verify required")
    assert looking.mistakes(configuration) == []
    with monkeypatch.context() as patched:
        forbid(pem, patched)
        assert looking.mistakes(configuration) == []
        (folder / "b.pem").write_bytes(b"new")
        (said,) = looking.mistakes(configuration)
        assert f"and {folder} has changed since it was loaded" in said
        (folder / "b.pem").unlink()
        os.utime(key, ns=(1, 1))
        (said,) = looking.mistakes(configuration)
        assert f"and {key} has changed since it was loaded" in said
    assert looking.mistakes(configuration) == []
    with monkeypatch.context() as patched:
        forbid(pem, patched)
        os.utime(files.ca, ns=(1, 1))  # in the directory of `ca-file`
        (said,) = looking.mistakes(configuration)
        assert f"and {files.ca} has changed since it was loaded" in said


def test_a_file_that_cannot_even_be_seen_is_a_warning(
    files: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.directory / "all.pem"
    looking = TlsFiles()
    configuration = configured(f"ssl crt {path}")
    assert looking.mistakes(configuration) == []
    os.utime(path, ns=(1, 1))
    with monkeypatch.context() as patched:
        forbid(path, patched)
        forbid_to_see({str(path)}, patched)
        assert looking.mistakes(configuration) == []
        assert looking.warnings == [
            f"a.cfg:2: 'crt' cannot use certificate {path}: Permission denied, and whether it has "
            "changed since it was loaded cannot be seen: if it has, let the user of this process "
            "read it, or restart"
        ]
    assert looking.mistakes(configuration) == []
    assert looking.warnings == []
