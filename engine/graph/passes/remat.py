"""Recomputation: keep a block's input instead of its activations.

Whatever the backward pass reads of a block's forward pass is computed again, from the
tensors that enter the block, right before it is needed. Memory falls from all blocks'
activations to one block's; a step costs one more forward pass.
Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016
(arXiv 1604.06174).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.graph.node import Node, Tensor, topological
from engine.graph.passes.rewrite import scope_of, with_inputs

_BLOCK = re.compile(r"(block\.\d+)(\.|$)")


def block_of(node: Node) -> str:
    """The block whose forward pass the node belongs to, or ""."""
    match = _BLOCK.match(node.scope)
    return match.group(1) if match and node.stage == 0 else ""


def recompute_blocks(outputs: Sequence[Tensor]) -> list[Tensor]:
    """`outputs` over a graph whose backward pass reads recomputed activations.

    Blocks are the scopes "block.N"; nodes outside them are kept as they are. Random
    masks are functions of their counter, so that they come out the same again.
    """
    return _Recomputation().run(outputs)


class _Recomputation:
    def __init__(self) -> None:
        self.table: dict[Tensor, Tensor] = {}
        self.again: dict[Tensor, Tensor] = {}

    def run(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        for node in topological(outputs):
            inputs = [self._input(node, tensor) for tensor in node.inputs]
            new = with_inputs(node, inputs)
            self.table.update(zip(node.outputs(), new.outputs(), strict=True))
        return [self.table[tensor] for tensor in outputs]

    def _input(self, reader: Node, tensor: Tensor) -> Tensor:
        block = block_of(tensor.node)
        if reader.stage == 0 or not block:
            return self.table[tensor]
        return self._recomputed(tensor, block)

    def _recomputed(self, tensor: Tensor, block: str) -> Tensor:
        """The tensor made anew from what enters its block."""
        stack = [tensor.node]
        while stack:
            node = stack[-1]
            inner = [t.node for t in node.inputs if block_of(t.node) == block]
            missing = [n for n in inner if n.output() not in self.again]
            if node.output() in self.again:
                stack.pop()
            elif missing:
                stack.extend(missing)
            else:
                self._clone(stack.pop(), block)
        return self.again[tensor]

    def _clone(self, node: Node, block: str) -> None:
        inputs = [
            self.again[t] if block_of(t.node) == block else self.table[t]
            for t in node.inputs
        ]
        # The mark keeps a clone apart from its original, whose equal it is.
        with scope_of(node):
            clone = Node(node.op, inputs, {**node.attrs, "again": True}, node.specs)
        clone.stage = 1
        self.again.update(zip(node.outputs(), clone.outputs(), strict=True))
