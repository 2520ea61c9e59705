"""`rabbitry users`: who may log in, and what they may do where."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from rabbitry.commands.asking import DataDir, VirtualHost, directory, password_of, table

app = App(
    name="users",
    help="Users, their passwords, tags and permissions.\n\nExample: `rabbitry users list`",
)
Pattern = Annotated[str, Parameter(allow_leading_hyphen=True)]


@app.command(name="list")
def list_users(*, data_dir: DataDir = None) -> int:
    """List the users and their tags.

    Example: `rabbitry users list`
    """
    from rabbitry.runtime.operating import definitions

    rows = [
        (user["name"], ", ".join(user["tags"]), _limits(user["limits"]))
        for user in definitions(directory(data_dir))["users"]
    ]
    print(table(("user", "tags", "limits"), rows))
    return 0


def _limits(limits: dict[str, int]) -> str:
    return ", ".join(f"{name} {limit}" for name, limit in limits.items())


@app.command
def add(user: str, /, *tags: str, data_dir: DataDir = None) -> int:
    """Add a user. The password is asked for, or is the first line of standard input.

    Example: `rabbitry users add alice management`

    Parameters
    ----------
    user
        Name of the user.
    tags
        RabbitMQ's: administrator, monitoring, policymaker, management, impersonator.
    """
    from rabbitry.cluster.access_records import SetUser
    from rabbitry.runtime.operating import hashed, operate

    password_hash = hashed(password_of(user))
    operate(directory(data_dir), SetUser(user, password_hash, "", list(tags), must_be="new"))
    print(f"added user {user}; `rabbitry users set-permissions {user}` lets it do something")
    return 0


@app.command
def delete(user: str, /, *, data_dir: DataDir = None) -> int:
    """Delete a user with all permissions; its connections are closed.

    Example: `rabbitry users delete alice`

    Parameters
    ----------
    user
        Name of the user.
    """
    from rabbitry.cluster.access_records import DeleteUser
    from rabbitry.runtime.operating import operate

    operate(directory(data_dir), DeleteUser(user))
    print(f"deleted user {user}")
    return 0


@app.command
def change_password(user: str, /, *, data_dir: DataDir = None) -> int:
    """Change a password. It is asked for, or is the first line of standard input.

    Example: `rabbitry users change-password alice`

    Parameters
    ----------
    user
        Name of the user.
    """
    from rabbitry.cluster.access_records import SetUser
    from rabbitry.runtime.operating import hashed, operate

    password_hash = hashed(password_of(user))
    operate(directory(data_dir), SetUser(user, password_hash, must_be="there"))
    print(f"changed the password of {user}")
    return 0


@app.command
def set_tags(user: str, /, *tags: str, data_dir: DataDir = None) -> int:
    """Give a user these tags and no others.

    Example: `rabbitry users set-tags alice monitoring`

    Parameters
    ----------
    user
        Name of the user.
    tags
        The tags; none takes them all away.
    """
    from rabbitry.cluster.access_records import SetUser
    from rabbitry.runtime.operating import operate

    operate(directory(data_dir), SetUser(user, tags=list(tags), must_be="there"))
    print(f"tags of {user}: {', '.join(tags) or 'none'}")
    return 0


@app.command
def set_permissions(
    user: str,
    configure: Pattern = ".*",
    write: Pattern = ".*",
    read: Pattern = ".*",
    /,
    *,
    vhost: VirtualHost = "/",
    data_dir: DataDir = None,
) -> int:
    """Let a user configure, write to and read from what these regular expressions match.

    Example: `rabbitry users set-permissions alice '^alice' '.*' '^alice' --vhost /`

    Parameters
    ----------
    user
        Name of the user.
    configure
        What it may declare and delete.
    write
        What it may publish to, and bind.
    read
        What it may consume, and bind to.
    """
    from rabbitry.cluster.access_records import SetPermissions
    from rabbitry.runtime.operating import operate

    operate(directory(data_dir), SetPermissions(user, vhost, configure, write, read))
    print(f"permissions of {user} in {vhost}: configure {configure} write {write} read {read}")
    return 0


@app.command
def clear_permissions(user: str, /, *, vhost: VirtualHost = "/", data_dir: DataDir = None) -> int:
    """Take away the permissions that a user has in a virtual host, but for topic permissions.

    Example: `rabbitry users clear-permissions alice --vhost /`

    Parameters
    ----------
    user
        Name of the user.
    """
    from rabbitry.cluster.access_records import ClearPermissions
    from rabbitry.runtime.operating import operate

    operate(directory(data_dir), ClearPermissions(user, vhost))
    print(f"{user} has no permissions in {vhost}")
    return 0


@app.command
def set_topic_permissions(
    user: str,
    exchange: str,
    write: Pattern = ".*",
    read: Pattern = ".*",
    /,
    *,
    vhost: VirtualHost = "/",
    data_dir: DataDir = None,
) -> int:
    """Restrict the routing keys that a user may use at a topic exchange.

    In the regular expressions {username} and {vhost} stand for the connection's.

    Example: `rabbitry users set-topic-permissions alice amq.topic '^{username}' '.*'`

    Parameters
    ----------
    user
        Name of the user.
    exchange
        Name of the exchange.
    write
        Keys that it may publish with.
    read
        Keys that it may bind with.
    """
    from rabbitry.cluster.access_records import SetTopicPermissions
    from rabbitry.runtime.operating import operate

    operate(directory(data_dir), SetTopicPermissions(user, vhost, exchange, write, read))
    print(f"topic permissions of {user} at {exchange} in {vhost}: write {write} read {read}")
    return 0


@app.command
def clear_topic_permissions(
    user: str,
    /,
    *,
    exchange: str | None = None,
    vhost: VirtualHost = "/",
    data_dir: DataDir = None,
) -> int:
    """Let a user use all routing keys again, at one exchange or at all of a virtual host.

    Example: `rabbitry users clear-topic-permissions alice --vhost / --exchange amq.topic`

    Parameters
    ----------
    user
        Name of the user.
    exchange
        Name of the exchange; without it, all exchanges of the virtual host.
    """
    from rabbitry.cluster.access_records import ClearTopicPermissions
    from rabbitry.runtime.operating import operate

    operate(directory(data_dir), ClearTopicPermissions(user, vhost, exchange))
    where = vhost if exchange is None else f"{vhost} at {exchange}"
    print(f"{user} has no topic permissions in {where}")
    return 0


@app.command
def list_permissions(*, data_dir: DataDir = None) -> int:
    """List who may do what where; lines with an exchange are topic permissions.

    Example: `rabbitry users list-permissions`
    """
    from rabbitry.runtime.operating import definitions

    found = definitions(directory(data_dir))
    rows = [
        (one["user"], one["vhost"], "", one["configure"], one["write"], one["read"])
        for one in found["permissions"]
    ]
    rows += [
        (one["user"], one["vhost"], one["exchange"], "", one["write"], one["read"])
        for one in found["topic_permissions"]
    ]
    print(table(("user", "vhost", "exchange", "configure", "write", "read"), rows))
    return 0
