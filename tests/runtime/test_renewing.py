"""Workers are asked to use renewed certificates, and waited for; real ones, what they show."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from support.balancer_processes import PATIENCE_S, Process, ToyServer, connect
from support.certificates import Certificates

from bench.ports import free_ports
from rabbitry.runtime import renewing
from rabbitry.runtime.hand_messages import Renew
from rabbitry.runtime.renewing import Renewing


class Worker:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.send = self.told.append


def test_all_are_waited_for() -> None:
    async def main() -> None:
        it, workers = Renewing(), [Worker(), Worker()]
        await it.renew([])
        for _ in range(2):
            task = asyncio.ensure_future(it.renew(workers))
            await asyncio.sleep(0)
            for worker in workers:
                assert not task.done()
                it.answered(worker)
                it.answered(worker)  # it has died afterwards
            await task
        assert [worker.told for worker in workers] == [[Renew(), Renew()]] * 2
        it.answered(Worker())  # one that was never asked

    asyncio.run(main())


def test_one_that_does_not_answer_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renewing, "PATIENCE_S", 0.01)
    asyncio.run(Renewing().renew([Worker()]))


# --- with processes ----------------------------------------------------------------------------


class SecureServer(ToyServer):
    """One with TLS, by the certificate that `context` holds then."""

    def __init__(self, name: str, context: ssl.SSLContext) -> None:
        self.context = context
        super().__init__(name)

    def _echo(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError):
            super()._echo(self.context.wrap_socket(link, server_side=True))


def serving(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)
    return context


TEXT = """
global
    nbthread 2
    stats socket {stats} level admin
defaults
    timeout connect 5s
    timeout client 10s
    timeout server 10s
listen secure
    bind 127.0.0.1:{front} ssl crt {one} crt {two}
    server rabbit 127.0.0.1:{plain}
listen inner
    bind 127.0.0.1:{inner}
    server rabbit 127.0.0.1:{secure} ssl verify required ca-file {ca}
"""


def shown(front: int, inner: int) -> set[str]:
    """Return digests of the certificates that some links for each process are shown; those to the
    server with TLS must come about."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    found = set()
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            plain = socket.create_connection(("127.0.0.1", front), PATIENCE_S)
            link = stack.enter_context(context.wrap_socket(plain))
            found.add(hashlib.sha256(link.getpeercert(binary_form=True) or b"").hexdigest())
            through, name = connect(inner)
            stack.enter_context(through)
            assert name == "rabbit"
    return found


def write(file: Path, certificates: Certificates) -> str:
    """Write certificate and key to one file; return the certificate's digest."""
    chain = Path(certificates.cert).read_text()
    file.write_text(chain + Path(certificates.key).read_text())
    first = chain[: chain.index(_END) + len(_END)]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()


_END = "-----END CERTIFICATE-----\n"


@pytest.mark.processes
def test_a_reload_is_answered_when_renewed_certificates_are_in_use(tmp_path: Path) -> None:
    """Of listeners with several certificates, whose files are not looked at each time, in all
    processes; and of servers, whose authority is renewed here."""
    folders = [tmp_path / name for name in ("1", "2", "3", "4")]
    for folder in folders:
        folder.mkdir()
    one, two, inside, renewed = map(Certificates, folders)
    before = write(tmp_path / "one.pem", one)
    write(tmp_path / "two.pem", two)
    plain, secure = ToyServer("rabbit"), SecureServer("rabbit", serving(inside))
    front, inner, path = free_ports(), free_ports(), tmp_path / "tls.cfg"
    places = {"front": front, "inner": inner, "plain": plain.port, "secure": secure.port}
    files = {"one": tmp_path / "one.pem", "two": tmp_path / "two.pem", "ca": inside.ca}
    path.write_text(TEXT.format(**places, **files, stats=tmp_path / "stats"))
    it = Process(path)
    try:
        assert shown(front, inner) == {before}
        one.renew()
        after = write(tmp_path / "one.pem", one)
        secure.context = serving(renewed)
        Path(inside.ca).write_text(Path(renewed.ca).read_text())
        with socket.socket(socket.AF_UNIX) as operator:
            operator.connect(str(tmp_path / "stats"))
            operator.sendall(b"reload\n")
            assert operator.recv(1000).startswith(b"Success=1")
        assert shown(front, inner) == {after} != {before}
    finally:
        assert it.end() == 0
        plain.die()
        secure.die()
