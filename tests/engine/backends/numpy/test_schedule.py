"""The schedule of random programs: everything once, in an order that may be run."""

from __future__ import annotations

from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from engine.backends.numpy.assigns import Planner
from engine.backends.numpy.copies import readable
from engine.backends.numpy.refs import References
from engine.backends.numpy.schedule import (
    Deliver,
    Finish,
    Item,
    Region,
    Scheduler,
    Single,
    conflict,
    overlap,
    phases,
)
from engine.graph import Node, Tensor, topological
from engine.graph.passes import simplify
from tests.engine.graph.random_graphs import Writer

drawn = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def scheduled(data: st.DataObject) -> tuple[list[Node], References, list[Item]]:
    program = Writer(data.draw).write()
    outputs = readable(simplify(program.outputs))
    nodes = topological(outputs)
    refs = References(nodes, set())
    delivery = Planner(nodes, refs, [], outputs).run()
    return nodes, refs, Scheduler(refs, delivery.direct).run(nodes, delivery.late)


def nodes_of(items: Sequence[Item]) -> list[Node]:
    found: list[Node] = []
    for item in items:
        if isinstance(item, Region):
            found += item.nodes
        elif isinstance(item, Single):
            found.append(item.node)
    return found


@given(data=st.data())
@drawn
def test_every_node_that_needs_work_is_scheduled_once(data: st.DataObject) -> None:
    nodes, refs, items = scheduled(data)
    work = [node for node in nodes if not refs.is_view(node)]
    found = nodes_of(items)
    assert sorted(node.id for node in found) == sorted(node.id for node in work)


@given(data=st.data())
@drawn
def test_what_is_read_has_been_written(data: st.DataObject) -> None:
    """No cycle among regions: whatever an item reads, earlier items finished."""
    _, refs, items = scheduled(data)
    ready: set[Tensor] = set()
    for item in items:
        made: set[Tensor] = set()
        if isinstance(item, Finish):
            ready.add(refs[item.tensor].root)
            continue
        for node in nodes_of([item]):
            for tensor in node.inputs:
                root = refs[tensor].root
                leaf = root.node.op.name in ("input", "state", "constant")
                concat = root.node.op.name == "concat"
                assert leaf or concat or root in ready or root in made, (node, tensor)
            made |= {refs[tensor].root for tensor in node.outputs()}
        summed = {
            refs[other.tensor].root
            for other in items
            if isinstance(other, Finish) and other.region is item
        }
        ready |= made - summed


@given(data=st.data())
@drawn
def test_what_shares_a_phase_shares_no_memory_that_is_written(
    data: st.DataObject,
) -> None:
    _, _, items = scheduled(data)
    groups = phases(items)
    assert [id(item) for group in groups for item in group] == [id(i) for i in items]
    for group in groups:
        for index, a in enumerate(group):
            for b in group[:index]:
                assert not conflict(a, b)
                assert not any(
                    overlap(x, y) for x in a.writes for y in b.reads | b.writes
                )


def test_items_conflict_by_what_they_write() -> None:
    def item(reads: set[str], writes: set[str]) -> Item:
        places = {"low": ("s", 0, 4), "middle": ("s", 2, 6), "high": ("s", 6, 9)}
        return Deliver(
            {places[name] for name in reads},
            {places[name] for name in writes},
            assign=None,  # type: ignore[arg-type]
        )

    assert conflict(item({"low"}, set()), item(set(), {"middle"}))
    assert conflict(item(set(), {"middle"}), item({"low"}, set()))
    assert conflict(item(set(), {"low"}), item(set(), {"middle"}))
    assert not conflict(item({"low"}, set()), item({"middle"}, set()))
    assert not conflict(item({"low"}, {"low"}), item({"high"}, {"high"}))
