"""Regions written out as Python: a function that runs rows lo .. hi of a region.

Within it, matrix products and attention run on the whole range; everything else runs
in loops over a few rows at a time, op after op, while the values are still in cache.
The text is kept (`Program.source`) so that what runs can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any

import numpy as np

from engine.backends.numpy.kernels.attention import AttentionShape
from engine.backends.numpy.pointwise import emit_pointwise, may_overwrite
from engine.backends.numpy.refs import Ref, References
from engine.backends.numpy.rows import CYCLE, ROW, SUM, Rows, rows_of
from engine.backends.numpy.schedule import Region
from engine.graph.node import Node, Tensor
from engine.graph.plan import Lifetime, aligned, place

#: Elements of one array in a loop's body.
BLOCK = 1 << 14
#: Rows a range has, about; and elements, where rows are single elements.
RANGE_ROWS = 256
RANGE_ELEMENTS = 1 << 17
#: Blocks a range has at least for a row vector to be repeated once for all of them.
WORTH_REPEATING = 3
#: Blocks a range has at least for a row vector to be repeated once for all of them.
WORTH_REPEATING = 3
#: Ops that apply row vectors as pointwise ops do.
NORMS = ("layer_norm", "layer_norm_grad", "rms_norm", "rms_norm_grad")
#: Ranges a region has at least, if it has the rows: work for several threads.
MIN_RANGES = 4


def range_rows(region: Region) -> int:
    """Rows a task takes: decided by shapes alone, never by the number of threads."""
    widest = max(
        spec.size // region.count for node in region.nodes for spec in node.specs
    )
    matrix = any(not _rows(node).loops for node in region.nodes)
    wanted = RANGE_ROWS if matrix else max(1, RANGE_ELEMENTS // max(1, widest))
    wanted = min(wanted, -(-region.count // MIN_RANGES))
    unit = max(region.grain, region.cycle)
    if region.grain > 1 or (unit > 1 and wanted >= unit):
        return unit * max(1, wanted // unit)
    if unit > 1:
        return max(part for part in range(1, wanted + 1) if unit % part == 0)
    return max(1, wanted)


def _rows(node: Node) -> Rows:
    rows = rows_of(node)
    assert rows is not None
    return rows


@dataclass
class Segment:
    """Ops in one loop, or one op on the whole range."""

    nodes: list[Node]
    loop: bool


@dataclass
class Slot:
    """A working array of a loop: (rows, width) elements of one type."""

    name: str
    width: int
    dtype: str
    rows: int


@dataclass(frozen=True)
class ScratchView:
    """An array in a thread's own memory: from byte `offset` on, maybe some columns."""

    offset: int
    dtype: str
    shape: tuple[int, ...]
    columns: tuple[int, int] | None = None


@dataclass
class Code:
    """A region's function as text, and what it needs from outside.

    name        of the function that `make_NAME` returns for one thread's scratch
    ranges      (lo, hi) of each task
    scratch     arguments of `make_NAME`, in order
    constants   further names the text uses
    """

    name: str
    source: str
    ranges: list[tuple[int, int]]
    scratch_bytes: int
    scratch: dict[str, ScratchView]
    constants: dict[str, Any]


@dataclass
class Bindings:
    """How the emitter names memory it does not own. Filled by the lowering."""

    rows: Callable[[Tensor, int], str]
    whole: Callable[[Tensor], str]
    partial: Callable[[Tensor], str]
    local: Callable[[Tensor], bool]


@dataclass
class RegionEmitter:
    """Writes one region. `bind` names arrays outside; `name` is the function's."""

    region: Region
    refs: References
    bind: Bindings
    name: str
    lines: list[str] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def emit(self) -> Code:
        region = self.region
        self.step = range_rows(region)
        self.ragged = region.count % self.step != 0
        self.segments = self._segments()
        self._find_uses()
        self._scratch_names: dict[Tensor, str] = {}
        self._scratch_views: dict[str, tuple[Tensor, tuple[int, int] | None]] = {}
        self._row_names: dict[Ref, str] = {}
        self._work: list[tuple[str, int, str, int]] = []
        self._slots: list[tuple[int, Slot]] = []
        self._head: list[str] = []
        for index, segment in enumerate(self.segments):
            if segment.loop:
                self._loop(index, segment)
            else:
                self._call(index, segment.nodes[0])
        return self._finish()

    # -- analysis ---------------------------------------------------------------

    def _segments(self) -> list[Segment]:
        segments: list[Segment] = []
        for node in self.region.nodes:
            loop = _rows(node).loops
            if loop and segments and segments[-1].loop:
                segments[-1].nodes.append(node)
            else:
                segments.append(Segment([node], loop))
        return segments

    def _find_uses(self) -> None:
        """In which segments each root made here is written and read."""
        self.spans: dict[Tensor, tuple[int, int]] = {}
        for index, segment in enumerate(self.segments):
            for node in segment.nodes:
                for tensor in (*node.outputs(), *node.inputs):
                    root = self.refs[tensor].root
                    if self.bind.local(root):
                        first, _ = self.spans.get(root, (index, index))
                        self.spans[root] = (first, index)

    def _is_temp(self, tensor: Tensor) -> bool:
        """Whether the tensor lives within a single pass through one loop."""
        ref = self.refs[tensor]
        first, last = self.spans.get(ref.root, (0, -1))
        return (
            self.bind.local(ref.root)
            and first == last
            and self.segments[first].loop
            and ref.columns is None
            and not any(
                self.refs[t].columns is not None
                for node in self.segments[first].nodes
                for t in (*node.inputs, *node.outputs())
                if self.refs[t].root == ref.root
            )
        )

    # -- names ------------------------------------------------------------------

    def _row_name(self, tensor: Tensor) -> str:
        """Name of the tensor's rows lo .. hi, bound at the function's head."""
        ref = self.refs[tensor]
        if ref.spread:
            return self.bind.rows(tensor, self.region.count)
        key = Ref(ref.root, (), ref.offset, ref.columns)
        if key in self._row_names:
            return self._row_names[key]
        if self.bind.local(ref.root):
            name = f"s{len(self._scratch_views)}"
            self._scratch_views[name] = (ref.root, ref.columns)
            if self.ragged:
                self._head.append(f"{name} = {name}_[:n]")
        else:
            name = f"r{len(self._row_names)}"
            self._head.append(
                f"{name} = {self.bind.rows(tensor, self.region.count)}[lo:hi]"
            )
        self._row_names[key] = name
        return name

    def _constant(self, value: Any) -> str:
        for name, known in self.constants.items():
            if known is value:
                return name
        name = f"{self.name}_k{len(self.constants)}"
        self.constants[name] = value
        return name

    def _number(self, tensor: Tensor) -> str:
        value = np.asarray(tensor.node.attrs["value"], tensor.dtype)
        for name, known in self.constants.items():
            if (
                isinstance(known, np.ndarray)
                and known.shape == ()
                and known.dtype == value.dtype
                and known.tobytes() == value.tobytes()
            ):
                return name
        return self._constant(value)

    def _outside(self, tensor: Tensor) -> str:
        if tensor.node.op.name == "constant":
            return self._number(tensor)
        return self.bind.whole(tensor)

    def _work_array(self, index: int, elements: int, dtype: str) -> str:
        """Flat scratch for one call in segment `index`."""
        name = f"work{len(self._work)}"
        self._work.append((name, elements, dtype, index))
        return name

    # -- whole ranges ------------------------------------------------------------

    def _call(self, index: int, node: Node) -> None:
        outputs = [self._row_name(tensor) for tensor in node.outputs()]
        if node.op.name == "linear":
            x, w = node.inputs
            weight = self.bind.whole(w)
            flip = ".T" if node.attrs["transposed"] else ""
            self.lines.append(
                f"matmul({self._row_name(x)}, {weight}{flip}, {outputs[0]})"
            )
            return
        shape = attention_shape(node)
        count = 3 if node.op.name == "attention" else 6
        rows = [self._row_name(tensor) for tensor in node.inputs[:count]]
        mask = self._constant(_mask_of(shape, node.inputs[0].dtype))
        tile = self._constant(shape)
        elements = shape.work
        work = self._work_array(index, elements, node.inputs[0].dtype)
        tail = ""
        if len(node.inputs) > count:
            counter = self.bind.whole(node.inputs[count])
            tail = f", {counter}, lo // {shape.block}"
        args = ", ".join([*rows, *outputs, tile, mask, work])
        self.lines.append(f"{node.op.name}({args}{tail})")

    # -- loops -------------------------------------------------------------------

    def _loop(self, index: int, segment: Segment) -> None:
        widths = [
            spec.size // self.region.count
            for node in segment.nodes
            for spec, kind in zip(node.specs, _rows(node).outputs, strict=True)
            if kind == ROW
        ]
        widths += [
            tensor.size // self.region.count
            for node in segment.nodes
            for tensor, kind in zip(node.inputs, _rows(node).inputs, strict=True)
            if kind == ROW
        ]
        block = max(1, min(self.step, BLOCK // max(1, *widths, 1)))
        cycle = max(_rows(node).cycle for node in segment.nodes)
        if cycle:
            unit = gcd(cycle, self.step)
            block = max(part for part in range(1, block + 1) if unit % part == 0)
        body = LoopBody(self, index, segment, block, cycle)
        lines = body.emit()
        if block >= self.step and not self.ragged:
            self.lines += [f"i, j = 0, {self.step}", *lines]
        else:
            ragged = self.ragged or self.step % block
            stop = f"min(i + {block}, n)" if ragged else f"i + {block}"
            self.lines.append(f"for i in range(0, n, {block}):")
            self.lines += [f"    {line}" for line in [f"j = {stop}", *lines]]
        self._slots += [(index, slot) for slot in body.slots]

    # -- putting together ----------------------------------------------------------

    def _finish(self) -> Code:
        scratch, size = self._lay_out()
        params = ", ".join(self._parameter(name) for name in scratch)
        text = [f"def make_{self.name}({params}):", f"    def {self.name}(lo, hi):"]
        text.append("        n = hi - lo")
        text += [f"        {line}" for line in (*self._head, *self.lines)]
        text.append(f"    return {self.name}")
        count, step = self.region.count, self.step
        ranges = [(lo, min(lo + step, count)) for lo in range(0, count, step)]
        text_ = "\n".join(text) + "\n"
        return Code(self.name, text_, ranges, size, scratch, self.constants)

    def _parameter(self, name: str) -> str:
        ragged = self.ragged and name in self._scratch_views
        return f"{name}_" if ragged else name

    def _lay_out(self) -> tuple[dict[str, ScratchView], int]:
        """Offsets of everything in a thread's scratch memory."""
        lifetimes = []
        roots = {root for root, _ in self._scratch_views.values()}
        for root in sorted(roots, key=lambda t: (t.node.id, t.index)):
            width = root.size // self.region.count
            size = self.step * width * np.dtype(root.dtype).itemsize
            lifetimes.append(Lifetime(root, size, *self.spans[root]))
        for index, slot in self._slots:
            size = slot.rows * slot.width * np.dtype(slot.dtype).itemsize
            lifetimes.append(Lifetime(slot.name, size, index, index))
        for name, elements, dtype, index in self._work:
            size = elements * np.dtype(dtype).itemsize
            lifetimes.append(Lifetime(name, size, index, index))
        arena = place(lifetimes)
        table: dict[str, ScratchView] = {}
        for name, (root, columns) in self._scratch_views.items():
            shape = (self.step, root.size // self.region.count)
            offset = arena.offsets[root]
            table[name] = ScratchView(offset, root.dtype, shape, columns)
        for _, slot in self._slots:
            shape = (slot.rows, slot.width)
            offset = arena.offsets[slot.name]
            table[slot.name] = ScratchView(offset, slot.dtype, shape)
        for name, elements, dtype, _ in self._work:
            table[name] = ScratchView(arena.offsets[name], dtype, (elements,))
        return table, aligned(arena.size)


class LoopBody:
    """The inside of one loop: its ops in order, on rows i .. j of the range."""

    def __init__(
        self,
        emitter: RegionEmitter,
        index: int,
        segment: Segment,
        block: int,
        cycle: int,
    ) -> None:
        self.emitter = emitter
        self.index = index
        self.nodes = segment.nodes
        self.block = block
        self.cycle = cycle
        self.slots: list[Slot] = []
        self.free: list[Slot] = []
        self.held: dict[Tensor, Slot] = {}
        self.names: dict[tuple[str, str], str] = {}
        self.head: list[str] = []
        self.lines: list[str] = []
        self.last: dict[Tensor, int] = {}
        for position, node in enumerate(self.nodes):
            for tensor in (*node.outputs(), *node.inputs):
                self.last[emitter.refs[tensor].root] = position

    def emit(self) -> list[str]:
        for position, node in enumerate(self.nodes):
            self._node(position, node)
        return [*self.head, *self.lines]

    # -- operands ------------------------------------------------------------------

    def take(self, width: int, dtype: str, *, fresh: bool = False) -> Slot:
        """A working array, one that is free if there is one and `fresh` is not asked.

        What is filled before the loop must be fresh: a free one is written in it.
        """
        for slot in () if fresh else self.free:
            if (slot.width, slot.dtype) == (width, dtype):
                self.free.remove(slot)
                return slot
        name = f"t{self.index}_{len(self.slots)}"
        slot = Slot(name, width, dtype, self.block)
        self.slots.append(slot)
        return slot

    def _slot_rows(self, slot: Slot) -> str:
        whole = not self.emitter.ragged and self.emitter.step % self.block == 0
        return slot.name if whole else f"{slot.name}[:j - i]"

    def _bound(self, kind: str, base: str, expression: str) -> str:
        """A view made once, at the head of the loop's body."""
        key = (kind, base)
        if key not in self.names:
            name = f"{kind}{self.index}_{len(self.names)}"
            self.names[key] = name
            self.head.append(f"{name} = {expression}")
        return self.names[key]

    def _by_row(self, tensor: Tensor) -> str:
        emitter = self.emitter
        ref = emitter.refs[tensor]
        if ref.root in self.held:
            return self._slot_rows(self.held[ref.root])
        name = emitter._row_name(tensor)
        if ref.spread or (self.block >= emitter.step and not emitter.ragged):
            return name
        return self._bound("a", name, f"{name}[i:j]")

    def _by_cycle(self, tensor: Tensor) -> str:
        rows = self.emitter.bind.rows(tensor, self.cycle)
        return self.cycled(rows)

    def cycled(self, rows: str) -> str:
        """Rows of a periodic array, from this block's place in the period on."""
        head = self._bound("c", "start", f"(lo + i) % {self.cycle}")
        return self._bound("p", rows, f"{rows}[{head}:{head} + j - i]")

    def _repeated(self, tensor: Tensor, width: int) -> str:
        """A row vector, repeated for every row of a block (by each range anew).

        NumPy's loops are several times faster on contiguous operands than on
        broadcast ones; the copy pays from a few blocks a range on.
        """
        row = self.emitter.bind.rows(tensor, 1)
        if self.emitter.step < WORTH_REPEATING * self.block:
            return row if tensor.size == width else self.emitter.bind.whole(tensor)
        key = ("v", row)
        if key not in self.names:
            slot = self.take(width, tensor.dtype, fresh=True)
            self.names[key] = slot.name
            view = slot.name
            if tensor.size != width:
                view = f"{view}.reshape({self.block}, -1, {tensor.size})"
            self.emitter.lines.append(f"copyto({view}, {row})")
        whole = not self.emitter.ragged and self.emitter.step % self.block == 0
        return self.names[key] if whole else f"{self.names[key]}[:j - i]"

    def operand(
        self, tensor: Tensor, kind: str, *, flat: bool = False, width: int = 1
    ) -> str:
        """Expression for an input read in the given way.

        `flat`: whole, as one row. `width`: of the rows that a vector is applied to.
        """
        if kind == ROW:
            return self._by_row(tensor)
        if kind == CYCLE:
            return self._by_cycle(tensor)
        if self.emitter.refs[tensor].spread:
            return self.emitter.bind.rows(tensor, self.emitter.region.count)
        if 1 < tensor.size <= width:
            return self._repeated(tensor, width)
        if flat and tensor.node.op.name != "constant":
            return self.emitter.bind.rows(tensor, 1)
        return self.emitter._outside(tensor)

    # -- nodes ----------------------------------------------------------------------

    def _node(self, position: int, node: Node) -> None:
        rows = _rows(node)
        vectors = node.op.pointwise or node.op.name in NORMS
        width = node.specs[0].size // rows.count if vectors else 1
        inputs = [
            self.operand(tensor, kind, flat=node.op.pointwise, width=width)
            for tensor, kind in zip(node.inputs, rows.inputs, strict=True)
        ]
        dying = self._dying(position, node)
        outputs = []
        for tensor, kind in zip(node.outputs(), rows.outputs, strict=True):
            outputs.append(self._output(node, tensor, kind, dying))
        work: list[Slot] = []

        def scratch(width: int) -> str:
            slot = self.take(width, node.specs[0].dtype)
            work.append(slot)
            return self._slot_rows(slot)

        if node.op.pointwise:
            self.lines += emit_pointwise(node, outputs[0], inputs)
        else:
            self.lines += emit_row_op(node, self, inputs, outputs, scratch)
        self.free += work
        for root in [root for root in self.held if self.last[root] <= position]:
            self.free.append(self.held.pop(root))

    def _dying(self, position: int, node: Node) -> list[Slot]:
        """Slots of inputs not read again, which the output may take over."""
        if not node.op.pointwise or not may_overwrite(node):
            return []
        roots = {self.emitter.refs[tensor].root for tensor in node.inputs}
        return [
            self.held[root]
            for root in roots
            if root in self.held and self.last[root] == position
        ]

    def _output(
        self, node: Node, tensor: Tensor, kind: str, dying: Sequence[Slot]
    ) -> str:
        emitter = self.emitter
        if kind == SUM:
            partial = emitter.bind.partial(tensor)
            name = f"q{tensor.node.id}_{tensor.index}"
            emitter._head.append(f"{name} = {partial}[lo // {emitter.step}]")
            emitter._head.append(f"{name}.fill(0)")
            return name
        root = emitter.refs[tensor].root
        if not emitter._is_temp(tensor):
            return self._by_row(tensor)
        width = root.size // emitter.region.count
        for other, slot in list(self.held.items()):
            if slot in dying and (slot.width, slot.dtype) == (width, tensor.dtype):
                del self.held[other]
                self.held[root] = slot
                return self._slot_rows(slot)
        self.held[root] = self.take(width, tensor.dtype)
        return self._slot_rows(self.held[root])


def attention_shape(node: Node) -> AttentionShape:
    """The shape constants of an attention node or of its gradient."""
    attrs = node.attrs
    _, block, width = node.inputs[0].shape
    return AttentionShape(
        block,
        attrs["heads"],
        attrs["kv_heads"],
        width // attrs["heads"],
        attrs["softcap"],
        attrs.get("keep", 256),
        attrs.get("salt", 0),
    )


_MASKS: dict[tuple[int, str], Any] = {}


def _mask_of(shape: AttentionShape, dtype: str) -> Any:
    from engine.backends.numpy.kernels.attention import causal_mask

    key = (shape.queries, dtype)
    if key not in _MASKS:
        _MASKS[key] = causal_mask(shape.queries, dtype)
    return _MASKS[key]


def emit_row_op(
    node: Node,
    body: LoopBody,
    inputs: list[str],
    outputs: list[str],
    scratch: Callable[[int], str],
) -> list[str]:
    """The call of a row kernel."""
    name, attrs = node.op.name, node.attrs
    width = node.specs[0].shape[-1] if node.specs[0].shape else 1
    if name in ("layer_norm", "rms_norm"):
        bias = ["None"] if name == "layer_norm" and len(inputs) == 2 else []
        args = [*inputs, *bias, *outputs, str(attrs["groups"]), repr(attrs["eps"])]
        return [f"{name}({', '.join(args)})"]
    if name in ("layer_norm_grad", "rms_norm_grad"):
        sums = outputs[1:] if len(outputs) == 3 else [*outputs[1:], "None"]
        work = [scratch(width), scratch(attrs["groups"])]
        args = [*inputs, outputs[0], *sums, *work, str(attrs["groups"])]
        centred = name == "layer_norm_grad"
        return [f"layer_norm_grad({', '.join(args)}, centred={centred})"]
    if name == "softmax":
        return [f"softmax({inputs[0]}, {outputs[0]}, {scratch(1)})"]
    if name == "softmax_grad":
        return [f"softmax_grad({inputs[0]}, {inputs[1]}, {outputs[0]}, {scratch(1)})"]
    if name == "cross_entropy":
        args = [*inputs, *outputs, scratch(1), scratch(1)]
        return [f"cross_entropy({', '.join(args)})"]
    if name == "cross_entropy_grad":
        return [f"cross_entropy_grad({', '.join(inputs)}, {outputs[0]})"]
    if name == "embedding":
        return [f"embedding({inputs[0]}, {inputs[1]}, {outputs[0]})"]
    if name == "dropout_mask":
        keep, salt = attrs["keep"], attrs["salt"]
        return [f"dropout_mask({inputs[0]}, {outputs[0]}, lo + i, {keep}, {salt})"]
    if name == "rotary":
        return _emit_rotary(node, body, inputs[0], outputs[0], scratch)
    if name == "concat":
        return [
            f"copyto({outputs[0]}[:, {column}:{column + tensor.shape[-1]}], "
            f"{body.operand(tensor, ROW)})"
            for tensor, column in body.emitter.refs.unplaced(node)
        ]
    if name == "sum_squares":
        flat = f"{inputs[0]}.reshape(-1)"
        return [f"{outputs[0]}[0] += dot({flat}, {flat})"]
    assert name == "sum", name
    if tuple(attrs["axes"]) == (len(node.inputs[0].shape) - 1,):
        return [f"row_sums({inputs[0]}, {outputs[0]})"]
    wide = node.inputs[0].shape[-1] if node.specs[0].shape else 1
    work = scratch(wide)
    return [
        f"add_reduce({inputs[0]}, 0, None, {work}[0])",
        f"add({outputs[0]}, {work}[0], {outputs[0]})",
    ]


def _emit_rotary(
    node: Node, body: LoopBody, x: str, out: str, scratch: Callable[[int], str]
) -> list[str]:
    from engine.backends.numpy.kernels.rows import rotary_tables

    _, block, width = node.specs[0].shape
    size = width // node.attrs["heads"]
    dtype = node.specs[0].dtype
    theta, inverse = node.attrs["theta"], node.attrs["inverse"]
    tables = rotary_tables(np.arange(block), size, theta, inverse, dtype)
    cos, sin = (
        body.cycled(body.emitter._constant(table))
        for table in _shared(("rotary", block, size, theta, inverse, dtype), tables)
    )
    return [f"rotary({x}, {cos}, {sin}, {out}, {scratch(width // 2)})"]


_SHARED: dict[tuple[Any, ...], tuple[Any, ...]] = {}


def _shared(key: tuple[Any, ...], made: tuple[Any, ...]) -> tuple[Any, ...]:
    """The first tables made under `key`, so that all layers read the same ones."""
    return _SHARED.setdefault(key, made)
