"""Which numbers an input may hold if rows of something are found by it.

Kernels trust their indices; a wrong one is refused when it comes in, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from engine.graph.node import Node

_VIEWS = ("reshape", "rows", "split", "broadcast", "transpose")


def _room(node: Node, cache: int, new: int) -> range:
    """Where new rows may begin in a cache."""
    return range(node.inputs[cache].shape[1] - node.inputs[new].shape[1] + 1)


#: op -> the input that indexes, and the numbers it may hold.
_RULES: Mapping[str, tuple[int, Callable[[Node], range]]] = {
    "embedding": (0, lambda node: range(node.inputs[1].shape[0])),
    "embedding_grad": (0, lambda node: range(node.attrs["rows"])),
    "cross_entropy": (1, lambda node: range(-1, node.inputs[0].shape[-1])),
    "cross_entropy_grad": (1, lambda node: range(-1, node.inputs[0].shape[-1])),
    "cache_write": (2, lambda node: _room(node, 0, 1)),
    "attention_cached": (3, lambda node: _room(node, 1, 0)),
}


def index_bounds(nodes: Iterable[Node]) -> dict[str, range]:
    """For each input that indexes, by name: the numbers that all its users can take."""
    bounds: dict[str, range] = {}
    for node in nodes:
        if node.op.name not in _RULES:
            continue
        place, allowed = _RULES[node.op.name]
        source = node.inputs[place].node
        while source.op.name in _VIEWS:
            source = source.inputs[0].node
        if source.op.name == "input":
            name, here = source.attrs["name"], allowed(node)
            known = bounds.get(name, here)
            low, high = max(known.start, here.start), min(known.stop, here.stop)
            bounds[name] = range(low, high)
    return bounds
