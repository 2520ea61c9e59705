"""Which of several certificates a client gets: by the server name that it asks for (SNI).

Owns the names of a certificate (its subject's common names and alternative DNS names, or what a
`crt-list` says instead), the search among them, and whether a server's certificate is for it.
Files are read here only for their names, by `cryptography`; contexts are `tls`'s. A translation of
src/ssl_sock.c, `ssl_sock_switchctx_cbk` and `ckch_inst_add_cert_sni`: `*` stands for the first
component of a name, `!` takes one out of a wildcard; of those found, the first ECDSA and the first
RSA certificate count.

Invariants: what is found for a name depends on that name alone; its length bounds the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCertificate:
    """Files of a certificate and its key. `filters`: the names it is for; empty: its own."""

    cert: str
    key: str
    filters: tuple[str, ...] = ()


def names_and_kind(certificate: NamedCertificate) -> tuple[tuple[str, ...], str]:
    """Return the names that a certificate is for, and its key's kind: "ecdsa", "rsa" or "".

    Raises ValueError, or OSError, if it cannot be read.
    """
    # Only who has several certificates waits for this library to load.
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import NameOID

    found = x509.load_pem_x509_certificate(Path(certificate.cert).read_bytes())
    key = found.public_key()
    is_ecdsa = isinstance(key, ec.EllipticCurvePublicKey)
    kind = "ecdsa" if is_ecdsa else "rsa" if isinstance(key, rsa.RSAPublicKey) else ""
    if certificate.filters:
        return certificate.filters, kind
    names: list[str] = []
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names += extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        pass
    for attribute in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        names.append(str(attribute.value))
    return tuple(names), kind


def is_named(certificate: dict[str, Any], name: str) -> bool:
    """Whether a certificate (of `getpeercert`) is for a server of this name, as HAProxy judges
    (`ssl_sock_srv_verifycbk`); or for the address that `name` is, which HAProxy does not look at.
    """
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    for part in certificate.get("subject", ()):
        names += [value for kind, value in part if kind == "commonName"]
    return ("IP Address", name) in certificate.get("subjectAltName", ()) or any(
        _matches(pattern.lower(), name.lower()) for pattern in names
    )


def _matches(pattern: str, name: str) -> bool:
    """`ssl_sock_srv_hostcheck`: one star, within the first component."""
    if pattern == name:
        return True
    first, dot, rest = pattern.partition(".")
    before, star, behind = first.partition("*")
    theirs, their_dot, their_rest = name.partition(".")
    return (
        bool(star and dot and their_dot)
        and "*" not in behind
        and rest == their_rest
        and len(theirs) >= len(before) + len(behind)
        and theirs.startswith(before)
        and theirs.endswith(behind)
    )


class Names:
    """Finds certificates, told by their indexes, in `certificates`: names and kind of each."""

    def __init__(self, certificates: Sequence[tuple[Sequence[str], str]]) -> None:
        self._kinds = [kind for _, kind in certificates]
        self._whole: dict[str, list[int]] = {}
        self._behind_a_star: dict[str, list[int]] = {}
        self._taken_out: list[set[str]] = [set() for _ in certificates]
        for index, (names, _) in enumerate(certificates):
            for name in names:
                self._add(index, name.lower())

    def _add(self, index: int, name: str) -> None:
        if name.startswith("!"):
            self._taken_out[index].add(name[1:])
        elif name.startswith("*"):
            self._behind_a_star.setdefault(name[1:], []).append(index)
        else:
            self._whole.setdefault(name, []).append(index)

    def find(self, name: str) -> tuple[int, ...]:
        """Return whose certificate a client gets that asks for `name`: none, one, or an ECDSA and
        an RSA one, of which the client can use either.
        """
        name = name.lower()
        found = list(self._whole.get(name, ()))
        _, dot, rest = name.partition(".")
        if dot:
            wild = self._behind_a_star.get(dot + rest, ())
            found += [index for index in wild if name not in self._taken_out[index]]
        first: dict[str, int] = {}
        for index in found:
            first.setdefault(self._kinds[index], index)
        both = [first[kind] for kind in ("ecdsa", "rsa") if kind in first]
        return tuple(both or first.values())
