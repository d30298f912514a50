"""From a graph with outputs and assignments to phases of tasks over one arena."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Assign
from engine.backends.numpy import emit, onerow, singles
from engine.backends.numpy.assigns import (
    Addition,
    Planner,
    cache_writes_in_place,
    contributions,
    own_memory,
)
from engine.backends.numpy.bounds import index_bounds
from engine.backends.numpy.copies import readable
from engine.backends.numpy.crew import Task
from engine.backends.numpy.kernels import attention, masks, products, rows
from engine.backends.numpy.memory import Memory, allocate, partial_name
from engine.backends.numpy.refs import LEAVES, References
from engine.backends.numpy.schedule import (
    Deliver,
    Finish,
    Item,
    Region,
    Scheduler,
    Single,
    phases,
)
from engine.backends.numpy.shared import shared_zeros
from engine.graph.node import Node, Tensor, topological
from engine.graph.passes import simplify
from engine.graph.plan import MemoryPlan

Array = NDArray[Any]

#: Operations of a matrix product that take as long as one element of anything else.
PASS = 16

#: NumPy's functions that a program's text calls.
_UFUNCS = (
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "negative"),
    *("exp", "log", "tanh", "sqrt", "reciprocal", "absolute", "sign", "sin", "cos"),
    *("greater", "copyto", "matmul", "dot"),
)

_NAMES: dict[str, Any] = {name: getattr(np, name) for name in _UFUNCS} | {
    "add_reduce": np.add.reduce,
    "product_one_by_one": products.one_by_one,
    "product_turned": products.turned,
    "row_sums": rows.row_sums,
    "layer_norm": rows.layer_norm,
    "rms_norm": rows.rms_norm,
    "layer_norm_grad": rows.layer_norm_grad,
    "softmax": rows.softmax,
    "softmax_grad": rows.softmax_grad,
    "cross_entropy": rows.cross_entropy,
    "cross_entropy_grad": rows.cross_entropy_grad,
    "embedding": rows.embedding,
    "rotary": rows.rotary,
    "dropout_mask": masks.dropout_mask,
    "attention": attention.attention,
    "attention_grad": attention.attention_grad,
}


@dataclass
class Flag:
    """Whether the run under way accumulates; every worker reads it."""

    cell: Array = field(default_factory=lambda: shared_zeros((1,), "int64"))

    @property
    def value(self) -> bool:
        return bool(self.cell[0])

    @value.setter
    def value(self, holds: bool) -> None:
        self.cell[0] = holds


@dataclass
class Lowered:
    """All that a program needs to run.

    source  the text of its regions
    work    what a run costs, in operations of a matrix product
    bounds  for inputs that index: the numbers they may hold
    """

    phases: list[list[Task]]
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    flag: Flag
    plan: MemoryPlan
    source: str
    work: float
    bounds: dict[str, range]


def lower(
    outputs: Mapping[str, Tensor],
    assigns: Sequence[Assign],
    buffers: Mapping[str, Array],
    threads: int,
) -> Lowered:
    """Compile. `buffers` are the store's flat arrays by name."""
    parts = contributions(assigns)
    values = simplify([*outputs.values(), *(part.value for part in parts)])
    shown = values[: len(outputs)]
    if assigns:
        shown = [own_memory(tensor) for tensor in shown]
    final = [own_memory(tensor) for tensor in values[len(outputs) :]]
    values = readable([*shown, *final])
    shown, final = values[: len(shown)], values[len(shown) :]
    parts = [replace(p, value=v) for p, v in zip(parts, final, strict=True)]
    nodes = topological([*shown, *final])
    refs = References(nodes, cache_writes_in_place(nodes, parts))
    delivery = Planner(nodes, refs, parts, shown).run()
    items = Scheduler(refs, delivery.direct).run(nodes, delivery.late)
    groups = phases(items)
    memory = Memory(refs, delivery.direct, buffers, shown, dict(_NAMES))
    memory.bind_leaves(nodes)
    memory.place(groups)
    builder = _Builder(memory, threads, Flag())
    tasks = builder.build(groups)
    return Lowered(
        tasks,
        memory.inputs,
        {n: memory.array(t) for n, t in zip(outputs, shown, strict=True)},
        builder.flag,
        MemoryPlan(
            state=sum(array.nbytes for array in buffers.values()),
            arena=memory.arena_bytes,
            scratch=sum(array.nbytes for array in builder.scratch),
            inputs=sum(array.nbytes for array in memory.inputs.values()),
        ),
        "\n".join(builder.sources),
        float(sum(effort(node) for node in nodes)),
        index_bounds(nodes),
    )


class _Builder:
    """Makes the tasks of scheduled items."""

    def __init__(self, memory: Memory, threads: int, flag: Flag) -> None:
        self.memory = memory
        self.threads = threads
        self.flag = flag
        self.sources: list[str] = []
        self.scratch: list[Array] = []
        self._codes: dict[int, emit.Code] = {}

    def build(self, groups: Sequence[Sequence[Item]]) -> list[list[Task]]:
        needs = [0]
        for item in (item for group in groups for item in group):
            if isinstance(item, Region):
                self._codes[id(item)] = self._emit(item)
                needs.append(self._codes[id(item)].scratch_bytes)
            elif isinstance(item, Single):
                needs.append(singles.scratch_bytes(item.node))
        self.scratch = [allocate(max(needs)) for _ in range(self.threads)]
        return [self._phase(group) for group in groups]

    def _phase(self, items: Sequence[Item]) -> list[Task]:
        """The tasks of a phase, the longest first: short ones even out its end."""
        made = [(_work(item), self._tasks(item)) for item in items]
        made.sort(key=lambda entry: -entry[0] / max(1, len(entry[1])))
        return [task for _, tasks in made for task in tasks]

    def _emit(self, region: Region) -> emit.Code:
        memory, name = self.memory, f"region_{len(self._codes)}"
        bind = emit.Bindings(
            memory.row_name, memory.whole_name, partial_name, memory.is_local
        )
        emitter = onerow.RowEmitter if onerow.takes(region) else emit.RegionEmitter
        code = emitter(region, memory.refs, bind, name).emit()
        memory.space.update(code.constants)
        self.sources.append(code.source)
        exec(compile(code.source, f"<{name}>", "exec"), memory.space)
        return code

    def _tasks(self, item: Item) -> list[Task]:
        if isinstance(item, Region):
            return self._region(self._codes[id(item)])
        if isinstance(item, Finish):
            return [self._finish(item.tensor)]
        if isinstance(item, Deliver):
            return [self._deliver(item.assign)]
        assert isinstance(item, Single)
        context = singles.Context(
            [self.memory.array(tensor) for tensor in item.node.inputs],
            [self.memory.array(tensor) for tensor in item.node.outputs()],
            self._accumulates(item.node.output()),
            self.scratch.__getitem__,
        )
        return singles.tasks(item.node, context)

    def _accumulates(self, tensor: Tensor) -> Callable[[], bool]:
        """Whether a task has to add to what its output holds, asked at every run."""
        assign = self.memory.direct.get(tensor)
        if assign is None or not assign.accumulate:
            return lambda: False
        if isinstance(assign, Addition):
            return lambda: True
        return lambda: self.flag.value

    def _region(self, code: emit.Code) -> list[Task]:
        make = self.memory.space[f"make_{code.name}"]
        runs = [make(*_cut(scratch, code)) for scratch in self.scratch]

        def task(lo: int, hi: int) -> Task:
            return lambda thread: runs[thread](lo, hi)

        return [task(lo, hi) for lo, hi in code.ranges]

    def _finish(self, tensor: Tensor) -> Task:
        out = self.memory.array(tensor)
        parts = self.memory.space[partial_name(tensor)]
        parts = parts.reshape(len(parts), *out.shape)
        adds = self._accumulates(tensor)
        work = np.empty(out.shape, out.dtype)

        def run(thread: int) -> None:
            target = work if adds() else out
            np.add.reduce(parts, axis=0, out=target)
            if target is work:
                np.add(out, work, out)

        return run

    def _deliver(self, assign: Assign) -> Task:
        value = self.memory.array(assign.value)
        target = self.memory.state(assign.target).reshape(assign.target.shape)
        always = isinstance(assign, Addition)

        def run(thread: int) -> None:
            if assign.accumulate and (always or self.flag.value):
                np.add(target, value, target)
            else:
                np.copyto(target, value)

        return run


def effort(node: Node) -> int:
    """What a node costs, in operations of a matrix product."""
    if node.op.flops is not None:
        return node.op.flops(node)
    if node.op.name in LEAVES:
        return 0
    sizes = [spec.size for spec in node.specs] + [t.size for t in node.inputs]
    return PASS * max(sizes)


def _work(item: Item) -> int:
    nodes = item.nodes if isinstance(item, Region) else []
    if isinstance(item, Single):
        nodes = [item.node]
    return sum(effort(node) for node in nodes)


def _cut(scratch: Array, code: emit.Code) -> list[Array]:
    """The arrays of one thread's scratch memory that a region's function takes."""
    views = []
    for view in code.scratch.values():
        size = prod(view.shape) * np.dtype(view.dtype).itemsize
        flat = scratch[view.offset : view.offset + size]
        array = flat.view(view.dtype).reshape(view.shape)
        columns = view.columns
        views.append(array if columns is None else array[:, slice(*columns)])
    return views
