"""`rabbitry limits`: how many connections, channels and queues there may be."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import App, Parameter, validators

from rabbitry.commands.asking import DataDir, directory, table

app = App(
    name="limits",
    help="Limits of virtual hosts and of users.\n\nExample: `rabbitry limits list`",
)
Limit = Annotated[int | None, Parameter(validator=validators.Number(gte=-1))]


@app.command(name="list")
def list_limits(*, data_dir: DataDir = None) -> int:
    """List the limits that are set.

    Example: `rabbitry limits list`
    """
    from rabbitry.runtime.operating import definitions

    found = definitions(directory(data_dir))
    rows = [
        ("vhost", one["vhost"], name, limit)
        for one in found["parameters"]
        if one["component"] == "vhost-limits"
        for name, limit in one["value"].items()
    ]
    rows += [
        ("user", user["name"], name, limit)
        for user in found["users"]
        for name, limit in user["limits"].items()
    ]
    print(table(("of", "name", "limit", "value"), rows))
    return 0


@app.command
def set_vhost(
    name: str,
    /,
    *,
    max_connections: Limit = None,
    max_queues: Limit = None,
    data_dir: DataDir = None,
) -> int:
    """Set the limits of a virtual host; what is not said has no limit.

    Example: `rabbitry limits set-vhost shop --max-connections 100 --max-queues 50`

    Parameters
    ----------
    name
        Name of the virtual host.
    max_connections
        Connections in the whole cluster; -1 for no limit.
    max_queues
        Queues; -1 for no limit.
    """
    from rabbitry.cluster.access_records import SetParameter
    from rabbitry.runtime.operating import operate

    limits = _limits({"max-connections": max_connections, "max-queues": max_queues})
    value = msgspec.json.encode(limits) if limits else None
    operate(directory(data_dir), SetParameter(name, "vhost-limits", "limits", value))
    print(f"limits of virtual host {name}: {_shown(limits)}")
    return 0


@app.command
def set_user(
    name: str,
    /,
    *,
    max_connections: Limit = None,
    max_channels: Limit = None,
    data_dir: DataDir = None,
) -> int:
    """Set the limits of a user; what is not said has no limit.

    Example: `rabbitry limits set-user alice --max-connections 10 --max-channels 100`

    Parameters
    ----------
    name
        Name of the user.
    max_connections
        Connections in the whole cluster; -1 for no limit.
    max_channels
        Channels of all its connections together; -1 for no limit.
    """
    from rabbitry.cluster.access_records import SetUser
    from rabbitry.runtime.operating import operate

    limits = _limits({"max-connections": max_connections, "max-channels": max_channels})
    operate(directory(data_dir), SetUser(name, limits=limits, must_be="there"))
    print(f"limits of user {name}: {_shown(limits)}")
    return 0


def _limits(given: dict[str, int | None]) -> dict[str, int]:
    return {name: limit for name, limit in given.items() if limit is not None and limit >= 0}


def _shown(limits: dict[str, int]) -> str:
    return ", ".join(f"{name} {limit}" for name, limit in limits.items()) or "none"
