"""Find what makes two runs of the same decisions differ: orders that nobody has chosen.

Reads syntax trees and looks for iteration over sets (whose order depends on string hashing, which
differs from process to process), and for `id()` and `hash()`. What is a set is told from literals,
calls, operators, and from names and attributes annotated or assigned as one; it is not type
inference, so a set that comes out of an unannotated call goes unseen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

# Where the order of what goes in does not show in what comes out.
ORDER_BLIND = {"sorted", "set", "frozenset", "len", "min", "max", "sum", "any", "all"}
ORDER_BLIND_METHODS = {"update", "union", "intersection", "difference", "issubset", "issuperset"}
ORDER_BLIND_METHODS |= {"difference_update", "intersection_update", "isdisjoint"}
ORDER_BLIND_METHODS |= {"symmetric_difference", "symmetric_difference_update"}
ORDER_TAKING = {"list", "tuple", "iter", "enumerate", "reversed", "dict", "zip", "map", "filter"}
ORDER_TAKING |= {"deque"}
ORDER_TAKING_METHODS = {"join", "extend", "extendleft", "fromkeys"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_set_annotation(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.BinOp):
        return is_set_annotation(annotation.left) or is_set_annotation(annotation.right)
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    if isinstance(annotation, ast.Attribute):
        return annotation.attr in ("Set", "MutableSet", "AbstractSet")
    return isinstance(annotation, ast.Name) and annotation.id in (
        *("set", "frozenset", "Set", "MutableSet", "AbstractSet"),
    )


def set_attributes(trees: Iterable[ast.Module]) -> frozenset[str]:
    """Attributes annotated as sets in these modules and as nothing else in any of them."""
    sets: set[str] = set()
    others: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
                named = [(ast.unparse(item.target), item.annotation) for item in fields]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
                named = [(node.target.attr, node.annotation)]
            else:
                continue
            for name, annotation in named:
                (sets if is_set_annotation(annotation) else others).add(name)
    return frozenset(sets - others)


def names_in(scope: ast.Module | Function) -> Iterator[ast.AST]:
    """Walk a scope without the functions and classes inside it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


class Scope:
    """What is known to be a set in one function or at the top of one module."""

    def __init__(
        self, scope: ast.Module | Function, outer: frozenset[str], attributes: frozenset[str]
    ):
        self.attributes = attributes
        self.names = outer
        self.nodes = list(names_in(scope))
        arguments = (
            scope.args
            if isinstance(scope, Function)
            else ast.arguments([], [], None, [], [], None, [])
        )
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        sets = {item.arg for item in given if is_set_annotation(item.annotation)}
        self.names = (outer - {item.arg for item in given}) | sets
        for _ in range(
            2
        ):  # twice, since a set may be made from a set that is assigned further down
            for node in self.nodes:
                self._learn(node)

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            known = is_set_annotation(node.annotation)
            self.names = self.names | {node.target.id} if known else self.names - {node.target.id}
        elif isinstance(node, ast.Assign) and self.is_set(node.value):
            self.names |= {item.id for item in node.targets if isinstance(item, ast.Name)}

    def is_set(self, node: ast.expr) -> bool:
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Name(id=name):
                return name in self.names
            case ast.Attribute(attr=name):
                return name in self.attributes
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, SET_OPERATORS):
                return any(self.is_set(side) or is_keys(side) for side in (left, right))
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_set(body) or self.is_set(orelse)
            case ast.Call(func=ast.Name(id=name)):
                return name in ("set", "frozenset")
            case ast.Call(func=ast.Attribute(value=value, attr=name)):
                return (name in SET_METHODS or name == "copy") and self.is_set(value)
        return False

    def faults(self) -> Iterator[str]:
        """Yield "line: what" for each order that nobody has chosen."""
        blind = {id(node) for node in self.nodes for node in order_blind_arguments(node)}
        for node in self.nodes:
            line = getattr(node, "lineno", 0)
            for iterated in iterated_by(node, blind):
                if self.is_set(iterated):
                    yield f"{line}: iterates over the set {ast.unparse(iterated)}; sort it"
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name) and node.func.id in ("id", "hash"):
                    yield f"{line}: calls {node.func.id}(), which differs from run to run"
                if (
                    isinstance(node.func, ast.Attribute)
                    and node.func.attr == "pop"
                    and self.is_set(node.func.value)
                ):
                    yield f"{line}: pops from the set {ast.unparse(node.func.value)}"


def is_keys(node: ast.expr) -> bool:
    """True for `x.keys()`, whose operators make sets."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("keys", "items")
    )


def order_blind_arguments(node: ast.AST) -> list[ast.expr]:
    if not isinstance(node, ast.Call):
        return []
    func = node.func
    if isinstance(func, ast.Name) and func.id in ORDER_BLIND:
        return node.args
    if isinstance(func, ast.Attribute) and func.attr in ORDER_BLIND_METHODS:
        return node.args
    return []


def iterated_by(node: ast.AST, blind: set[int]) -> list[ast.expr]:
    """What this node iterates over in a way that shows the order."""
    match node:
        case ast.For(iter=iterated) | ast.AsyncFor(iter=iterated) | ast.YieldFrom(value=iterated):
            return [iterated]
        case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
            return [] if id(node) in blind else [part.iter for part in node.generators]
        case ast.Starred(value=value):
            return [value]
        case ast.Call(func=ast.Name(id=name), args=args):
            return args if name in ORDER_TAKING and id(node) not in blind else []
        case ast.Call(func=ast.Attribute(attr=name), args=args):
            return args if name in ORDER_TAKING_METHODS else []
    return []


def find_unordered(tree: ast.Module, attributes: frozenset[str] = frozenset()) -> list[str]:
    """Return "line: what" for each place of a module whose outcome may differ from run to run.

    `attributes` are names of attributes known to be sets, from `set_attributes`.
    """
    top = Scope(tree, frozenset(), attributes)
    scopes = [top]
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    scopes += [Scope(node, top.names, attributes) for node in functions]
    faults = {fault for scope in scopes for fault in scope.faults()}
    return sorted(faults, key=lambda fault: int(fault.split(":")[0]))
