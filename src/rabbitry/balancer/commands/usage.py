"""Which command a line means, and what to say of those there are.

Owns `help`, and the answer to what is no command: the commands that are most like it, by the
distance of fingerprints (src/cli.c, `cli_gen_usage_msg`; src/tools.c, `update_word_fingerprint`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rabbitry.balancer.commands.world import Command

MATCHES_MAX = 5
KEYWORDS_MAX = 5
_ALWAYS = (
    "  help [<command>]                        : list matching or all commands\n"
    "  prompt                                  : toggle interactive mode with prompt\n"
    "  quit                                    : disconnect\n"
)


def find(commands: Sequence[Command], words: Sequence[str]) -> Command | None:
    """The first command whose keywords the line begins with."""
    for command in commands:
        keywords = command.first_words
        if list(words[: len(keywords)]) == keywords:
            return command
    return None


def usage(commands: Sequence[Command], words: Sequence[str]) -> str:
    """What to say to `help ...`, and to a line that is no command."""
    is_help = words[:1] == ["help"]
    asked = list(words[1:] if is_help else words)
    length = max((_same(command, asked) for command in commands), default=0)
    if is_help:
        head = "The following commands are valid at this level:\n"
    elif not length and not asked:
        head = "Unknown command. Please enter one of the following commands only:\n"
    else:
        head = "Unknown command, but maybe one of the following ones is a better match:\n"
    listed = [each for each in commands if _same(each, asked) == length] if length else commands
    if len(asked) > length:
        listed = _most_alike(listed, asked, length) or listed
    ordered = sorted(listed, key=lambda command: command.usage)
    return head + "".join(f"  {command.usage}\n" for command in ordered) + _ALWAYS


def _same(command: Command, words: Sequence[str]) -> int:
    """With how many words the line begins as the command does."""
    count = 0
    for keyword, word in zip(command.first_words, words, strict=False):
        if keyword != word:
            break
        count += 1
    return count


def _most_alike(
    commands: Sequence[Command], words: Sequence[str], length: int
) -> Sequence[Command]:
    """Those commands whose words behind `length` are most like the line's."""
    found: list[tuple[int, Command]] = []
    wanted = words[length:KEYWORDS_MAX]
    for command in commands:
        offered = command.first_words[length:]
        letters = sum(len(word) for word in (*wanted, *offered))
        distance = _distance(_fingerprint(wanted), _fingerprint(offered))
        if distance < 5 * letters // 2:
            found.append((distance, command))
    found.sort(key=lambda each: each[0])
    found = found[:MATCHES_MAX]
    return [command for distance, command in found if distance <= 5 * found[0][0] // 2]


def _fingerprint(words: Sequence[str]) -> Counter[tuple[str, str]]:
    """How often which character follows which; and, under "", which are there at all."""
    fingerprint: Counter[tuple[str, str]] = Counter()
    for word in words:
        before = "."
        for char in word:
            kind = _kind(char)
            fingerprint["", kind] = 1
            fingerprint[before, kind] += 1
            before = kind
        fingerprint[before, "."] += 1
    return fingerprint


def _kind(char: str) -> str:
    if char.isascii() and char.isalpha():
        return char.lower()
    return "0" if char.isascii() and char.isdigit() else "."


def _distance(one: Counter[tuple[str, str]], other: Counter[tuple[str, str]]) -> int:
    return sum((one - other).values()) + sum((other - one).values())
