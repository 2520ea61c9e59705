"""`rabbitry vhosts`: the virtual hosts."""

from __future__ import annotations

from cyclopts import App

from rabbitry.commands.asking import DataDir, directory, table

app = App(name="vhosts", help="Virtual hosts.\n\nExample: `rabbitry vhosts list`")


@app.command(name="list")
def list_virtual_hosts(*, data_dir: DataDir = None) -> int:
    """List the virtual hosts.

    Example: `rabbitry vhosts list`
    """
    from rabbitry.runtime.operating import definitions

    rows = [
        (host["name"], host["metadata"]["description"])
        for host in definitions(directory(data_dir))["vhosts"]
    ]
    print(table(("vhost", "description"), rows))
    return 0


@app.command
def add(name: str, /, *, description: str = "", data_dir: DataDir = None) -> int:
    """Add a virtual host. Nobody may enter it until permissions are set.

    Example: `rabbitry vhosts add shop --description "orders and invoices"`

    Parameters
    ----------
    name
        Name of the virtual host.
    description
        A few words for people.
    """
    from rabbitry.cluster.access_records import AddVirtualHost
    from rabbitry.runtime.operating import operate

    operate(directory(data_dir), AddVirtualHost(name, description, [], b"", must_be="new"))
    print(f"added virtual host {name}")
    return 0


@app.command
def delete(name: str, /, *, data_dir: DataDir = None) -> int:
    """Delete a virtual host with everything in it, messages included.

    Example: `rabbitry vhosts delete shop`

    Parameters
    ----------
    name
        Name of the virtual host.
    """
    from rabbitry.cluster.access_records import DeleteVirtualHost
    from rabbitry.runtime.operating import operate

    operate(directory(data_dir), DeleteVirtualHost(name))
    print(f"deleted virtual host {name} and everything in it")
    return 0
