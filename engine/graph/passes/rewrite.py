"""The one loop behind every rewrite: visit nodes in order, replace their outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.graph.node import Node, Tensor, scope_as, stage, topological

#: From a node and its rewritten inputs to what replaces its outputs.
Replace = Callable[[Node, tuple[Tensor, ...]], Sequence[Tensor]]


def with_inputs(node: Node, inputs: Sequence[Tensor]) -> Node:
    """`node` itself if `inputs` are its own, else its like on other inputs."""
    if tuple(inputs) == node.inputs:
        return node
    with scope_of(node):
        return Node(node.op, inputs, node.attrs, node.specs)


class scope_of:
    """New nodes made inside belong where `node` belongs."""

    def __init__(self, node: Node) -> None:
        self._scope = scope_as(node.scope)
        self._stage = stage(node.stage)

    def __enter__(self) -> None:
        self._scope.__enter__()
        self._stage.__enter__()

    def __exit__(self, *exc: object) -> None:
        self._stage.__exit__()
        self._scope.__exit__()


def rebuild(outputs: Sequence[Tensor], replace: Replace) -> list[Tensor]:
    """`outputs` over a graph in which every node went through `replace`."""
    table: dict[Tensor, Tensor] = {}
    for node in topological(outputs):
        inputs = tuple(table[tensor] for tensor in node.inputs)
        new = replace(node, inputs)
        table.update(zip(node.outputs(), new, strict=True))
    return [table[tensor] for tensor in outputs]
