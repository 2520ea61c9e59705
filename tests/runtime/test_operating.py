"""What operators ask for, between command and coordinator."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rabbitry.broker.passwords import DEFAULT_ALGORITHM, is_password
from rabbitry.cluster.access_records import DeleteUser, SetUser
from rabbitry.cluster.records import DeclareQueue, Refused, Request
from rabbitry.runtime import control
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.operating import carry_out, carry_out_file, hashed, new_salt, read_file


class Coordinator:
    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[object] = []

    async def ask(self, question: object) -> Any:
        self.asked.append(question)
        return self.answer


def operate(*requests: Request) -> control.Operate:
    raw = msgspec.Raw(msgspec.json.encode(requests))
    sent = msgspec.json.encode(control.Operate(raw))
    return msgspec.json.decode(sent, type=control.Operate)


def test_requests_arrive_as_they_were() -> None:
    requests = [
        SetUser("u", b"\xff\x00", "", ["a"], {"max-channels": 1}, "new"),
        DeleteUser("v"),
        DeclareQueue("/", "q", True, False, "", b"\x00"),
    ]
    coordinator = Coordinator()
    assert asyncio.run(carry_out(coordinator.ask, operate(*requests))) == {}
    assert coordinator.asked == [("change", requests)]


def test_a_refusal_comes_back_with_its_index() -> None:
    coordinator = Coordinator((1, Refused(404, "no such thing")))
    done = asyncio.run(carry_out(coordinator.ask, operate(DeleteUser("u"))))
    assert done == {"index": 1, "refusal": "no such thing"}


@pytest.mark.parametrize("text", [b"{}", b"[[999]]", b'["x"]'])
def test_what_is_no_request_is_not_carried_out(text: bytes) -> None:
    coordinator = Coordinator()
    with pytest.raises(UserError, match="not understood"):
        asyncio.run(carry_out(coordinator.ask, control.Operate(msgspec.Raw(text))))
    assert coordinator.asked == []


def test_a_file_is_carried_out_or_says_why_not(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text('{"vhosts": [{"name": "v"}]}')
    entries = read_file(file)
    coordinator = Coordinator()
    asyncio.run(carry_out_file(coordinator.ask, file, entries))
    assert coordinator.asked == [("change", [entries[0].request])]
    with pytest.raises(UserError, match=r"definitions\.json: vhosts\[0\] \('v'\): no"):
        asyncio.run(carry_out_file(Coordinator((0, Refused(406, "no"))).ask, file, entries))


def test_a_password_is_hashed_with_another_salt_each_time() -> None:
    assert is_password(b"secret", hashed("secret"), DEFAULT_ALGORITHM)
    assert hashed("secret") != hashed("secret")
    assert len(new_salt()) == 4
