"""What a user can set of a node, whoever starts it: `rabbitry node`, or `rabbitry up` for each.

Owns the options' names, defaults and bounds, and how they become a machine's settings. The
supervisor hands them to node processes as JSON. Each bears the name that RabbitMQ gives it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from rabbitry.runtime.errors import UserError
from rabbitry.runtime.watermarks import Watermarks, parse_bytes, parse_watermark
from rabbitry.wire.content import BODY_SIZE_BYTES_LIMIT, BODY_SIZE_BYTES_MAX

if TYPE_CHECKING:
    from rabbitry.runtime.tls import TlsSettings

QUEUE_MEMORY_BYTES_MIN: Final = 1 << 20
"""Below that a read of the store is too short to be worth it, and 0 would leave none to deliver."""

LoginFrom = Literal["distinguished_name", "common_name", "subject_alternative_name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Options of a node.

    Parameters
    ----------
    consumer_timeout_ms
        How long a delivery may wait for its acknowledgement before its channel is closed; 0 for
        ever.
    max_message_size_bytes
        The longest body of a message; a longer one closes its channel.
    vm_memory_high_watermark
        How much memory a node may take (RssAnon) before publishers are blocked in the whole
        cluster: a part of all there is, as 0.4, or a size from 16MiB, as 2GiB; 0 blocks them
        always.
    disk_free_limit
        Publishers are blocked when less than this is free where the data directory is.
    queue_memory_limit
        How much memory the messages that wait in a node's queues may take, from 1MiB; what is more
        is on the disk only. What consumers hold unacknowledged, and the index of what is on the
        disk, come on top, and some 60 MB of the process itself: see its RssAnon, for RSS counts
        the store's file too, which is page cache.
    tls_cert
        PEM file with the certificate chain for clients that use TLS; a new one is used without a
        restart.
    tls_key
        PEM file with its private key, not encrypted.
    tls_ca
        PEM file with the authorities that sign certificates of clients.
    tls_verify
        Ask clients for a certificate; one that --tls-ca has not signed is refused.
    tls_fail_if_no_peer_cert
        Refuse clients that show no certificate.
    tls_login_from
        Offer EXTERNAL, for the user whom this part of a client's certificate names; with
        --tls-verify.
    """

    consumer_timeout_ms: int = 30 * 60 * 1000
    max_message_size_bytes: int = BODY_SIZE_BYTES_MAX
    vm_memory_high_watermark: str = "0.4"
    disk_free_limit: str = "50MB"
    queue_memory_limit: str = "256MiB"
    tls_cert: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    tls_verify: bool = False
    tls_fail_if_no_peer_cert: bool = False
    tls_login_from: LoginFrom | None = None

    def check(self) -> None:
        """Raise `UserError` where an option is out of its bounds."""
        if self.consumer_timeout_ms < 0:
            raise UserError("--consumer-timeout-ms is less than 0; 0 stands for no timeout")
        if not 0 <= self.max_message_size_bytes <= BODY_SIZE_BYTES_LIMIT:
            raise UserError(f"--max-message-size-bytes is not from 0 to {BODY_SIZE_BYTES_LIMIT}")
        _parsed("--vm-memory-high-watermark", self.vm_memory_high_watermark, parse_watermark)
        _parsed("--disk-free-limit", self.disk_free_limit, parse_bytes)
        limit = _parsed("--queue-memory-limit", self.queue_memory_limit, parse_bytes)
        if limit < QUEUE_MEMORY_BYTES_MIN:
            raise UserError(
                f"--queue-memory-limit {self.queue_memory_limit} is less than 1MiB: what is "
                "delivered next has to be in memory"
            )
        if self.tls_key and not self.tls_cert:
            raise UserError("--tls-key is without --tls-cert")
        if self.tls_verify and not self.tls_ca:
            raise UserError("--tls-verify needs --tls-ca, the authorities to verify by")
        if self.tls_fail_if_no_peer_cert and not self.tls_verify:
            raise UserError("--tls-fail-if-no-peer-cert is without --tls-verify")
        if self.tls_login_from and not self.tls_verify:
            raise UserError("--tls-login-from is without --tls-verify")
        tls = self.tls()
        if tls is not None:
            from rabbitry.runtime.tls import Tls, TlsFailed

            try:
                Tls(tls, lambda level, what, details: None)
            except TlsFailed as failure:
                raise UserError(str(failure)) from None

    def watermarks(self, path: str) -> Watermarks:
        """Return when alarms are raised; `path` is where the disk is watched, if not empty."""
        memory = parse_watermark(self.vm_memory_high_watermark)
        return Watermarks(memory, parse_bytes(self.disk_free_limit), path)

    def tls(self) -> TlsSettings | None:
        """Return the TLS that clients are offered, if they are."""
        if not self.tls_cert:
            return None
        from rabbitry.runtime.tls import TlsSettings  # `rabbitry status` needs no OpenSSL

        return TlsSettings(
            cert=os.path.abspath(self.tls_cert),
            key=os.path.abspath(self.tls_key or self.tls_cert),
            ca=os.path.abspath(self.tls_ca) if self.tls_ca else "",
            verify=self.tls_verify,
            fail_if_no_peer_cert=self.tls_fail_if_no_peer_cert,
            login_from=self.tls_login_from,
        )

    def settings(self) -> dict[str, Any]:
        """Return what of this is a `rabbitry.node.NodeSettings`' business."""
        return {
            "consumer_timeout_ms": self.consumer_timeout_ms,
            "max_message_size_bytes": self.max_message_size_bytes,
            "queue_memory_bytes_max": parse_bytes(self.queue_memory_limit),
        }


def _parsed(option: str, text: str, parse: Callable[[str], float]) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise UserError(f"{option}: {error}") from None


DEFAULTS: Final = NodeOptions()
