"""The command line: what a user can ask for, and what comes back as lines and exit codes.

Owns the commands, their options and their help; does nothing itself. Each command imports what it
needs when it runs, so that `rabbitry status` does not pay for what only `rabbitry up` uses.

Exit codes: 0 done; 1 it cannot be done as things are (nothing is running, the node runs already);
2 it was asked for wrongly or is not to be had (option, file, port, permission); 70 a bug of ours;
130 Ctrl-C.
Errors are one line on standard error, never a traceback; RABBITRY_TRACEBACK=1 shows it.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError, convert, validators

from rabbitry.commands import definitions as definitions_group
from rabbitry.commands import limits, nodes, policies, users, virtual_hosts
from rabbitry.commands.asking import DataDir, directory
from rabbitry.runtime.errors import (
    EXIT_INTERRUPTED,
    EXIT_NOT_SO,
    EXIT_SOFTWARE,
    EXIT_USAGE,
    UserError,
)
from rabbitry.runtime.node_options import DEFAULTS, NodeOptions


def _convert(kind: Any, tokens: Any) -> Any:
    """Convert as cyclopts does, but take 3.5 for no integer instead of rounding it."""
    if kind is int:
        for token in tokens:
            if "." in token.value:
                raise ValueError(f"{token.value} is not a whole number")
    return convert(kind, tokens)


Port = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=65535))]
Options = Annotated[NodeOptions, Parameter(name="*")]  # each field an option of its own


app = App(
    name="rabbitry",
    help="AMQP 0-9-1 messaging that stays up: brokers, mirrored queues and a balancer behind one "
    "address.\n\nExample: `rabbitry up`, then point any AMQP 0-9-1 client at "
    "amqp://guest:guest@127.0.0.1:5670/",
    version_flags=["--version"],
    default_parameter=Parameter(converter=_convert),
    suppress_keyboard_interrupt=False,  # else Ctrl-C is SystemExit, and looks like a broken pipe
)

for group in (users, virtual_hosts, policies, limits, definitions_group):
    app.command(group.app)
for command in (nodes.kill, nodes.start, nodes.restart, nodes.rebalance):
    app.command(command)


@app.command
def up(
    *,
    nodes: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=64))] = 3,
    port: Port = 5672,
    balancer_port: Port = 5670,
    stats_port: Port = 8100,
    tls_port: Port = 5691,
    balancer_tls_port: Port = 5671,
    data_dir: DataDir = None,
    definitions: Path | None = None,
    options: Options = DEFAULTS,
) -> int:
    """Run a cluster of broker nodes behind a balancer, in the foreground, until Ctrl-C.

    Prints one line when all of it serves: ready: amqp://guest:guest@127.0.0.1:5670/

    Example: `rabbitry up --nodes 3 --data-dir /tmp/rabbits`

    Parameters
    ----------
    nodes
        How many broker nodes: rabbit, rabbit_1, rabbit_2, ...
    port
        Port of the first node; the others take the ports after it.
    balancer_port
        Port of the balancer, the one address that applications use.
    stats_port
        Port of the statistics page, http://127.0.0.1:8100/stats.
    tls_port
        With --tls-cert: port of the first node for TLS; the others take the ports after it.
    balancer_tls_port
        With --tls-cert: port of the balancer for TLS, which it passes on to the nodes unopened.
    definitions
        A file of definitions, RabbitMQ's or ours, to begin with.
    """
    from rabbitry.runtime.supervisor import run_up
    from rabbitry.runtime.up_settings import UpSettings, check_ports

    options.check()
    for first, option in ((port, "--port"), (tls_port, "--tls-port")):
        if first + nodes - 1 > 65535:
            line = f"{nodes} nodes from port {first} on need ports above 65535; lower {option}"
            raise UserError(line)
    settings = UpSettings(
        data_dir=directory(data_dir),
        nodes=nodes,
        port=port,
        balancer_port=balancer_port,
        statistics_port=stats_port,
        tls_port=tls_port,
        balancer_tls_port=balancer_tls_port,
        options=options,
        definitions=definitions,
    )
    check_ports(settings)
    return run_up(settings)


@app.command
def status(
    *,
    json: Annotated[bool, Parameter(negative="", help="Print JSON, for programs.")] = False,
    data_dir: DataDir = None,
) -> int:
    """Show the nodes, the queues and the balancer of the Rabbitry that is running.

    States of a node: running, starting (not in the cluster yet), hung (it runs but does not
    answer), stopped (by SIGSTOP), down (it died and will be started again), killed (by
    `rabbitry kill`; stays down until `rabbitry start`).

    Example: `rabbitry status --json`
    """
    import msgspec

    from rabbitry.runtime import control
    from rabbitry.runtime.status import from_reply, table

    if sys.stdout is None:
        raise UserError("standard output is closed, there is nowhere to show it", EXIT_NOT_SO)
    found = from_reply(control.ask(directory(data_dir), control.Status()))
    if json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        print(table(found, coloured=coloured), end="")
    return 0


@app.command
def stop(*, data_dir: DataDir = None) -> int:
    """End the Rabbitry that is running; returns when all of its processes are gone.

    Example: `rabbitry stop`
    """
    from rabbitry.runtime import control

    path = directory(data_dir)
    control.ask(path, control.Stop())
    print(f"stopped the Rabbitry in {path}")
    return 0


@app.command
def backup(file: Path, /, *, data_dir: DataDir = None) -> int:
    """Write all that is stored to one file, as of one moment, while Rabbitry runs or not.

    Only you can read the file: it has messages, and hashes of passwords. An older one of that name
    is replaced when the new one is whole.

    Example: `rabbitry backup rabbits.backup`

    Parameters
    ----------
    file
        The file.
    """
    from rabbitry.runtime import backup as backups
    from rabbitry.runtime.status import shown_bytes

    path = directory(data_dir)
    made = backups.back_up(path, file, lambda line: print(line, flush=True))
    size = shown_bytes(file.stat().st_size)
    print(f"wrote {file}: {len(made.stores)} stores of {path}, {size}")
    return 0


@app.command
def restore(
    file: Path,
    /,
    *,
    replace: Annotated[bool, Parameter(negative="")] = False,
    data_dir: DataDir = None,
) -> int:
    """Make a data directory of a backup, for `rabbitry up`; nothing may be running in it.

    Messages that had been delivered, but not acknowledged, come again, as after a power failure.

    Example: `rabbitry restore rabbits.backup --data-dir /tmp/rabbits`

    Parameters
    ----------
    file
        The file that `rabbitry backup` wrote.
    replace
        Rename what is in the data directory, and restore in its place.
    """
    from rabbitry.runtime import backup as backups

    path = directory(data_dir)

    def tell(line: str) -> None:
        print(line, flush=True)

    found, gone = backups.restore(file, path, replace=replace, tell=tell)
    if gone is not None:
        print(f"what was in {path} is in {gone}")
    starts = "up" if any(name.startswith("store/") for name in found.stores) else "node"
    print(f"restored {path} as of {found.made}; `rabbitry {starts}` starts it")
    return 0


@app.command
def node(
    *,
    listen: str = "127.0.0.1:5672",
    tls_listen: str = "127.0.0.1:5671",
    name: str = "rabbit",
    data_dir: DataDir = None,
    definitions: Path | None = None,
    options: Options = DEFAULTS,
) -> int:
    """Run one broker node alone, in the foreground, until Ctrl-C.

    Prints one line when it serves: ready: amqp://guest:guest@127.0.0.1:5690/

    Example: `rabbitry node --listen 127.0.0.1:5690 --data-dir /tmp/one`

    Parameters
    ----------
    listen
        HOST:PORT to listen on; port 0 takes any free one.
    tls_listen
        HOST:PORT for clients that use TLS, with --tls-cert.
    name
        Name of the node, as its clients see it, and as what it keeps is found again.
    definitions
        A file of definitions, RabbitMQ's or ours, to begin with.
    """
    from rabbitry.runtime.standalone import run_standalone

    options.check()
    tls_address = _address(tls_listen, "--tls-listen")
    address = _address(listen, "--listen")
    return run_standalone(name, address, tls_address, options, directory(data_dir), definitions)


@app.command
def balance(
    *files: Path,
    config: Annotated[list[Path] | None, Parameter(name=["--config", "-f"], negative="")] = None,
    check: Annotated[bool, Parameter(name=["--check", "-c"], negative="")] = False,
    render: Annotated[bool, Parameter(negative="")] = False,
    daemon: Annotated[bool, Parameter(name=["--daemon", "-D"], negative="")] = False,
    foreground: Annotated[bool, Parameter(name=["--foreground", "-db"], negative="")] = False,
    pidfile: Annotated[Path | None, Parameter(name=["--pidfile", "-p"])] = None,
    master_worker: Annotated[bool, Parameter(name=["--master-worker", "-W"], negative="")] = False,
    systemd: Annotated[bool, Parameter(name=["--systemd", "-Ws"], negative="")] = False,
) -> int:
    """Run the balancer alone, on files in HAProxy's configuration language.

    In the foreground, until Ctrl-C, unless `daemon` is in the files.

    Exit code 2 and a line FILE:LINE: 'WORD' for every mistake, if the files are wrong.

    Example: `rabbitry balance haproxy.cfg`

    Parameters
    ----------
    files
        The files, read as one; of a directory its *.cfg, in order.
    config
        A file, as `haproxy -f`; can be repeated.
    check
        Only say whether the files are right.
    render
        Only print the files as HAProxy 2.6 takes them, with the passwords that are in them.
    daemon
        Go to the background once it serves, as `daemon` in the files; exit code 0 then.
    foreground
        Stay in the foreground, whatever the files say.
    pidfile
        A file for its PID, instead of that in the files.
    master_worker
        Taken for HAProxy's sake, and changes nothing: SIGUSR2 and `rabbitry reload` always work.
    systemd
        Stay in the foreground, and tell systemd when it serves, for a unit of Type=notify.
    """
    from rabbitry.console import balancer_process

    del master_worker

    paths = [*(config or ()), *files]
    if not paths:
        raise UserError("name a file to balance by; `rabbitry balance --help` has an example")
    if check or render:
        return balancer_process.check(paths, rendered=render)
    wanted = False if systemd else daemon or (False if foreground else None)
    return balancer_process.balance(*paths, daemon=wanted, pidfile=pidfile, notify=systemd)


@app.command
def reload(config: Path | None = None, /, *, socket: Path | None = None) -> int:
    """Let a running balancer take its file anew, without a cut.

    What is the same stays connected, new servers take part, removed ones get no new session. A file
    with a mistake changes nothing.

    Example: `rabbitry reload haproxy.cfg`

    Parameters
    ----------
    config
        The balancer's file: its 'stats socket' of level admin is used.
    socket
        The runtime socket, if it is not in the file.
    """
    from rabbitry.balancer.configuration.model import ConfigurationError
    from rabbitry.commands.reload import reload as reload_balancer
    from rabbitry.commands.reload import socket_of
    from rabbitry.console.configuration_files import read_configuration

    if socket is None:
        if config is None:
            raise UserError("name the balancer's file, as in `rabbitry reload haproxy.cfg`")
        try:
            configuration = read_configuration(config)
        except ConfigurationError as error:
            print(f"{error}\nnothing was changed", file=sys.stderr)
            return EXIT_USAGE
        socket = socket_of(configuration, config)
    return reload_balancer(socket)


def _address(text: str, option: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise UserError(f"{option} {text}: not HOST:PORT, as in 127.0.0.1:5690")
    return host.strip("[]"), int(port)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit, as `rabbitry.__main__` has it done."""
    for file in (0, 1, 2):
        # What `>&-` closed: else a socket or a log would get its number, and what is printed.
        try:
            os.fstat(file)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run a command; return its exit code. What goes wrong is one line on standard error."""
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        return _say(str(error), error.exit_code)
    except CycloptsError as error:
        return _say(_usage(error), EXIT_USAGE)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return 0
    except SystemExit:
        return 0  # what rich, which prints the help, makes of a broken pipe
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            return _say_bug(error)
        _drop_output()
        return _say(f"cannot write: {os.strerror(error.errno)}", EXIT_NOT_SO)
    except Exception as error:
        return _say_bug(error)


def _usage(error: CycloptsError) -> str:
    """Return what is wrong, and which command's help says how it is right."""
    if isinstance(error, UnusedCliTokensError) and (surplus := error.unused_tokens):
        verb = "is" if len(surplus) == 1 else "are"
        what = f"{', '.join(map(repr, surplus))} {verb} more than this command takes"
    else:
        what = str(error).rstrip()
    if what.endswith(".") and not what.endswith("..."):
        what = what[:-1]
    command = " ".join(["rabbitry", *(error.command_chain or ())])
    return f"{what}; see `{command} --help`"


_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _drop_output() -> None:
    """Whoever read our output has had enough; python would complain of the rest while it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say_bug(error: Exception) -> int:
    if os.environ.get("RABBITRY_TRACEBACK"):
        raise error
    why = f"internal error: {type(error).__name__}: {error}; RABBITRY_TRACEBACK=1 shows where"
    return _say(why, EXIT_SOFTWARE)


def _say(line: str, exit_code: int) -> int:
    one_line = " ".join(line.split())
    print(f"rabbitry: {one_line}", file=sys.stderr)
    return exit_code
