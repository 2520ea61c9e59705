"""The Rabbitry that these commands ask."""

from __future__ import annotations

import pytest
from support.operated import Operated


@pytest.fixture
def operated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operated:
    return Operated(monkeypatch, capsys)
