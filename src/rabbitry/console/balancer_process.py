"""The balancer as a process: `python -m rabbitry.console.balancer_process --config FILE ...`.

Owns the command line of that process and the joining of the balancer (`runtime.balancer_process`)
with its pages (`statistics_page`). `rabbitry balance` calls `balance` or `check`; the supervisor
starts the module. Reading files is `configuration_files`'.

Options: `--config FILE`, as often as there are files; `--ready-fd N`, where it says that it serves,
as `runtime.supervised` describes; `--supervised`, it ends when its standard input does;
`--when-told`, it gets ready, but serves only when a line has come on standard input: so no client
comes before there are servers.
Exit codes: 0 told to stop; 2 wrong configuration or port in use, each mistake a line on standard
error; 70 a bug of ours.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from rabbitry.balancer.configuration.model import (
    BindLine,
    Configuration,
    ConfigurationError,
    FrontendSection,
)
from rabbitry.console.configuration_files import Files, read_configuration, verdict
from rabbitry.machine import MICROSECONDS_PER_SECOND, Address
from rabbitry.runtime.balancer_desk import BalancerDesk
from rabbitry.runtime.balancer_log import log_to_standard_error
from rabbitry.runtime.balancer_process import run_balancer
from rabbitry.runtime.daemon import Detach, in_background
from rabbitry.runtime.descriptors import lack_of_descriptors, open_files_limit
from rabbitry.runtime.errors import EXIT_USAGE
from rabbitry.runtime.garbage import tune_garbage_collection
from rabbitry.runtime.listeners import ListenFailed
from rabbitry.runtime.loop import run
from rabbitry.runtime.privileges import PrivilegesFailed
from rabbitry.runtime.processes import raise_open_files_limit
from rabbitry.runtime.serving import Page
from rabbitry.runtime.supervised import (
    read_settings_line,
    ready_file,
    tell_failed,
    tell_ready,
)
from rabbitry.runtime.systemd import READY, STOPPING, tell_systemd
from rabbitry.runtime.tls import TlsFailed

REQUEST_S = 10.0
"""How long a whole request may take, where `timeout client` is not less."""
IDLE_S = 60.0
"""How long a client may take nothing of its answer, where `timeout client` does not say."""


async def serve_page(section: FrontendSection, line: BindLine, desk: BalancerDesk) -> Page:
    """Serve the pages of a section where a `bind` line says. Raises `ListenFailed`."""
    # Importing these takes longer than all the rest; a balancer without a page goes without.
    from rabbitry.console.http_connection import HttpTimes
    from rabbitry.console.http_server import CONNECTIONS_MAX, serve
    from rabbitry.console.statistics_page import statistics_app

    client_s = (section.timeout_client_us or 0) / MICROSECONDS_PER_SECOND
    times = HttpTimes(idle_s=client_s or IDLE_S, request_s=min(client_s or REQUEST_S, REQUEST_S))
    return await serve(
        statistics_app(section, desk),
        section.name,
        line,
        use=desk.use_of(section),
        times=times,
        connections_max=min(line.maxconn or section.maxconn, section.maxconn, CONNECTIONS_MAX),
        number=section.binds.index(line) + 1,
        tell=lambda request: desk.tell(section, request),
    )


def check(paths: Sequence[Path], *, rendered: bool = False) -> int:
    """Say whether the files are right, or (`rendered`) print them as HAProxy takes them."""
    from rabbitry.balancer.configuration.rendering import render

    _print_any_bytes()
    try:
        text = render(read_configuration(*paths)) if rendered else verdict(paths) + "\n"
        print(text, end="", flush=True)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    return 0


def _print_any_bytes() -> None:
    """Files may hold what is no UTF-8: it is printed as it was."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")


def _reader(files: Files, pidfile: Path | None) -> Callable[[], Configuration]:
    """Reads the files, with what else is to be known when a balancer starts or takes them anew."""

    def read() -> Configuration:
        configuration = files.read()
        if pidfile is not None:
            process = replace(configuration.process, pidfile=str(pidfile))
            configuration = replace(configuration, process=process)
        lack = lack_of_descriptors(configuration, open_files_limit())
        if lack:
            configuration = replace(configuration, warnings=(*configuration.warnings, lack))
        return configuration

    return read


def balance(
    *paths: Path,
    ready: int | None = None,
    supervised: bool = False,
    daemon: bool | None = False,
    pidfile: Path | None = None,
    notify: bool = False,
) -> int:
    """Run the balancer that the files describe until it is told to stop; return the exit code.

    `daemon`: in the background, and this process returns when it serves; None: if the files say so.
    `pidfile` goes before that of the files; `notify`: systemd hears when it serves, and ends.
    """
    _print_any_bytes()
    raise_open_files_limit()
    read = _reader(Files(*paths), pidfile)
    try:
        configuration = read()
    except ConfigurationError as error:
        if ready is None:
            print(error, file=sys.stderr)
        else:
            tell_failed(ready, "; ".join(error.mistakes))
        return EXIT_USAGE

    def serve(detach: Detach | None = None) -> int:
        log_to_standard_error()

        def serving(addresses: dict[str, Address]) -> None:
            if ready is None:
                listeners = ", ".join(f"{name} at {where}" for name, where in addresses.items())
                print(f"ready: {listeners}", flush=True)
            tune_garbage_collection()
            tell_ready(ready, listeners={name: str(where) for name, where in addresses.items()})
            if notify:
                tell_systemd(READY)
            if detach is not None:
                detach()

        work = run_balancer(
            configuration, serve_page, read=read, serving=serving, supervised=supervised
        )
        try:
            return run(work)
        except (ListenFailed, TlsFailed, PrivilegesFailed, OSError) as error:
            tell_failed(ready, str(error))
            return EXIT_USAGE
        finally:
            if notify:
                tell_systemd(STOPPING)

    if daemon is None:
        daemon = configuration.process.daemon
    return in_background(serve) if daemon else serve()


def main(arguments: list[str]) -> int:
    """Run the process of these arguments; return its exit code."""
    if "--config" not in arguments[:-1]:
        tell_failed(None, "the balancer needs its configuration: add --config FILE")
        return EXIT_USAGE
    paths = [Path(following) for option, following in pairwise(arguments) if option == "--config"]
    ready = ready_file(arguments)
    if "--when-told" in arguments:
        # What takes longest meanwhile.
        import rabbitry.console.http_server
        import rabbitry.console.statistics_page  # noqa: F401

        if not read_settings_line():
            return 0  # the supervisor is gone
    return balance(*paths, ready=ready, supervised="--supervised" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
