"""One who speaks to a runtime socket: what he may, how he wants answers, when he is through.

Owns the state of such a link, and cutting what came into lines, commands and words as HAProxy does
(management.txt 9.3; src/cli.c). Does not own what a command does.

Invariants: pure; a line is bounded (`LINE_BYTES_MAX`), whoever sends a longer one is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LEVELS = ("user", "operator", "admin")
LINE_BYTES_MAX = 16_384
"""What a line may have: HAProxy's buffer."""
WORDS_MAX = 64
SEVERITIES = ("none", "number", "string")


@dataclass(slots=True)
class Terminal:
    """The state of one link. `level` can only sink below `socket_level`, the `level` of the socket.

    `prompt`: interactive, the link stays; else it ends when the lines that came together are
    answered. `is_closing`: it has said `quit`. `timeout_us`: how long it may be silent.
    """

    socket_level: str
    timeout_us: int
    level: str = ""
    prompt: bool = False
    severity: str = "none"
    is_closing: bool = False
    _received: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.level = self.level or self.socket_level

    def may(self, level: str) -> bool:
        """Whether it has this level, or a higher one."""
        return LEVELS.index(self.level) >= LEVELS.index(level)

    def take_bytes(self, data: bytes) -> list[str] | None:
        """The whole lines that are there now. None: one is too long, it is to be cut off."""
        self._received += data
        *whole, rest = self._received.split(b"\n")
        if len(rest) > LINE_BYTES_MAX or any(len(line) > LINE_BYTES_MAX for line in whole):
            return None
        self._received = rest
        return [line.decode("utf-8", "replace").rstrip("\r") for line in whole]

    def answer(self, text: str) -> str:
        """A command's text as it goes out: behind it an empty line, or the prompt."""
        return f"{text}\n> " if self.prompt else f"{text}\n"


def commands_of(line: str) -> list[list[str]]:
    """The commands of a line, each as its words: `;` divides commands, `\\` takes what follows as
    it is."""
    commands = []
    for command in _split(line, ";"):
        words = [_plain(word) for part in _split(command, " ") for word in _split(part, "\t")]
        commands.append([word for word in words if word][:WORDS_MAX])
    return commands


def _split(text: str, divider: str) -> list[str]:
    """Split at every `divider` that is not behind a backslash."""
    parts = [""]
    escaped = False
    for char in text:
        if char == divider and not escaped:
            parts.append("")
            continue
        parts[-1] += char
        escaped = char == "\\" and not escaped
    return parts


def _plain(word: str) -> str:
    """A word without its backslashes."""
    plain = ""
    escaped = False
    for char in word:
        if char == "\\" and not escaped:
            escaped = True
            continue
        plain += char
        escaped = False
    return plain
