"""Thousands of links: a server process for them, and clients that come all at once.

Owns `ManyServer` (this file, run as a program: it echoes, or floods) and `Crowd`, whose clients say
`HELLO` as soon as they are connected, as clients of AMQP do: a client that says nothing may wait
for ever, if the kernel had no room for it when it came and answered with a SYN cookie. Their
addresses are 127.0.0.2 and on, so that ports do not run out.
"""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
from types import TracebackType

HELLO = b"hi"
BACKLOG = 4096
ADDRESSES = 8
PATIENCE_S = 60.0
FLOOD = bytes(65536)


class ManyServer:
    """The server, as a context. `flood`: it sends without end, and reads nothing."""

    def __init__(self, *, flood: bool = False) -> None:
        command = [sys.executable, __file__, *(["flood"] if flood else [])]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> ManyServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


class Crowd:
    """`count` clients of a port, whose connects are all begun before the first is waited for."""

    def __init__(self, port: int, count: int, *, buffer_bytes: int = 0) -> None:
        self._poll = select.epoll()
        self.links: dict[int, socket.socket] = {}
        for index in range(count):
            link = socket.socket()
            if buffer_bytes:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            link.setblocking(False)
            link.bind((f"127.0.0.{2 + index % ADDRESSES}", 0))
            link.connect_ex(("127.0.0.1", port))
            self.links[link.fileno()] = link
            self._poll.register(link.fileno(), select.EPOLLOUT)

    def heard(self, count: int | None = None) -> dict[bytes | str, int]:
        """Wait until so many (None: all) have heard something first; how often what was heard.

        A link that broke has "rst", one that was ended has b"", one that heard nothing is not told.
        """
        found: dict[bytes | str, int] = {}
        waited = len(self.links) if count is None else count
        while waited > 0:
            ready = self._poll.poll(PATIENCE_S)
            if not ready:
                break
            for number, events in ready:
                said: bytes | str
                if events == select.EPOLLOUT:
                    with contextlib.suppress(OSError):
                        self.links[number].send(HELLO)
                    self._poll.modify(number, select.EPOLLIN)
                    continue
                try:
                    said = self.links[number].recv(len(HELLO))
                except OSError:
                    said = "rst"
                found[said] = found.get(said, 0) + 1
                self._poll.unregister(number)
                waited -= 1
        return found

    def close(self) -> None:
        """Close them all."""
        for link in self.links.values():
            link.close()
        self._poll.close()


def main() -> None:
    """Serve until killed; the port is printed first."""
    flood = sys.argv[1:] == ["flood"]
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    links: dict[int, socket.socket] = {}
    print(listener.getsockname()[1], flush=True)
    while True:
        for number, events in poll.poll():
            if number == listener.fileno():
                with contextlib.suppress(BlockingIOError):
                    while True:
                        link, _ = listener.accept()
                        link.setblocking(False)
                        links[link.fileno()] = link
                        if flood:
                            link.send(HELLO)
                        poll.register(link.fileno(), select.EPOLLOUT if flood else select.EPOLLIN)
            elif not _serve(links[number], flood) or events & select.EPOLLERR:
                links.pop(number).close()


def _serve(link: socket.socket, flood: bool) -> bool:
    """Send, or send back what comes; whether the link goes on."""
    try:
        if flood:
            link.send(FLOOD)
        elif data := link.recv(65536):
            link.send(data)
        else:
            return False
    except BlockingIOError:
        pass
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
