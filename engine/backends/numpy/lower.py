"""From a graph with outputs and assignments to phases of tasks over one arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Assign
from engine.backends.numpy import emit, singles
from engine.backends.numpy.kernels import attention, masks, rows
from engine.backends.numpy.ranges import range_rows
from engine.backends.numpy.refs import References
from engine.backends.numpy.rows import ROW, SUM, rows_of
from engine.backends.numpy.schedule import (
    Deliver,
    Finish,
    Item,
    Region,
    Scheduler,
    Single,
    overlap,
    partial,
    phases,
)
from engine.backends.numpy.team import Task
from engine.errors import GraphError
from engine.graph.node import Node, Tensor, apply, topological
from engine.graph.ops.leaves import state_extent
from engine.graph.passes import simplify
from engine.graph.plan import Lifetime, MemoryPlan, aligned, place
from engine.graph.table import node_flops

Array = NDArray[Any]

#: Ops whose task can itself add to a target that accumulates.
_ADDING = ("weight_grad", "embedding_grad")


@dataclass
class Flag:
    """Whether the run under way accumulates."""

    value: bool = False


@dataclass
class Lowered:
    """All that a program needs to run."""

    phases: list[list[Task]]
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    flag: Flag
    plan: MemoryPlan
    source: str
    work: float
    bounds: dict[str, int] = field(default_factory=dict)


def lower(
    outputs: Mapping[str, Tensor],
    assigns: Sequence[Assign],
    buffers: Mapping[str, Array],
    threads: int,
) -> Lowered:
    """Compile. `buffers` are the store's flat arrays by name."""
    return _Lowering(outputs, assigns, buffers, threads).run()


class _Lowering:
    def __init__(
        self,
        outputs: Mapping[str, Tensor],
        assigns: Sequence[Assign],
        buffers: Mapping[str, Array],
        threads: int,
    ) -> None:
        self.buffers = buffers
        self.threads = threads
        self.flag = Flag()
        self.assigns, values = _contributions(assigns)
        results = simplify([*outputs.values(), *values])
        shown = [_own_memory(t) if assigns else t for t in results[: len(outputs)]]
        self.outputs = dict(zip(outputs, shown, strict=True))
        final = [_own_memory(tensor) for tensor in results[len(outputs) :]]
        self.assigns = [
            replace(a, value=value)
            for a, value in zip(self.assigns, final, strict=True)
        ]
        self.nodes = topological([*self.outputs.values(), *final])
        self.space: dict[str, Any] = dict(_NAMES)
        self.sources: list[str] = []
        self.pieces: dict[Tensor, Array] = {}
        self.partials: dict[Tensor, tuple[int, int]] = {}

    def run(self) -> Lowered:
        in_place = _cache_writes_in_place(self.nodes, self.assigns)
        self.refs = References(self.nodes, in_place)
        self.direct = self._direct()
        late = [a for a in self.assigns if self._must_deliver(a)]
        items = Scheduler(self.refs, self.direct).run(self.nodes, late)
        self.phases = phases(items)
        self._find_owners()
        self._bind_inputs()
        arena = self._place_memory()
        codes = {
            id(item): self._emit(index, item)
            for index, item in enumerate(items)
            if isinstance(item, Region)
        }
        scratch = max(
            [code.scratch_bytes for code in codes.values()]
            + [singles.scratch_bytes(i.node) for i in items if _is_single(i)]
            + [0]
        )
        self.scratch = [_memory(scratch) for _ in range(self.threads)]
        tasks = [
            [task for item in phase for task in self._tasks(item, codes)]
            for phase in self.phases
        ]
        return Lowered(
            tasks,
            self.inputs,
            {name: self._array(tensor) for name, tensor in self.outputs.items()},
            self.flag,
            MemoryPlan(
                state=sum(array.nbytes for array in self.buffers.values()),
                arena=arena,
                scratch=scratch * self.threads,
                inputs=sum(array.nbytes for array in self.inputs.values()),
            ),
            "\n".join(self.sources),
            float(sum(node_flops(node) for node in self.nodes)),
            self._bounds(),
        )

    # -- assignments --------------------------------------------------------------

    def _direct(self) -> dict[Tensor, Assign]:
        """Values that may be computed straight into the state they are assigned to.

        Of the parts of a sum, the first to run replaces what the target held and the
        others add to it; parts that must be delivered come at the end of a run, and so
        after all those that are computed in place.
        """
        direct: dict[Tensor, Assign] = {}
        parts: list[Assign] = []
        position = {node.id: index for index, node in enumerate(self.nodes)}
        outputs = {self.refs[t].root for t in self.outputs.values()}
        for group in _groups(self.assigns):
            fit, rest = [], []
            for assign in group:
                root = assign.value
                free = root not in direct and root not in outputs
                owns = self.refs[root].root == root
                same = root.shape == assign.target.shape
                safe = free and owns and same and self._safe(root, assign, position)
                (fit if safe else rest).append(assign)
            fit.sort(key=lambda assign: position[assign.value.node.id])
            for index, assign in enumerate([*fit, *rest]):
                kind = _Addition if index else Assign
                part = kind(assign.target, assign.value, assign.accumulate)
                parts.append(part)
                if index < len(fit):
                    direct[part.value] = part
        self.assigns = parts
        return direct

    def _safe(self, value: Tensor, assign: Assign, position: Mapping[int, int]) -> bool:
        if value.node.op.name in ("input", "state", "constant", "cache_write"):
            return False
        if sum(a.value == value for a in self.assigns) > 1:
            return False
        rows = rows_of(value.node)
        summed = rows is not None and rows.outputs[value.index] == SUM
        if assign.accumulate:
            users = any(
                self.refs[t].root == value for n in self.nodes for t in n.inputs
            )
            adds = summed or value.node.op.name in _ADDING
            return adds and not users and self._read_before(value, assign, position)
        extent = state_extent(assign.target)
        for node in self.nodes:
            for index, tensor in enumerate(node.inputs):
                root = self.refs[tensor].root
                if root.node.op.name != "state":
                    continue
                if not overlap(state_extent(root), extent):
                    continue
                access = rows_of(node)
                before = position[node.id] <= position[value.node.id]
                same = state_extent(root) == extent and self.refs[tensor].root == tensor
                if not (
                    before
                    and same
                    and access is not None
                    and rows is not None
                    and not summed
                    and access.count == rows.count
                    and access.inputs[index] == ROW
                ):
                    return False
        return True

    def _read_before(
        self, value: Tensor, assign: Assign, position: Mapping[int, int]
    ) -> bool:
        """Whether all that reads the target's old content comes before the value."""
        extent, here = state_extent(assign.target), position[value.node.id]
        return not any(
            position[node.id] >= here and overlap(self._extent(tensor), extent)
            for node in self.nodes
            for tensor in node.inputs
            if self.refs[tensor].root.node.op.name == "state"
        )

    def _extent(self, tensor: Tensor) -> tuple[str, int, int]:
        """The whole piece of state that a tensor looks into."""
        return state_extent(self.refs[tensor].root)

    def _must_deliver(self, assign: Assign) -> bool:
        if assign.value in self.direct and self.direct[assign.value] is assign:
            return False
        root = self.refs[assign.value].root
        if root.node.op.name != "state":
            return True
        return state_extent(root) != state_extent(assign.target)

    # -- memory ---------------------------------------------------------------------

    def _find_owners(self) -> None:
        """In which phases, and by which items, each root is touched."""
        self.spans: dict[Tensor, tuple[int, int]] = {}
        self.owners: dict[Tensor, set[int]] = {}
        self.shared: set[Tensor] = {self.refs[t].root for t in self.outputs.values()}
        partial_spans: dict[Any, tuple[int, int]] = {}
        for index, phase in enumerate(self.phases):
            for item in phase:
                for spot in item.reads | item.writes:
                    if isinstance(spot, Tensor):
                        first, _ = self.spans.get(spot, (index, index))
                        self.spans[spot] = (first, index)
                        self.owners.setdefault(spot, set()).add(id(item))
                        if not isinstance(item, Region):
                            self.shared.add(spot)
                    elif spot[0].startswith("partial"):
                        first, _ = partial_spans.get(spot, (index, index))
                        partial_spans[spot] = (first, index)
        self.partial_spans = partial_spans

    def _local(self, root: Tensor) -> bool:
        """Whether a root lives and dies within one region."""
        if root in self.shared or root in self.direct or _is_leaf(root):
            return False
        return len(self.owners.get(root, ())) <= 1

    def _bind_inputs(self) -> None:
        self.inputs: dict[str, Array] = {}
        for node in self.nodes:
            if node.op.name == "input":
                spec, name = node.specs[0], node.attrs["name"]
                array = self.inputs.setdefault(name, np.zeros(spec.shape, spec.dtype))
                if array.shape != spec.shape or array.dtype != spec.dtype:
                    raise GraphError(f"input {name!r}: declared with two shapes")
                self.pieces[node.output()] = array.reshape(-1)
            elif node.op.name == "state":
                self.pieces[node.output()] = self._state(node.output())
            elif node.op.name == "constant":
                value = np.full(1, node.attrs["value"], node.specs[0].dtype)
                self.pieces[node.output()] = value

    def _state(self, tensor: Tensor) -> Array:
        name, start, stop = state_extent(tensor)
        if name not in self.buffers:
            raise GraphError(f"state {name!r}: the store has no such buffer")
        buffer = self.buffers[name]
        if stop > len(buffer) or buffer.dtype != tensor.dtype:
            raise GraphError(
                f"state {name!r}: elements {start} to {stop} of {tensor.dtype} "
                f"in a buffer of {len(buffer)} {buffer.dtype}"
            )
        return buffer[start:stop]

    def _place_memory(self) -> int:
        lifetimes = []
        last = len(self.phases) - 1
        kept = {self.refs[tensor].root for tensor in self.outputs.values()}
        for root, (first, end) in self.spans.items():
            if root in self.direct or _is_leaf(root) or self._local(root):
                continue
            size = root.size * np.dtype(root.dtype).itemsize
            lifetimes.append(Lifetime(root, size, first, last if root in kept else end))
        for phase in self.phases:
            for item in phase:
                if isinstance(item, Finish):
                    lifetimes.append(self._partial_lifetime(item))
        arena = place(lifetimes)
        self.memory = _memory(arena.size)
        for item_ in lifetimes:
            if isinstance(item_.key, Tensor):
                offset = arena.offsets[item_.key]
                part = self.memory[offset : offset + item_.size]
                self.pieces[item_.key] = part.view(item_.key.dtype)
            else:
                _, tensor = item_.key  # type: ignore[misc]
                offset = arena.offsets[item_.key]
                part = self.memory[offset : offset + item_.size].view(tensor.dtype)
                count, _width = self.partials[tensor]
                self.space[_partial_name(tensor)] = part.reshape(count, -1)
        for root, assign in self.direct.items():
            self.pieces[root] = self._state(assign.target)
        return arena.size

    def _partial_lifetime(self, item: Finish) -> Lifetime:
        tensor, region = item.tensor, item.region
        assert tensor is not None
        assert region is not None
        step = range_rows(region)
        count = -(-region.count // step)
        width = tensor.size
        self.partials[tensor] = (count, width)
        size = count * width * np.dtype(tensor.dtype).itemsize
        return Lifetime(("partial", tensor), size, *self.partial_spans[partial(tensor)])

    # -- arrays by tensor -------------------------------------------------------------

    def _array(self, tensor: Tensor) -> Array:
        ref = self.refs[tensor]
        return ref.whole(self.pieces[ref.root])

    def _row_name(self, tensor: Tensor, count: int) -> str:
        ref = self.refs[tensor]
        name = f"m{ref.root.node.id}_{ref.root.index}_{count}"
        name += f"_{ref.offset}_{ref.size}"
        if ref.columns:
            name += f"_{ref.columns[0]}_{ref.columns[1]}"
        if name not in self.space:
            self.space[name] = ref.rows(self.pieces[ref.root], count)
        return name

    def _whole_name(self, tensor: Tensor) -> str:
        name = f"w{tensor.node.id}_{tensor.index}"
        if name not in self.space:
            self.space[name] = self._array(tensor)
        return name

    # -- code and tasks ----------------------------------------------------------------

    def _emit(self, index: int, region: Region) -> emit.Code:
        bind = emit.Bindings(
            self._row_name, self._whole_name, _partial_name, self._local
        )
        emitter = emit.RegionEmitter(region, self.refs, bind, f"region_{index}")
        code = emitter.emit()
        self.space.update(code.constants)
        self.sources.append(code.source)
        exec(compile(code.source, f"<region_{index}>", "exec"), self.space)
        return code

    def _tasks(self, item: Item, codes: Mapping[int, emit.Code]) -> list[Task]:
        if isinstance(item, Region):
            return self._region_tasks(codes[id(item)])
        if isinstance(item, Finish):
            return [self._finish(item)]
        if isinstance(item, Deliver):
            return [self._deliver(item)]
        assert isinstance(item, Single)
        assert item.node is not None
        outputs = [self._array(tensor) for tensor in item.node.outputs()]
        context = singles.Context(
            [self._array(tensor) for tensor in item.node.inputs],
            outputs,
            self._accumulates(item.node.output()),
            self.scratch.__getitem__,
        )
        return singles.tasks(item.node, context)

    def _accumulates(self, tensor: Tensor) -> Any:
        assign = self.direct.get(tensor)
        if assign is None or not assign.accumulate:
            return lambda: False
        if isinstance(assign, _Addition):
            return lambda: True
        return lambda: self.flag.value

    def _region_tasks(self, code: emit.Code) -> list[Task]:
        make = self.space[f"make_{code.name}"]
        runs = [make(*self._scratch_views(code, t)) for t in range(self.threads)]

        def task(lo: int, hi: int) -> Task:
            return lambda thread: runs[thread](lo, hi)

        return [task(lo, hi) for lo, hi in code.ranges]

    def _scratch_views(self, code: emit.Code, thread: int) -> list[Array]:
        views = []
        for view in code.scratch.values():
            size = prod(view.shape) * np.dtype(view.dtype).itemsize
            flat = self.scratch[thread][view.offset : view.offset + size]
            array = flat.view(view.dtype).reshape(view.shape)
            columns = view.columns
            views.append(array if columns is None else array[:, slice(*columns)])
        return views

    def _finish(self, item: Finish) -> Task:
        assert item.tensor is not None
        parts = self.space[_partial_name(item.tensor)]
        out = self._array(item.tensor)
        adds = self._accumulates(item.tensor)
        parts = parts.reshape(len(parts), *out.shape)
        work = np.empty(out.shape, out.dtype)

        def run(thread: int) -> None:
            target = work if adds() else out
            np.add.reduce(parts, 0, None, target)
            if target is work:
                np.add(out, work, out)

        return run

    def _deliver(self, item: Deliver) -> Task:
        assert item.assign is not None
        assign = item.assign
        value = self._array(assign.value)
        target = self._state(assign.target).reshape(assign.target.shape)
        always = isinstance(assign, _Addition)

        def run(thread: int) -> None:
            if assign.accumulate and (always or self.flag.value):
                np.add(target, value, target)
            else:
                np.copyto(target, value)

        return run

    def _bounds(self) -> dict[str, int]:
        """For inputs that index a table: how many rows it has."""
        bounds: dict[str, int] = {}
        for node in self.nodes:
            if node.op.name == "embedding" and node.inputs[0].node.op.name == "input":
                name = node.inputs[0].node.attrs["name"]
                size = node.inputs[1].shape[0]
                bounds[name] = min(size, bounds.get(name, size))
        return bounds


@dataclass(frozen=True)
class _Addition(Assign):
    """A further contribution to a target: it always adds."""


def _contributions(
    assigns: Sequence[Assign],
) -> tuple[list[Assign], list[Tensor]]:
    """Sums assigned to an accumulating target become several assignments.

    So each addend is computed into the target itself, and no sum is stored.
    """
    parts: list[Assign] = []
    for assign in assigns:
        if assign.value.shape != assign.target.shape:
            raise GraphError(
                f"assign: {assign.value.shape} to {assign.target} of another shape"
            )
        addends = _addends(assign.value) if assign.accumulate else [assign.value]
        parts.append(Assign(assign.target, addends[0], assign.accumulate))
        parts += [_Addition(assign.target, value, True) for value in addends[1:]]
    return parts, [part.value for part in parts]


def _groups(parts: Sequence[Assign]) -> list[list[Assign]]:
    """The parts of each assignment, which follow one another."""
    groups: list[list[Assign]] = []
    for part in parts:
        if isinstance(part, _Addition):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _addends(value: Tensor) -> list[Tensor]:
    if value.node.op.name == "add" and all(
        tensor.shape == value.shape for tensor in value.node.inputs
    ):
        return [part for tensor in value.node.inputs for part in _addends(tensor)]
    return [value]


def _own_memory(value: Tensor) -> Tensor:
    """A value that only looks into state is copied, lest it change before it is read.

    So outputs show what state held before the run, and assignments may swap pieces.
    """
    seen = value
    while seen.node.op.name in ("reshape", "split", "broadcast", "rows"):
        seen = seen.node.inputs[0]
    if seen.node.op.name in ("state", "input"):
        return apply("add", value, apply("constant", value=0.0, dtype=value.dtype))
    return value


def _cache_writes_in_place(
    nodes: Sequence[Node], assigns: Sequence[Assign]
) -> set[Node]:
    """Cache writes assigned to the state they read, which no one else reads."""
    readers: dict[Tensor, int] = {}
    for node in nodes:
        for tensor in node.inputs:
            readers[tensor] = readers.get(tensor, 0) + 1
    return {
        a.value.node
        for a in assigns
        if a.value.node.op.name == "cache_write"
        and a.value.node.inputs[0].node.op.name == "state"
        and state_extent(a.value.node.inputs[0]) == state_extent(a.target)
        and readers[a.value.node.inputs[0]] == 1
    }


def _is_leaf(tensor: Tensor) -> bool:
    return tensor.node.op.name in ("input", "state", "constant")


def _is_single(item: Item) -> bool:
    return isinstance(item, Single)


def _partial_name(tensor: Tensor) -> str:
    return f"partial{tensor.node.id}_{tensor.index}"


def _memory(size: int) -> Array:
    """`size` bytes on a 64-byte boundary, not touched yet."""
    raw = np.empty(aligned(size) + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + size]


_NAMES: dict[str, Any] = {
    name: getattr(np, name)
    for name in (
        "add subtract multiply divide maximum minimum negative exp log tanh sqrt "
        "reciprocal absolute sign sin cos greater copyto matmul dot"
    ).split()
} | {
    "add_reduce": np.add.reduce,
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
