"""Definitions in RabbitMQ's JSON: the whole of what is declared, as a file.

`read_definitions` makes of a file the requests that carry it out, in the order that they need, each
with the place of its entry for whoever has to mend the file; `definitions_of` writes a catalog.
What is carried out and what refused is judged as for any operator (`operator_desk.judge_all`), all
of it or nothing.

What `rabbitmqctl export_definitions` of RabbitMQ 3.10 writes is read as it is: where Erlang's
encoder makes an array of pairs of what was meant as an object, it is taken for one; tags may be an
array or a text with commas. Operator policies are parameters of the component `operator_policy`
there, and in what is written here. Integers of arguments become signed 64-bit ones, as in RabbitMQ.

RabbitMQ: rabbit_definitions.erl; rabbit_misc.erl to_amqp_table/1, amqp_table/1.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from rabbitry import __version__
from rabbitry.broker.exchanges import EXCHANGE_TYPES
from rabbitry.broker.passwords import DEFAULT_ALGORITHM, hash_password
from rabbitry.broker.queue_arguments import check_arguments
from rabbitry.cluster.access_records import (
    AddVirtualHost,
    PolicySet,
    SetParameter,
    SetPermissions,
    SetPolicy,
    SetTopicPermissions,
    SetUser,
)
from rabbitry.cluster.catalog import Catalog, VirtualHost, is_predeclared
from rabbitry.cluster.records import Bind, DeclareExchange, DeclareQueue, Request
from rabbitry.wire.values import FieldValue, SignedLong, decode_table, encode_table

LEGACY_ALGORITHM: Final = "rabbit_password_hashing_md5"
_BEFORE_3_6: Final = ("1.", "2.", *(f"3.{minor}." for minor in range(6)))


class DefinitionsMistake(ValueError):
    """The file is not what it should be; the text says where and what, in one line."""


class Entry(NamedTuple):
    """A request, and where in the file it comes from: `queues[3] ('orders')`."""

    place: str
    request: Request


def read_definitions(text: bytes, new_salt: Callable[[], bytes]) -> list[Entry]:
    """Return what a file asks for. Raises `DefinitionsMistake`.

    `new_salt` gives four unpredictable bytes, for users whose password the file tells in clear.
    """
    try:
        whole = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DefinitionsMistake(f"not JSON: {error}") from None
    if not isinstance(whole, dict):
        raise DefinitionsMistake("not definitions: a JSON object is wanted")
    # Before 3.6 all hashes were MD5, and the file did not say so.
    legacy = str(whole.get("rabbit_version", "")).startswith(_BEFORE_3_6)

    def user(entry: _Object) -> Request:
        return _user(entry, LEGACY_ALGORITHM if legacy else DEFAULT_ALGORITHM, new_salt)

    readers: list[tuple[str, Callable[[_Object], Request]]] = [
        ("vhosts", _virtual_host),
        ("users", user),
        ("permissions", _permissions),
        ("topic_permissions", _topic_permissions),
        ("global_parameters", _global_parameter),
        ("parameters", _parameter),
        ("policies", _policy),
        ("exchanges", _exchange),
        ("queues", _queue),
        ("bindings", _binding),
    ]
    entries: list[Entry] = []
    for section, read in readers:
        entries += [Entry(entry.place, read(entry)) for entry in _section(whole, section)]
    # Limits last: they are for what comes later, not for what the file itself declares.
    limits = [one for one in entries if _is_limit(one.request)]
    return [*(one for one in entries if not _is_limit(one.request)), *limits]


def _is_limit(request: Request) -> bool:
    return isinstance(request, SetParameter) and request.component == "vhost-limits"


# --- reading --------------------------------------------------------------------------------------


class _Object:
    """One entry of the file, and where it is."""

    def __init__(self, place: str, fields: dict[str, Any]) -> None:
        self.place = place
        self.fields = fields

    def mistake(self, what: str) -> DefinitionsMistake:
        return DefinitionsMistake(f"{self.place}: {what}")

    def text(self, name: str, default: str | None = None) -> str:
        value = self.fields.get(name, default)
        if value is None:
            raise self.mistake(f"'{name}' is missing")
        if not isinstance(value, str):
            raise self.mistake(f"'{name}' is not a text")
        return value

    def flag(self, name: str) -> bool:
        value = self.fields.get(name, False)
        if not isinstance(value, bool):
            raise self.mistake(f"'{name}' is neither true nor false")
        return value

    def number(self, name: str) -> int:
        value = self.fields.get(name, 0)
        if type(value) is not int:
            raise self.mistake(f"'{name}' is not an integer")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value = _as_mapping(self.fields.get(name, {}))
        if value is None:
            raise self.mistake(f"'{name}' is not an object")
        return value

    def words(self, name: str, value: object) -> list[str]:
        if isinstance(value, str):
            return [word for word in (one.strip() for one in value.split(",")) if word]
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return value
        raise self.mistake(f"'{name}' are not texts")

    def arguments(self) -> bytes:
        table = {name: _to_amqp(value) for name, value in self.mapping("arguments").items()}
        try:
            return encode_table(table) if table else b""
        except (ValueError, OverflowError, UnicodeEncodeError) as error:
            raise self.mistake(f"'arguments' cannot be told in AMQP: {error}") from None


def _as_mapping(value: object) -> dict[str, Any] | None:
    """Return an object, also where Erlang wrote it as an array of pairs."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and all(
        isinstance(one, list) and len(one) == 2 and isinstance(one[0], str) for one in value
    ):
        return dict(value)
    return None


def _section(whole: dict[str, Any], section: str) -> Iterator[_Object]:
    entries = whole.get(section, [])
    if not isinstance(entries, list):
        raise DefinitionsMistake(f"{section}: an array is wanted")
    for index, fields in enumerate(entries):
        place = f"{section}[{index}]"
        if not isinstance(fields, dict):
            raise DefinitionsMistake(f"{place}: an object is wanted")
        name = fields.get("name", fields.get("user", fields.get("source")))
        yield _Object(f"{place} ('{name}')" if isinstance(name, str) else place, fields)


def _virtual_host(entry: _Object) -> Request:
    metadata = entry.mapping("metadata")
    description = metadata.pop("description", entry.fields.get("description", ""))
    if not isinstance(description, str):
        raise entry.mistake("'description' is not a text")
    tags = entry.words("tags", metadata.pop("tags", entry.fields.get("tags", [])))
    rest = msgspec.json.encode(metadata) if metadata else b""
    return AddVirtualHost(entry.text("name"), description, tags, rest)


def _user(entry: _Object, algorithm: str, new_salt: Callable[[], bytes]) -> Request:
    algorithm = entry.text("hashing_algorithm", algorithm)
    if "password" in entry.fields:
        algorithm = DEFAULT_ALGORITHM
        password_hash = hash_password(entry.text("password").encode(), new_salt(), algorithm)
    else:
        encoded = entry.text("password_hash")
        try:
            password_hash = b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise entry.mistake("'password_hash' is not base64") from None
    tags = entry.words("tags", entry.fields.get("tags", []))
    limits = entry.mapping("limits")
    if not all(type(limit) is int for limit in limits.values()):
        raise entry.mistake("'limits' are not numbers by name")
    return SetUser(entry.text("name"), password_hash, algorithm, tags, limits)


def _permissions(entry: _Object) -> Request:
    patterns = (entry.text(name) for name in ("configure", "write", "read"))
    return SetPermissions(entry.text("user"), entry.text("vhost"), *patterns)


def _topic_permissions(entry: _Object) -> Request:
    return SetTopicPermissions(
        entry.text("user"),
        entry.text("vhost"),
        entry.text("exchange"),
        entry.text("write"),
        entry.text("read"),
    )


def _global_parameter(entry: _Object) -> Request:
    return SetParameter("", "", entry.text("name"), msgspec.json.encode(entry.fields.get("value")))


def _parameter(entry: _Object) -> Request:
    host, component, name = (entry.text(one) for one in ("vhost", "component", "name"))
    if component == "operator_policy":
        policy = _Object(entry.place, {**entry.mapping("value"), "vhost": host, "name": name})
        return _policy(policy, operator=True)
    value = entry.fields.get("value")
    mapping = _as_mapping(value)
    return SetParameter(
        host, component, name, msgspec.json.encode(value if mapping is None else mapping)
    )


def _policy(entry: _Object, operator: bool = False) -> Request:
    definition = entry.mapping("definition")
    for key, value in definition.items():
        texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if not (texts or isinstance(value, bool | int | str)):
            raise entry.mistake(f"'{key}' in 'definition' is of no type that policies have")
    return SetPolicy(
        entry.text("vhost"),
        entry.text("name"),
        operator,
        entry.text("pattern"),
        entry.text("apply-to", "all"),
        entry.number("priority"),
        definition,
    )


def _exchange(entry: _Object) -> Request:
    kind = entry.text("type")
    if kind not in EXCHANGE_TYPES:
        raise entry.mistake(f"unknown exchange type '{kind}'")
    name = entry.text("name")
    if not name:
        raise entry.mistake("the default exchange cannot be declared")
    return DeclareExchange(
        entry.text("vhost"),
        name,
        kind,
        entry.flag("durable"),
        entry.flag("auto_delete"),
        entry.flag("internal"),
        entry.arguments(),
    )


def _queue(entry: _Object) -> Request:
    kind = entry.text("type", "classic")
    arguments = entry.mapping("arguments")
    if kind != "classic":
        arguments.setdefault("x-queue-type", kind)
        entry.fields["arguments"] = arguments
    if arguments.get("x-queue-type") == "stream":
        raise entry.mistake("queues of type 'stream' are not to be had here")
    name, host = entry.text("name"), entry.text("vhost")
    if not name:
        raise entry.mistake("the name of a queue cannot be empty")
    encoded = entry.arguments()
    table = decode_table(encoded, 0)[0] if encoded else {}
    mistake = check_arguments(f"queue '{name}' in vhost '{host}'", table)
    if mistake is not None:
        raise entry.mistake(mistake)
    return DeclareQueue(host, name, entry.flag("durable"), entry.flag("auto_delete"), "", encoded)


def _binding(entry: _Object) -> Request:
    kind = entry.text("destination_type")
    if kind not in ("queue", "exchange"):
        raise entry.mistake("'destination_type' is neither 'queue' nor 'exchange'")
    source = entry.text("source")
    if not source:
        raise entry.mistake("the default exchange cannot be bound")
    return Bind(
        entry.text("vhost"),
        source,
        kind,
        entry.text("destination"),
        entry.text("routing_key"),
        entry.arguments(),
    )


def _to_amqp(value: Any) -> FieldValue:
    if isinstance(value, dict):
        return {name: _to_amqp(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_to_amqp(inner) for inner in value]
    if type(value) is int:
        return SignedLong(value)
    result: FieldValue = value
    return result


# --- writing --------------------------------------------------------------------------------------


def definitions_of(catalog: Catalog) -> dict[str, Any]:
    """Return the definitions of all that lasts: everything but exclusive queues."""
    hosts = catalog.virtual_hosts.values()
    access = catalog.access
    return {
        "rabbit_version": "3.10.8",  # whose form this has
        "rabbitry_version": __version__,
        "users": [
            {
                "name": user.name,
                "password_hash": b64encode(user.password_hash).decode(),
                "hashing_algorithm": user.hashing_algorithm,
                "tags": list(user.tags),
                "limits": user.limits,
            }
            for user in access.users.values()
        ],
        "vhosts": [_written_host(host) for host in hosts],
        "permissions": [
            {
                "user": user,
                "vhost": host,
                "configure": found.configure,
                "write": found.write,
                "read": found.read,
            }
            for (user, host), found in access.permissions.items()
        ],
        "topic_permissions": [
            {
                "user": user,
                "vhost": host,
                "exchange": exchange,
                "write": found.write,
                "read": found.read,
            }
            for (user, host, exchange), found in access.topic_permissions.items()
        ],
        "parameters": list(_written_parameters(catalog)),
        "global_parameters": [
            {"name": name, "value": msgspec.json.decode(value)}
            for (_, component, name), value in catalog.parameters.items()
            if not component
        ],
        "policies": [
            {"vhost": host.name, "name": policy.name, **_written_policy(policy)}
            for host in hosts
            for policy in host.policies.values()
            if not policy.operator
        ],
        "queues": [one for host in hosts for one in _written_queues(host)],
        "exchanges": [one for host in hosts for one in _written_exchanges(host)],
        "bindings": [one for host in hosts for one in _written_bindings(host)],
    }


def _written_host(host: VirtualHost) -> dict[str, Any]:
    rest = msgspec.json.decode(host.added.metadata) if host.added.metadata else {}
    metadata = {"description": host.added.description, "tags": host.added.tags, **rest}
    return {"name": host.name, "metadata": metadata}


def _written_parameters(catalog: Catalog) -> Iterator[dict[str, Any]]:
    for (host, component, name), value in catalog.parameters.items():
        if component:
            decoded = msgspec.json.decode(value)
            yield {"vhost": host, "component": component, "name": name, "value": decoded}
    for one in catalog.virtual_hosts.values():
        for policy in one.policies.values():
            if policy.operator:
                yield {
                    "vhost": one.name,
                    "component": "operator_policy",
                    "name": policy.name,
                    "value": _written_policy(policy),
                }


def _written_policy(policy: PolicySet) -> dict[str, Any]:
    return {
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "priority": policy.priority,
        "definition": policy.definition,
    }


def _written_queues(host: VirtualHost) -> Iterator[dict[str, Any]]:
    for entry in host.queues.values():
        declared = entry.declared
        if not declared.owner:
            yield {
                "vhost": host.name,
                "name": declared.name,
                "type": entry.settings.kind,
                "durable": declared.durable,
                "auto_delete": declared.auto_delete,
                "arguments": _written_arguments(declared.arguments),
            }


def _written_exchanges(host: VirtualHost) -> Iterator[dict[str, Any]]:
    for exchange in host.exchanges.values():
        if not is_predeclared(exchange.name):
            yield {
                "vhost": host.name,
                "name": exchange.name,
                "type": exchange.kind,
                "durable": exchange.durable,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": _written_arguments(exchange.arguments),
            }


def _written_bindings(host: VirtualHost) -> Iterator[dict[str, Any]]:
    for exchange in host.exchanges.values():
        for binding in exchange.bindings if exchange.name else ():
            kind, name = binding.destination
            if kind == "queue" and host.queues[name].declared.owner:
                continue
            yield {
                "vhost": host.name,
                "source": exchange.name,
                "destination": name,
                "destination_type": kind,
                "routing_key": binding.routing_key,
                "arguments": _written_arguments(binding.arguments),
            }


def _written_arguments(encoded: bytes) -> dict[str, Any]:
    if not encoded:
        return {}
    return {name: _from_amqp(value) for name, value in decode_table(encoded, 0)[0].items()}


def _from_amqp(value: FieldValue) -> Any:
    if isinstance(value, dict):
        return {name: _from_amqp(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_from_amqp(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, str | bool):
        return value
    return int(value) if isinstance(value, int) else float(value)
