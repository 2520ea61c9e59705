"""What commands share: passwords that are not seen, directories, tables."""

from __future__ import annotations

import getpass
import io
from pathlib import Path

import pytest

from rabbitry.commands.asking import directory, password_of, table
from rabbitry.runtime.errors import UserError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def typing(monkeypatch: pytest.MonkeyPatch, *passwords: str) -> None:
    typed = iter(passwords)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(typed))


def test_at_a_terminal_a_password_is_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, "secret", "secret")
    assert password_of("alice") == "secret"
    typing(monkeypatch, "secret", "sceret")
    with pytest.raises(UserError, match="not the same") as refused:
        password_of("alice")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["secret\n", "secret\r\n", "secret", "secret\nmore\n"])
def test_else_it_is_the_first_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert password_of("alice") == "secret"


def test_an_empty_password_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(UserError, match="password is empty"):
        password_of("alice")


def test_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITRY_DATA_DIR", str(tmp_path))
    assert directory(None) == tmp_path
    assert directory(tmp_path / "other") == tmp_path / "other"
    with pytest.raises(UserError, match="--data-dir is empty"):
        directory(Path())


def test_tables() -> None:
    assert table(("a", "bb"), [(1, ""), ("long", 2)]) == "a     bb\n1\nlong  2"
