"""What a configuration asks of TCP and TLS, in the words of `rabbitry.machine`.

Owns the translation of `server` lines (ssl, verify, sni, source, tcp-ut) and of `option clitcpka`,
`srvtcpka` with their times. Does not own what they mean: the driver carries them out.
"""

from __future__ import annotations

from rabbitry.balancer.configuration.model import BindLine, Keepalive, ServerLine, ServerTls
from rabbitry.machine import LinkOptions, LinkTls


def server_link_options(line: ServerLine, keepalive: Keepalive | None) -> LinkOptions | None:
    """Return how links to a server are opened; None: as the system has it.

    `keepalive` is the backend's (`option srvtcpka`).
    """
    if not (keepalive or line.tls or line.source or line.tcp_user_timeout_us):
        return None
    times = keepalive or Keepalive()
    return LinkOptions(
        tls=None if line.tls is None else tls_of(line.tls),
        keepalive=keepalive is not None,
        keepalive_idle_s=times.idle_s or 0,
        keepalive_interval_s=times.interval_s or 0,
        keepalive_count=times.count or 0,
        tcp_user_timeout_ms=(line.tcp_user_timeout_us or 0) // 1000,
        source=line.source,
    )


def tls_of(tls: ServerTls) -> LinkTls:
    """Return what a `server` line says of TLS."""
    return LinkTls(
        verify=tls.verify != "none",
        ca_file=tls.ca_file or "",
        crl_file=tls.crl_file or "",
        crt=tls.certificate or "",
        sni=tls.sni or "",
        verify_host=tls.verify_host or "",
        ciphers=tls.ciphers or "",
        minimum_version=tls.minimum_version or "",
        maximum_version=tls.maximum_version or "",
        alpn=tls.alpn,
        tickets=tls.tickets,
        reuse=tls.reuse,
    )


def client_link_options(bind: BindLine, keepalive: Keepalive | None) -> LinkOptions | None:
    """Return what accepted links get; None: what the system gives them.

    `keepalive` is the frontend's (`option clitcpka`).
    """
    if keepalive is None and not bind.tcp_user_timeout_us:
        return None
    times = keepalive or Keepalive()
    return LinkOptions(
        keepalive=keepalive is not None,
        keepalive_idle_s=times.idle_s or 0,
        keepalive_interval_s=times.interval_s or 0,
        keepalive_count=times.count or 0,
        tcp_user_timeout_ms=(bind.tcp_user_timeout_us or 0) // 1000,
    )
