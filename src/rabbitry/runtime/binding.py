"""How a `bind` line is listened on: the words of the configuration in those of this room.

Which files certificates are read from is `certificates`'.
"""

from __future__ import annotations

from rabbitry.balancer.configuration.model import BindLine, FrontendSection
from rabbitry.balancer.link_options import client_link_options
from rabbitry.runtime.certificates import certificates_of
from rabbitry.runtime.listeners import BACKLOG, ListenOptions
from rabbitry.runtime.tls import TlsFailed, TlsSettings


def listen_options(bind: BindLine, section: FrontendSection | None) -> ListenOptions:
    """Return how the socket is made, and what its links get.

    Without `backlog` as many may wait as may come in (`listener_backlog` of HAProxy), but not fewer
    than `BACKLOG`: who finds no room there is not refused, but has to ask again a second later.
    """
    backlog = bind.backlog
    if section is not None:
        backlog = backlog or section.backlog or max(bind.maxconn or section.maxconn, BACKLOG)
    return ListenOptions(
        backlog=backlog or BACKLOG,
        v6only=True if bind.v6only else False if bind.v4v6 else None,
        unix_mode=bind.mode,
        unix_user=bind.user,
        unix_group=bind.group,
        links=client_link_options(bind, section.keepalive if section is not None else None),
    )


def tls_settings(bind: BindLine) -> TlsSettings | None:
    """Return the TLS of a `bind` line, None where it has none. Raises `TlsFailed`."""
    tls = bind.tls
    if tls is None:
        return None
    if not tls.certificates:
        raise TlsFailed(f"bind {bind.address} ssl: it needs a certificate, add crt FILE")
    found = certificates_of(tls)
    by_name = len(found) > 1 or tls.strict_sni
    return TlsSettings(
        cert=found[0].cert,
        key=found[0].key,
        named=tuple(found) if by_name else (),
        strict_sni=tls.strict_sni,
        ca_verify=tls.ca_verify_file or "",
        crl=tls.crl_file or "",
        tickets=tls.tickets,
        ca=tls.ca_file or "",
        verify=tls.verify != "none",
        fail_if_no_peer_cert=tls.verify == "required",
        ciphers=tls.ciphers or "",
        minimum_version=tls.minimum_version,
        maximum_version=tls.maximum_version or "",
        alpn=tls.alpn,
        after_proxy_header=bind.accept_proxy,
    )
