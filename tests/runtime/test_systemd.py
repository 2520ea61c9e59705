"""What systemd hears, and that nobody need listen."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rabbitry.runtime.systemd import READY, tell_systemd


@pytest.mark.parametrize("abstract", [False, True])
def test_it_is_a_datagram(abstract: bool, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + path if abstract else path)
        tell_systemd(READY, {"NOTIFY_SOCKET": "@" + path if abstract else path})
        assert manager.recv(100, socket.MSG_DONTWAIT) == b"READY=1"


@pytest.mark.parametrize("place", ["", "relative", "/nowhere/notify", "@nobody/there"])
def test_where_nobody_listens_nothing_happens(place: str) -> None:
    tell_systemd(READY, {"NOTIFY_SOCKET": place})
    tell_systemd(READY, {})
