"""Who may see the statistics page, and who may steer by it (`stats auth`, `stats admin`).

Owns HTTP's basic authentication against the users of a page, and the refusal of forms that another
site's page has sent (HAProxy takes those).

Invariants: comparing takes as long for a wrong name or password as for a right one of that length;
a password is never in a text.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from rabbitry.balancer.configuration.lexer import as_bytes
from rabbitry.balancer.configuration.model import StatisticsPage


def may_see(page: StatisticsPage, authorization: str | None) -> bool:
    """Whether the header `Authorization` names a user of the page; true where it has none."""
    if not page.users:
        return True
    scheme, _, credentials = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        told = base64.b64decode(credentials.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    found = False
    for name, password in page.users:
        # No early end: how long it takes tells nothing of who there is.
        found |= hmac.compare_digest(told, as_bytes(f"{name}:{password}"))
    return found


def may_steer(page: StatisticsPage, client_host: str | None) -> bool:
    """Whether `stats admin` lets a client of this address act."""
    if page.admin == "localhost":
        try:
            return ipaddress.ip_address(client_host or "").is_loopback
        except ValueError:
            return False
    return page.admin == "always"


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another site made it send this."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return False
    return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
