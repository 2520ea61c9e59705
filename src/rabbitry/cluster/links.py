"""The links between nodes, and between a node and the coordinator: login and framing.

No sockets here: bytes come in, and bytes and records go out.

    opener                                             acceptor
      |  magic, name, incarnation, nonce A  ---------->  |
      |  <----  nonce B, HMAC("acceptor", all of these), name, incarnation
      |  HMAC("opener", all of these)  --------------->  |
      |  records, both ways                              |

Both prove that they know the cluster's secret (HMAC-SHA256) before either takes a record; the
secret itself never travels. A proof covers both nonces and both names, so it is good for one link
only, in one direction, and neither side can be given a false name. Everything is in frames of a
four-byte length and a body. Until the login is done a frame longer than `LOGIN_FRAME_BYTES_MAX`
ends the link, so foreign bytes (an AMQP client that has mistaken the port, a browser, noise) cost
a few kilobytes and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import msgspec

from rabbitry.cluster.queue_records import Record
from rabbitry.cluster.records import AnyRecord, decode, encode
from rabbitry.machine import Entropy

MAGIC: Final = b"RBTY1"
LOGIN_FRAME_BYTES_MAX: Final = 1024
RECORD_BYTES_MAX: Final = 1 << 30
NONCE_BYTES: Final = 16


class ClusterLink:
    """One link. `name` and `incarnation` are ours; `peer_name`, `peer_incarnation` the other's.

    A coordinator's name is empty. `failure` says why the link must be closed.
    """

    def __init__(
        self, opener: bool, secret: bytes, name: str, incarnation: str, entropy: Entropy
    ) -> None:
        self.ready = False
        self.failure = ""
        self.peer_name = ""
        self.peer_incarnation = ""
        self._opener = opener
        self._secret = secret
        self._name = name
        self._incarnation = incarnation
        self._nonce = entropy.token_bytes(NONCE_BYTES)
        self._peer_nonce = b""
        self._buffer = bytearray()
        self._out: list[bytes] = []
        if opener:
            hello = msgspec.msgpack.encode((MAGIC, name, incarnation, self._nonce))
            self._send_frame(hello)

    def send(self, record: Record) -> None:
        """Queue a record."""
        self._send_frame(encode(record))

    def send_encoded(self, encoded: bytes) -> None:
        """Queue a record that is encoded already."""
        self._send_frame(encoded)

    def take_bytes(self) -> bytes:
        """Return what shall be sent."""
        out, self._out = self._out, []
        return b"".join(out)

    def receive(self, data: bytes) -> list[AnyRecord]:
        """Take bytes, return the records they complete. Look at `ready`, `failure` then."""
        records: list[AnyRecord] = []
        if self.failure:
            return records
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        with memoryview(buffer) as view:
            while end - start >= 4:
                size = int.from_bytes(view[start : start + 4], "big")
                if size > (RECORD_BYTES_MAX if self.ready else LOGIN_FRAME_BYTES_MAX):
                    self.failure = "it sent what is not of this cluster's language"
                    break
                if end - start - 4 < size:
                    break
                frame = view[start + 4 : start + 4 + size]
                start += 4 + size
                try:
                    if self.ready:
                        records.append(decode(frame))
                    else:
                        self._login(bytes(frame))
                except (msgspec.DecodeError, ValueError):
                    self.failure = "it sent what is not of this cluster's language"
                frame.release()
                if self.failure:
                    break
        del buffer[:start]
        return records

    def _login(self, frame: bytes) -> None:
        if self._opener:
            nonce, proof, name, incarnation = msgspec.msgpack.decode(
                frame, type=tuple[bytes, bytes, str, str]
            )
            self.peer_name, self.peer_incarnation, self._peer_nonce = name, incarnation, nonce
            if self._check_proof(b"acceptor", proof):
                self._send_frame(self._proof(b"opener"))
                self.ready = True
        elif not self._peer_nonce:
            magic, name, incarnation, nonce = msgspec.msgpack.decode(
                frame, type=tuple[bytes, str, str, bytes]
            )
            if magic != MAGIC or len(nonce) != NONCE_BYTES:
                self.failure = "it speaks another version of the cluster's language"
                return
            self.peer_name, self.peer_incarnation, self._peer_nonce = name, incarnation, nonce
            proof = self._proof(b"acceptor")
            self._send_frame(
                msgspec.msgpack.encode((self._nonce, proof, self._name, self._incarnation))
            )
        else:
            self.ready = self._check_proof(b"opener", frame)

    def _check_proof(self, role: bytes, proof: bytes) -> bool:
        if hmac.compare_digest(proof, self._proof(role)):
            return True
        self.failure = "it does not know the cluster's secret"
        return False

    def _proof(self, role: bytes) -> bytes:
        """Return the proof of this role, for the two that are named on this link."""
        own = (self._nonce, self._name, self._incarnation)
        peer = (self._peer_nonce, self.peer_name, self.peer_incarnation)
        opener, acceptor = (own, peer) if self._opener else (peer, own)
        text = msgspec.msgpack.encode((role, opener, acceptor))
        return hmac.new(self._secret, text, hashlib.sha256).digest()

    def _send_frame(self, body: bytes) -> None:
        self._out += (len(body).to_bytes(4, "big"), body)
