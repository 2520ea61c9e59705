"""`rabbitry reload`: a running balancer takes its file anew.

Owns the finding of the balancer's runtime socket, and what people are told. What a reload does is
`rabbitry.runtime.serving`'s.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from rabbitry.balancer.configuration.model import Configuration
from rabbitry.runtime.balancer_socket import BalancerSilent, ask_balancer
from rabbitry.runtime.errors import EXIT_NOT_SO, EXIT_USAGE, UserError


def reload(socket: Path) -> int:
    """Tell the balancer at this runtime socket to take its file anew; return the exit code.

    0: it has; what it asks for in vain is told. 2: the file has mistakes, a line for each, and
    nothing was changed. Raises `UserError` where there is no such balancer.
    """
    try:
        answer = asyncio.run(ask_balancer(socket, "reload"))
    except BalancerSilent as error:
        raise UserError(f"{error}; is it running?", EXIT_NOT_SO) from None
    first, _, rest = answer.partition("\n")
    lines = [line for line in rest.split("\n") if line not in ("", "--")]
    if first == "Success=1":
        print("\n".join([*(f"warning: {line}" for line in lines), "reloaded"]))
        return 0
    if first == "Success=0":
        print("\n".join([*lines, "nothing was changed"]), file=sys.stderr)
        return EXIT_USAGE
    raise UserError(
        f"the balancer at {socket} does not know `reload`: is it one of ours, "
        "and the socket one of 'level admin'?",
        EXIT_NOT_SO,
    )


def socket_of(configuration: Configuration, file: Path) -> Path:
    """Return the runtime socket by which this configuration's balancer can be told; it must be a
    Unix socket of level admin. Raises `UserError` if it has none."""
    for each in configuration.process.runtime_sockets:
        if each.bind.level == "admin" and each.bind.address.host.startswith("/"):
            return Path(each.bind.address.host)
    raise UserError(
        f"{file} has no runtime socket: add 'stats socket /PATH level admin' to 'global', "
        "name one with --socket, or send SIGUSR2 to the balancer",
        EXIT_USAGE,
    )
