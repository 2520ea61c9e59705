"""Carries out a line of a runtime socket: finds its commands, asks for their level, answers.

Owns the table of all commands, and those about the terminal itself (`prompt`, `quit`, `user`,
`operator`, `set timeout cli`, `set severity-output`, `help`). A translation of the table of
src/cli.c; what HAProxy has and we have not (maps, ACLs, stick tables, certificates, tracing) is
answered as an unknown command.

Invariants: pure but for what the commands are for; never raises for what a user writes.
"""

from __future__ import annotations

from rabbitry.balancer.commands import adding, counters, frontends, servers, sessions, showing
from rabbitry.balancer.commands.terminal import SEVERITIES, Terminal, commands_of
from rabbitry.balancer.commands.usage import find, usage
from rabbitry.balancer.commands.world import Call, Command, Said, World
from rabbitry.balancer.configuration.lexer import Mistake, read_time_us


def run_line(world: World, terminal: Terminal, line: str, now: int) -> str:
    """Carry out all commands of a line; return what is to be sent."""
    sent = ""
    for words in commands_of(line):
        if words[:1] == ["quit"]:
            terminal.is_closing = True
            return sent
        sent += terminal.answer(_run(world, Call(words, terminal, now)))
    return sent


def _run(world: World, call: Call) -> str:
    if call.words[:1] == ["prompt"]:
        call.terminal.prompt = not call.terminal.prompt
        return ""
    command = find(COMMANDS, call.words) if call.words[:1] != ["help"] else None
    try:
        if command is None:
            raise Said(usage(COMMANDS, call.words), "info")
        if not call.terminal.may(command.level):
            raise Said("Permission denied\n")
        return command.run(world, call)
    except Said as said:
        return said.shown_to(call.terminal)


def _sink_to(level: str) -> Command:
    def run(world: World, call: Call) -> str:
        call.terminal.level = level
        return ""

    spaces = " " * (40 - len(level))
    return Command(
        level, f"{level}{spaces}: lower the level of the current CLI session to {level}", level, run
    )


def _set_timeout(world: World, call: Call) -> str:
    if call.word(2) != "cli":
        raise Said("'set timeout' only supports 'cli'.\n")
    if not call.word(3):
        raise Said("Expects an integer value.\n")
    try:
        timeout_us = read_time_us(call.word(3), default_unit="s")
    except Mistake:
        timeout_us = 0
    if timeout_us < 1_000_000:
        raise Said("Invalid timeout value.\n")
    call.terminal.timeout_us = timeout_us
    return ""


def _set_severity_output(world: World, call: Call) -> str:
    if call.word(2) not in SEVERITIES:
        raise Said("one of 'none', 'number', 'string' is a required argument\n")
    call.terminal.severity = call.word(2)
    return ""


def _reload(world: World, call: Call) -> str:
    """The process around the machine reads files: it carries this out, where it may."""
    raise Said("'reload' stands alone on its line, and is for admins.\n")


COMMANDS: tuple[Command, ...] = (
    *adding.COMMANDS,
    *counters.COMMANDS,
    *frontends.COMMANDS,
    _sink_to("operator"),
    Command(
        "reload",
        "reload                                  : read the configuration again, without a cut",
        "admin",
        _reload,
    ),
    *servers.COMMANDS,
    Command(
        "set severity-output",
        "set severity-output [none|number|string]: "
        "set presence of severity level in feedback information",
        "user",
        _set_severity_output,
    ),
    Command(
        "set timeout",
        "set timeout [cli] <delay>               : change a timeout setting",
        "user",
        _set_timeout,
    ),
    *sessions.COMMANDS,
    *showing.COMMANDS,
    _sink_to("user"),
)
