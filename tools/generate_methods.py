"""Writes src/rabbitry/wire/methods.py from the official AMQP 0-9-1 XML and RabbitMQ's extensions.

Owns the table of extensions, the names and the defaults; the XML (Debian package amqp-specs) stays
outside the repository. The output needs no formatter: it is what `ruff format` would write.

    python tools/generate_methods.py [--spec PATH] [--output PATH] [--check]

`--check` writes nothing and exits 1 when the committed file differs; 2 means a bad call.
"""

from __future__ import annotations

import argparse
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SPEC = Path("/usr/share/amqp/specs/0-9-1/amqp0-9-1.stripped.xml")
OUTPUT = Path(__file__).resolve().parent.parent / "src/rabbitry/wire/methods.py"

ACCESS_REQUEST = "realm:shortstr exclusive:bit passive:bit active:bit write:bit read:bit"
EXCHANGE_BIND = (
    "reserved-1:short destination:shortstr source:shortstr routing-key:shortstr"
    " no-wait:bit arguments:table"
)

# What RabbitMQ 3.10 adds (https://www.rabbitmq.com/extensions.html, amqp-rabbitmq-0.9.1.json).
EXTENSIONS: list[tuple[str, int, str, int, str]] = [
    ("connection", 10, "blocked", 60, "reason:shortstr"),
    ("connection", 10, "unblocked", 61, ""),
    ("connection", 10, "update-secret", 70, "new-secret:longstr reason:shortstr"),
    ("connection", 10, "update-secret-ok", 71, ""),
    ("access", 30, "request", 10, ACCESS_REQUEST),
    ("access", 30, "request-ok", 11, "ticket:short"),
    ("exchange", 40, "bind", 30, EXCHANGE_BIND),
    ("exchange", 40, "bind-ok", 31, ""),
    ("exchange", 40, "unbind", 40, EXCHANGE_BIND),
    # 51 and not 41: a slip that every broker and client has copied since.
    ("exchange", 40, "unbind-ok", 51, ""),
    ("basic", 60, "nack", 120, "delivery-tag:longlong multiple:bit requeue:bit"),
    ("confirm", 85, "select", 10, "no-wait:bit"),
    ("confirm", 85, "select-ok", 11, ""),
]

# Bits that 0-9-1 reserves and RabbitMQ uses, and names that Python or the class itself has taken.
RENAMED: dict[tuple[str, str], str] = {
    ("exchange.declare", "reserved-2"): "auto_delete",
    ("exchange.declare", "reserved-3"): "internal",
    ("basic.qos", "global"): "global_",
    ("connection.close", "class-id"): "failing_class_id",
    ("connection.close", "method-id"): "failing_method_id",
    ("channel.close", "class-id"): "failing_class_id",
    ("channel.close", "method-id"): "failing_method_id",
    ("basic", "reserved"): "cluster_id",
}

# Defaults that are not the type's nothing; RabbitMQ's, from the same JSON.
DEFAULTS: dict[tuple[str, str], str] = {
    ("connection.start", "version_minor"): "9",
    ("connection.start", "mechanisms"): 'b"PLAIN"',
    ("connection.start", "locales"): 'b"en_US"',
    ("connection.start-ok", "mechanism"): '"PLAIN"',
    ("connection.start-ok", "locale"): '"en_US"',
    ("connection.open", "virtual_host"): '"/"',
    ("exchange.declare", "type"): '"direct"',
    ("access.request", "realm"): '"/data"',
    ("access.request", "passive"): "True",
    ("access.request", "active"): "True",
    ("access.request", "write"): "True",
    ("access.request", "read"): "True",
    ("access.request-ok", "ticket"): "1",
    ("basic.nack", "requeue"): "True",
    ("basic.reject", "requeue"): "True",
}

FORMATS = {"octet": "B", "short": "H", "long": "I", "longlong": "Q", "timestamp": "Q"}
SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8}
STRINGS = {"shortstr": "short_string", "longstr": "long_string", "table": "table"}
PYTHON_TYPES = {
    "bit": "bool",
    "shortstr": "str",
    "longstr": "bytes",
    "table": "dict[str, FieldValue]",
} | dict.fromkeys(FORMATS, "int")
NOTHING = {
    "bit": "False",
    "shortstr": '""',
    "longstr": 'b""',
    "table": "field(default_factory=dict)",
} | dict.fromkeys(FORMATS, "0")


@dataclass(frozen=True)
class Field:
    name: str
    type: str


@dataclass(frozen=True)
class MethodSpec:
    class_id: int
    method_id: int
    name: str
    has_content: bool
    fields: tuple[Field, ...]

    @property
    def python_name(self) -> str:
        return "".join(word.capitalize() for word in self.name.replace(".", "-").split("-"))


@dataclass(frozen=True)
class Group:
    """Fields packed by one struct: (format letter, the fields; more than one only for bits)."""

    members: tuple[tuple[str, tuple[Field, ...]], ...]

    @property
    def letters(self) -> str:
        return "".join(letter for letter, _ in self.members)

    @property
    def size(self) -> int:
        return sum(SIZES[letter] for letter in self.letters)


# --- reading -------------------------------------------------------------------------------------


def read_spec(path: Path) -> tuple[list[MethodSpec], list[Field]]:
    """Every method, by class and method id, and the properties of basic."""
    root = ElementTree.parse(path).getroot()
    domains = {domain.attrib["name"]: domain.attrib["type"] for domain in root.iter("domain")}
    methods: list[MethodSpec] = []
    properties: list[Field] = []
    for klass in root.iter("class"):
        class_name, class_id = klass.attrib["name"], int(klass.attrib["index"])
        if class_name == "basic":
            properties = [read_field(item, "basic", domains) for item in klass.findall("field")]
        for method in klass.findall("method"):
            name = f"{class_name}.{method.attrib['name']}"
            methods.append(
                MethodSpec(
                    class_id,
                    int(method.attrib["index"]),
                    name,
                    method.get("content") == "1",
                    tuple(read_field(item, name, domains) for item in method.findall("field")),
                )
            )
    methods.extend(extensions())
    methods.sort(key=lambda method: (method.class_id, method.method_id))
    return methods, properties


def read_field(item: ElementTree.Element, owner: str, domains: dict[str, str]) -> Field:
    kind = item.get("type") or domains[item.attrib["domain"]]
    return Field(python_field_name(owner, item.attrib["name"]), kind)


def python_field_name(owner: str, name: str) -> str:
    return RENAMED.get((owner, name), name.replace("-", "_"))


def extensions() -> Iterator[MethodSpec]:
    for class_name, class_id, method_name, method_id, fields in EXTENSIONS:
        name = f"{class_name}.{method_name}"
        pairs = [item.split(":") for item in fields.split()]
        yield MethodSpec(
            class_id,
            method_id,
            name,
            False,
            tuple(Field(python_field_name(name, field), kind) for field, kind in pairs),
        )


def layout(fields: tuple[Field, ...]) -> list[Group | Field]:
    """Fields in wire order: numbers and bits side by side share a struct, strings stand alone."""
    parts: list[Group | Field] = []
    members: list[tuple[str, tuple[Field, ...]]] = []
    bits_open = False
    for item in fields:
        if item.type in STRINGS:
            if members:
                parts.append(Group(tuple(members)))
            members, bits_open = [], False
            parts.append(item)
        elif item.type == "bit" and bits_open and len(members[-1][1]) < 8:
            members[-1] = ("B", (*members[-1][1], item))
        else:
            bits_open = item.type == "bit"
            members.append((FORMATS.get(item.type, "B"), (item,)))
    if members:
        parts.append(Group(tuple(members)))
    return parts


# --- writing -------------------------------------------------------------------------------------

HEADER = '''\
"""AMQP 0-9-1 methods and basic's properties <-> bytes. GENERATED: see tools/generate_methods.py.

One class for each method, fields in wire order; `encode` gives the payload of a method frame,
`decode` takes the arguments alone. Owns the layout, not the meaning: reserved fields are carried as
they come. Invariants: what was decoded encodes to the same bytes, but for unused bits; arguments
that are short, or longer than the method, raise `MalformedValue`, as RabbitMQ's generated decoder
has it; a number that does not fit its field raises `ValueError` when encoded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from struct import Struct
from struct import error as StructError
from typing import ClassVar, Self

from rabbitry.wire.values import (
    FieldValue,
    MalformedValue,
    decode_long_string,
    decode_short_string,
    decode_table,
    encode_long_string,
    encode_short_string,
    encode_table,
)

'''

BASE = '''

class UnknownMethod(ValueError):
    """A method frame names a class and method that AMQP 0-9-1 and RabbitMQ do not have."""

    def __init__(self, class_id: int, method_id: int) -> None:
        super().__init__(f"there is no method {class_id}.{method_id}")
        self.class_id = class_id
        self.method_id = method_id


class Method(ABC):
    """What every method has. `name` is AMQP's ("queue.declare")."""

    __slots__ = ()

    class_id: ClassVar[int]
    method_id: ClassVar[int]
    name: ClassVar[str]
    has_content: ClassVar[bool]

    @abstractmethod
    def encode(self) -> bytes:
        """The payload of a method frame: class id, method id, arguments."""

    @classmethod
    @abstractmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        """The method whose arguments are the bytes of `data` from `offset` to the end."""


def decode_method(payload: bytes) -> Method:
    """The method of a frame's payload. Raises `UnknownMethod` or `MalformedValue`."""
    if len(payload) < 4:
        raise MalformedValue("a method frame is too short for a class and a method id")
    class_id, method_id = _HH.unpack_from(payload, 0)
    method = METHODS.get((class_id, method_id))
    if method is None:
        raise UnknownMethod(class_id, method_id)
    return method.decode(payload, 4)


def _trailing(name: str) -> MalformedValue:
    return MalformedValue(f"{name}: bytes follow the arguments")


def _short(name: str) -> MalformedValue:
    return MalformedValue(f"{name}: the arguments end early")


def _unfit(name: str) -> ValueError:
    return ValueError(f"{name}: a number does not fit its field")
'''


def generate(methods: list[MethodSpec], properties: list[Field]) -> str:
    bodies = "".join(method_class(method) for method in methods)
    formats = {"HH"}
    for method in methods:
        parts = layout(method.fields)
        formats.update(part.letters for part in parts if isinstance(part, Group))
        if parts and isinstance(parts[0], Group):
            formats.add("HH" + parts[0].letters)
    formats.update(FORMATS[item.type] for item in properties if item.type in FORMATS)
    structs = "".join(f'_{letters} = Struct(">{letters}")\n' for letters in sorted(formats))
    table = "\n\nMETHODS: dict[tuple[int, int], type[Method]] = {\n"
    table += "".join(f"    ({m.class_id}, {m.method_id}): {m.python_name},\n" for m in methods)
    table += "}\n"
    return HEADER + structs + BASE + bodies + properties_class(properties) + table


def method_class(method: MethodSpec) -> str:
    lines = [
        "",
        "",
        "@dataclass(slots=True)",
        f"class {method.python_name}(Method):",
        f'    """{method.name}"""',
        "",
        f"    class_id: ClassVar[int] = {method.class_id}",
        f"    method_id: ClassVar[int] = {method.method_id}",
        f'    name: ClassVar[str] = "{method.name}"',
        f"    has_content: ClassVar[bool] = {method.has_content}",
        "",
    ]
    for item in method.fields:
        default = DEFAULTS.get((method.name, item.name), NOTHING[item.type])
        lines.append(f"    {item.name}: {PYTHON_TYPES[item.type]} = {default}")
    if method.fields:
        lines.append("")
    lines += ["    def encode(self) -> bytes:", *indent(encode_body(method), 8), ""]
    lines += ["    @classmethod", "    def decode(cls, data: bytes, offset: int) -> Self:"]
    lines += indent(decode_body(method), 8)
    return "\n".join(lines) + "\n"


def indent(lines: list[str], width: int) -> list[str]:
    return [" " * width + line for line in lines]


def encode_body(method: MethodSpec) -> list[str]:
    prefix = method.class_id.to_bytes(2, "big") + method.method_id.to_bytes(2, "big")
    literal = 'b"' + "".join(f"\\x{octet:02x}" for octet in prefix) + '"'
    parts = layout(method.fields)
    if not parts:
        return [f"return {literal}"]
    lines: list[str] = []
    terms: list[str] = []
    for index, part in enumerate(parts):
        if isinstance(part, Field):
            terms.append(f"encode_{STRINGS[part.type]}(self.{part.name})")
            continue
        arguments: list[str] = []
        for number, (_, fields) in enumerate(part.members):
            if fields[0].type == "bit":
                bits = bits_name(index, number, method)
                lines += encode_bits(bits, fields)
                arguments.append(bits)
            else:
                arguments.append(f"self.{fields[0].name}")
        letters = part.letters
        if index == 0:
            letters = "HH" + letters
            arguments = [str(method.class_id), str(method.method_id), *arguments]
        terms.append(f"_{letters}.pack({', '.join(arguments)})")
    if isinstance(parts[0], Field):
        terms.insert(0, literal)
    if len(terms) == 1:
        result = [f"return {terms[0]}"]
    else:
        result = ["return b" + '"".join(', "    (", *(f"        {term}," for term in terms)]
        result += ["    )", ")"]
    if not any(item.type in FORMATS for item in method.fields):
        return lines + result
    guard = ["except StructError:", f"    raise _unfit({quoted(method)}) from None"]
    return [*lines, "try:", *indent(result, 4), *guard]


def bits_name(index: int, number: int, method: MethodSpec) -> str:
    """`bits`, numbered by place only where a method has more than one octet of them."""
    octets = [
        (place, position)
        for place, part in enumerate(layout(method.fields))
        if isinstance(part, Group)
        for position, (_, fields) in enumerate(part.members)
        if fields[0].type == "bit"
    ]
    return "bits" if len(octets) == 1 else f"bits_{octets.index((index, number))}"


def encode_bits(bits: str, fields: tuple[Field, ...]) -> list[str]:
    lines = [f"{bits} = int(self.{fields[0].name})"]
    return lines + [f"{bits} |= self.{f.name} << {n}" for n, f in enumerate(fields) if n]


def decode_body(method: MethodSpec) -> list[str]:
    lines: list[str] = []
    after: list[str] = []
    for index, part in enumerate(layout(method.fields)):
        if isinstance(part, Field):
            lines.append(f"{part.name}, offset = decode_{STRINGS[part.type]}(data, offset)")
            continue
        targets: list[str] = []
        for number, (_, fields) in enumerate(part.members):
            if fields[0].type == "bit":
                bits = bits_name(index, number, method)
                targets.append(bits)
                after += [f"{f.name} = {bits} & {1 << n} != 0" for n, f in enumerate(fields)]
            else:
                targets.append(fields[0].name)
        target = ", ".join(targets) if len(targets) > 1 else f"({targets[0]},)"
        lines.append(f"{target} = _{part.letters}.unpack_from(data, offset)")
        lines.append(f"offset += {part.size}")
    if any("unpack_from" in line for line in lines):
        guard = ["except StructError:", f"    raise _short({quoted(method)}) from None"]
        lines = ["try:", *indent(lines, 4), *guard]
    lines += ["if offset != len(data):", f"    raise _trailing({quoted(method)})", *after]
    if not method.fields:
        return [*lines, "return cls()"]
    return [*lines, "return cls(", *(f"    {item.name}," for item in method.fields), ")"]


def quoted(method: MethodSpec) -> str:
    return f'"{method.name}"'


PROPERTIES_DOCUMENTATION = '''\
    """The properties of a message; None where the flag says absent.

    RabbitMQ ignores the flag bit that basic does not define, and so do we. Further flag words are
    refused, by it where they follow and by us where they are announced: basic has nothing in them.
    """
'''


def properties_class(properties: list[Field]) -> str:
    lines = ["", "", "@dataclass(slots=True)", "class BasicProperties:"]
    lines += PROPERTIES_DOCUMENTATION.splitlines()
    lines.append("")
    lines += [f"    {item.name}: {PYTHON_TYPES[item.type]} | None = None" for item in properties]
    lines += ["", "    def encode(self) -> bytes:"]
    lines.append('        """Flags and values, as they stand in a content header."""')
    body = ["flags = 0", 'parts = [b""]']
    for index, item in enumerate(properties):
        if item.type in FORMATS:
            value = f"_{FORMATS[item.type]}.pack(self.{item.name})"
        else:
            value = f"encode_{STRINGS[item.type]}(self.{item.name})"
        body.append(f"if self.{item.name} is not None:")
        body += [f"    flags |= 0x{1 << (15 - index):04X}", f"    parts.append({value})"]
    body += ["parts[0] = _H.pack(flags)", 'return b"".join(parts)']
    lines += ["        try:", *indent(body, 12), "        except StructError:"]
    lines.append('            raise _unfit("the properties of basic") from None')
    lines += ["", "    @classmethod"]
    lines.append("    def decode(cls, data: bytes, offset: int) -> tuple[BasicProperties, int]:")
    lines.append('        """The properties at `offset` of `data`, and the offset behind them."""')
    body = ["(flags,) = _H.unpack_from(data, offset)", "offset += 2", "if flags & 1:"]
    body += ['    raise MalformedValue("further property flags, which basic does not have")']
    body += ["properties = cls()"]
    for index, item in enumerate(properties):
        target = f"properties.{item.name}"
        body.append(f"if flags & 0x{1 << (15 - index):04X}:")
        if item.type in FORMATS:
            letter = FORMATS[item.type]
            body.append(f"    ({target},) = _{letter}.unpack_from(data, offset)")
            body.append(f"    offset += {SIZES[letter]}")
        else:
            body.append(f"    {target}, offset = decode_{STRINGS[item.type]}(data, offset)")
    lines += ["        try:", *indent(body, 12), "        except StructError:"]
    lines.append('            raise _short("the properties of basic") from None')
    lines.append("        return properties, offset")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Generate src/rabbitry/wire/methods.py.")
    parser.add_argument("--spec", type=Path, default=SPEC, help=f"the AMQP XML (default {SPEC})")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="what to write or compare")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if different")
    options = parser.parse_args(arguments)
    try:
        methods, properties = read_spec(options.spec)
    except (OSError, ElementTree.ParseError) as error:
        print(f"{options.spec}: {error}; install amqp-specs or give --spec", file=sys.stderr)
        return 2
    text = generate(methods, properties)
    if not options.check:
        options.output.write_text(text, encoding="utf-8")
        return 0
    committed = options.output.read_text(encoding="utf-8") if options.output.exists() else ""
    if committed == text:
        return 0
    print(
        f"{options.output}: not what {options.spec} gives; run tools/generate_methods.py",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
