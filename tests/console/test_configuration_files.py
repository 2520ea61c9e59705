"""Tests of finding and reading the files of a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from rabbitry.balancer.configuration.lexer import as_bytes
from rabbitry.balancer.configuration.model import ConfigurationError
from rabbitry.console.configuration_files import Files, read_configuration, verdict

LISTEN = "listen {name}\nbind 127.0.0.1:{port}\nserver s 127.0.0.1:2\n"


def test_several_files_are_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text("defaults\nretries 7\n")
    (tmp_path / "b.cfg").write_text(LISTEN.format(name="b", port=1))
    configuration = read_configuration(tmp_path / "a.cfg", tmp_path / "b.cfg")
    assert configuration.backends[0].retries == 7


def test_files_of_a_directory_are_read_in_order(tmp_path: Path) -> None:
    for name, port in (("b", 2), ("a", 1), ("c", 3)):
        (tmp_path / f"{name}.cfg").write_text(LISTEN.format(name=name, port=port))
    (tmp_path / ".hidden.cfg").write_text("frob")
    (tmp_path / "notes.txt").write_text("frob")
    (tmp_path / "folder.cfg").mkdir()
    names = [front.name for front in read_configuration(tmp_path).frontends]
    assert names == ["a", "b", "c"]


def test_mistakes_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text("frob\n")
    (tmp_path / "b.cfg").write_text(LISTEN.format(name="b", port=1) + "  frob\n")
    with pytest.raises(ConfigurationError) as raised:
        read_configuration(tmp_path)
    first, second = raised.value.mistakes
    assert first.startswith(f"{tmp_path}/a.cfg:1: 'frob'")
    assert second.startswith(f"{tmp_path}/b.cfg:4: 'frob'")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_configuration(tmp_path / "none.cfg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"has no \*\.cfg"):
        read_configuration(tmp_path / "empty")
    with pytest.raises(ConfigurationError, match="larger than"):
        read_configuration(Path("/dev/zero"))


def test_a_file_may_hold_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    text = LISTEN.format(name="a", port=1).encode("latin-1")
    path.write_bytes(b"# f\xfcr alle\n" + text + b"\ndescription caf\xe9 \xe2\x82\xac\n")
    (front,) = read_configuration(path).frontends
    assert front.description is not None
    assert as_bytes(front.description) == b"caf\xe9 \xe2\x82\xac"


def test_the_environment_is_the_processs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBIT_PORT", "77")
    path = tmp_path / "a.cfg"
    path.write_text(LISTEN.format(name="a", port="$RABBIT_PORT"))
    (front,) = read_configuration(path).frontends
    assert front.binds[0].address.port == 77
    assert front.maxconn >= 100


def test_certificates_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_text(
        "listen a\nbind 127.0.0.1:1 ssl crt /none.pem\nserver s 127.0.0.1:2 ssl ca-file /nobody\n"
    )
    with pytest.raises(ConfigurationError) as raised:
        verdict([path])
    first, second = raised.value.mistakes
    assert first.startswith(f"{path}:2: 'crt' cannot use certificate /none.pem: No such file")
    assert second.startswith(f"{path}:3: 'ca-file' cannot use CA file /nobody: No such file")
    with pytest.raises(ConfigurationError, match="cannot use certificate"):
        Files(path).read()


def test_the_verdict_has_warnings_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_text("global\nmaster-worker\n" + LISTEN.format(name="a", port=1))
    *warnings, last = verdict([path]).splitlines()
    assert warnings[0].startswith(f"warning: {path}:2: 'master-worker'")
    assert last == f"{path}: valid (frontends: 1, servers: 1, warnings: {len(warnings)})"


def test_users_of_global_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_text("global\nuser nobodyxx\ngroup nogroupxx\n" + LISTEN.format(name="a", port=1))
    with pytest.raises(ConfigurationError) as raised:
        verdict([path])
    assert raised.value.mistakes == (
        f"{path}:2: 'nobodyxx' is no user of this system: write another for 'user'",
        f"{path}:3: 'nogroupxx' is no group of this system: write another for 'group'",
    )
    path.write_text("global\nuser root\ngid 12345\n" + LISTEN.format(name="a", port=1))
    assert Files(path).read().process.group == "12345"


def test_warnings_of_certificates_are_those_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.cfg"
    path.write_text("global\nmaster-worker\n" + LISTEN.format(name="a", port=1))
    files = Files(path)
    before = files.read().warnings
    monkeypatch.setattr(files._tls, "mistakes", lambda _: [])
    monkeypatch.setattr(files._tls, "warnings", ["a.cfg:2: 'crt' is doubtful"])
    assert files.read().warnings == (*before, "a.cfg:2: 'crt' is doubtful")
