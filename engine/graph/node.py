"""The graph: nodes in SSA form, and tensors as handles to their outputs.

A node is an operation applied to tensors; a tensor is one output of one node. Nodes
are immutable and numbered as they are made, so that the number is a topological
order. Nothing is computed here, and nothing here knows a device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from engine.errors import GraphError

if TYPE_CHECKING:
    from engine.graph.table import Op

Shape = tuple[int, ...]
Scalar = int | float

_ids = itertools.count()


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape and element type (a NumPy name) of a tensor."""

    shape: Shape
    dtype: str = "float32"

    @property
    def size(self) -> int:
        return prod(self.shape)


class Node:
    """One operation: its row of the op table, its inputs, attributes and outputs.

    `scope` names the part of the model that made it ("block.3"); recomputation and
    traces go by it. `stage` is 0 in the forward pass and 1 in the backward pass.
    """

    __slots__ = ("attrs", "id", "inputs", "op", "scope", "specs", "stage")

    def __init__(
        self,
        op: Op,
        inputs: Sequence[Tensor],
        attrs: Mapping[str, Any],
        specs: Sequence[Spec],
    ) -> None:
        self.id = next(_ids)
        self.op = op
        self.inputs = tuple(inputs)
        self.attrs = MappingProxyType(dict(attrs))
        self.specs = tuple(specs)
        self.scope = current_scope()
        self.stage = _context.stage

    def output(self, index: int = 0) -> Tensor:
        return Tensor(self, index)

    def outputs(self) -> list[Tensor]:
        return [Tensor(self, index) for index in range(len(self.specs))]

    def __repr__(self) -> str:
        shapes = ", ".join(str(spec.shape) for spec in self.specs)
        inputs = ", ".join(f"%{t.node.id}.{t.index}" for t in self.inputs)
        return f"%{self.id} = {self.op.name}({inputs}) -> {shapes}"


class _Context:
    """Where nodes made now belong: the stack of scopes, and the stage."""

    def __init__(self) -> None:
        self.scopes: list[str] = []
        self.stage = 0


_context = _Context()


def current_scope() -> str:
    """The name that nodes made now get: the open scopes, joined by dots."""
    return ".".join(_context.scopes)


class scope:
    """`with scope("block.3"):` names the nodes made inside."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        _context.scopes.append(self.name)

    def __exit__(self, *exc: object) -> None:
        _context.scopes.pop()


class scope_as(scope):
    """`with scope_as(name):` names the nodes made inside so, whatever is open."""

    def __enter__(self) -> None:
        self.before = _context.scopes
        _context.scopes = [self.name] if self.name else []

    def __exit__(self, *exc: object) -> None:
        _context.scopes = self.before


class stage:
    """`with stage(1):` marks the nodes made inside as the backward pass."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.before = 0

    def __enter__(self) -> None:
        self.before, _context.stage = _context.stage, self.number

    def __exit__(self, *exc: object) -> None:
        _context.stage = self.before


class Tensor:
    """Output `index` of `node`. Operators build nodes; nothing is computed.

    Two handles to the same output are equal and hash alike.
    """

    __slots__ = ("index", "node")

    def __init__(self, node: Node, index: int = 0) -> None:
        self.node = node
        self.index = index

    @property
    def spec(self) -> Spec:
        return self.node.specs[self.index]

    @property
    def shape(self) -> Shape:
        return self.spec.shape

    @property
    def dtype(self) -> str:
        return self.spec.dtype

    @property
    def size(self) -> int:
        return self.spec.size

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Tensor)
            and self.node is other.node
            and self.index == other.index
        )

    def __hash__(self) -> int:
        return hash((self.node.id, self.index))

    def __repr__(self) -> str:
        return f"Tensor(%{self.node.id}.{self.index}, {self.shape}, {self.dtype})"

    def __add__(self, other: Tensor | Scalar) -> Tensor:
        return apply("add", self, as_tensor(other, self.dtype))

    def __radd__(self, other: Scalar) -> Tensor:
        return apply("add", as_tensor(other, self.dtype), self)

    def __sub__(self, other: Tensor | Scalar) -> Tensor:
        return apply("sub", self, as_tensor(other, self.dtype))

    def __rsub__(self, other: Scalar) -> Tensor:
        return apply("sub", as_tensor(other, self.dtype), self)

    def __mul__(self, other: Tensor | Scalar) -> Tensor:
        return apply("mul", self, as_tensor(other, self.dtype))

    def __rmul__(self, other: Scalar) -> Tensor:
        return apply("mul", as_tensor(other, self.dtype), self)

    def __truediv__(self, other: Tensor | Scalar) -> Tensor:
        return apply("div", self, as_tensor(other, self.dtype))

    def __rtruediv__(self, other: Scalar) -> Tensor:
        return apply("div", as_tensor(other, self.dtype), self)

    def __neg__(self) -> Tensor:
        return apply("neg", self)


def apply_node(op_name: str, /, *inputs: Tensor, **attrs: Any) -> Node:
    """Make the node of op `op_name`; its shape rule checks the inputs (GraphError)."""
    from engine.graph.table import ops

    op = ops.get(op_name)
    return Node(op, inputs, attrs, op.infer(inputs, attrs))


def apply(op_name: str, /, *inputs: Tensor, **attrs: Any) -> Tensor:
    """The first output of a new node of op `op_name`."""
    return apply_node(op_name, *inputs, **attrs).output()


def as_tensor(value: Tensor | Scalar, dtype: str) -> Tensor:
    """A Python number as a constant of shape (); a tensor as it is."""
    if isinstance(value, Tensor):
        return value
    return apply("constant", value=float(value), dtype=dtype)


def constant_value(tensor: Tensor) -> float | None:
    """The number a constant holds, or None for any other tensor."""
    if tensor.node.op.name == "constant":
        return float(tensor.node.attrs["value"])
    return None


def topological(outputs: Iterable[Tensor]) -> list[Node]:
    """Every node that `outputs` need, each after its inputs."""
    found: dict[int, Node] = {}
    stack = [tensor.node for tensor in outputs]
    while stack:
        node = stack.pop()
        if node.id not in found:
            found[node.id] = node
            stack.extend(tensor.node for tensor in node.inputs)
    return [found[key] for key in sorted(found)]


def broadcast_shapes(a: Shape, b: Shape, name: str) -> Shape:
    """NumPy's broadcasting rule; GraphError names op and shapes if it fails."""
    out = []
    for i in range(1, max(len(a), len(b)) + 1):
        x = a[-i] if i <= len(a) else 1
        y = b[-i] if i <= len(b) else 1
        if x != y and 1 not in (x, y):
            raise GraphError(f"{name}: shapes {a} and {b} do not broadcast")
        out.append(max(x, y) if 0 not in (x, y) else 0)
    return tuple(reversed(out))
