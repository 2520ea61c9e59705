"""A Rabbitry that commands can ask, without processes: a catalog behind the control protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rabbitry import cli
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.definitions import definitions_of
from rabbitry.cluster.operator_desk import judge_all
from rabbitry.cluster.records import Refused
from rabbitry.runtime import control
from rabbitry.runtime.operating import carry_out


class Operated:
    """Answers what commands ask as supervisor and coordinator do together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.catalog = Catalog()
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setattr(control, "ask", self._asked)

    def run(self, *arguments: str, typed: str | None = None) -> str:
        """Run a command that succeeds; return what it prints."""
        if typed is not None:
            self._type(typed)
        code = cli.run(list(arguments))
        out = self._capsys.readouterr()
        assert (code, out.err) == (0, "")
        return out.out

    def fails(self, *arguments: str, typed: str | None = None) -> str:
        """Run a command that is refused; return its one line."""
        if typed is not None:
            self._type(typed)
        code = cli.run(list(arguments))
        out = self._capsys.readouterr()
        assert code == 2
        assert out.err.count("\n") == 1
        return out.err.strip()

    def _type(self, text: str) -> None:
        import io

        self._monkeypatch.setattr("sys.stdin", io.StringIO(text))

    def _asked(self, _path: Path, request: control.Request) -> dict[str, Any]:
        if isinstance(request, control.Definitions):
            return definitions_of(self.catalog)
        assert isinstance(request, control.Operate)
        return asyncio.run(carry_out(self._ask, request))

    async def _ask(self, question: object) -> object:
        assert isinstance(question, tuple)
        assert question[0] == "change"
        judged = judge_all(self.catalog, question[1], 1)
        if isinstance(judged[1], Refused):
            return judged
        for change in judged[0]:
            self.catalog.apply(change)
        return None
