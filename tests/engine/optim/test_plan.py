import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import OptimConfig
from engine.errors import GraphError
from engine.model import Kind, parameter_layout, parameters
from engine.optim import AdamW, Muon, plan_updates
from tests.engine.model.options import OPTIONS, small


def plan(optimizer, model):
    return plan_updates(optimizer, parameters(model), parameter_layout(model))


def members(stretches):
    return [[piece.name for piece in stretch.pieces] for stretch in stretches]


def test_an_elementwise_optimizer_sweeps_each_buffer_in_one_go():
    model = small()
    stretches = plan(AdamW(OptimConfig()), model).stretches
    layout = parameter_layout(model)
    assert [(s.buffer, s.start, s.stop) for s in stretches] == [
        (name, 0, spec.size) for name, spec in layout.buffers.items()
    ]
    assert [s.group.decay for s in stretches] == [True, False]


def test_muon_takes_matrices_one_by_one_and_adamw_the_rest_in_stretches():
    model = small("untied", n_layer=1)
    muon = Muon(OptimConfig())
    stretches = plan(muon, model).stretches
    assert members(stretches)[:5] == [
        ["wte.weight", "wpe.weight", "head.weight"],
        ["blocks.0.attn.qkv.weight"],
        ["blocks.0.attn.out.weight"],
        ["blocks.0.mlp.in.weight"],
        ["blocks.0.mlp.out.weight"],
    ]
    assert len(stretches) == 6
    rules = [stretch.rule for stretch in stretches]
    assert rules == [muon.rest, muon, muon, muon, muon, muon.rest]
    assert stretches[1].group.parts == (8, 8, 8)


@given(st.sampled_from(sorted(OPTIONS)), st.sampled_from([AdamW, Muon]))
def test_every_parameter_and_slot_has_a_place_of_its_own(option, optimizer):
    model = small(option)
    found = plan(optimizer(OptimConfig()), model)
    names = [name for group in members(found.stretches) for name in group]
    assert sorted(names) == sorted(p.name for p in parameters(model))
    taken = {name: np.zeros(s.shape, int) for name, s in found.slots.buffers.items()}
    for piece in found.slots.pieces.values():
        piece.within(taken[piece.buffer])[...] += 1
    assert all(counts.max() == 1 for counts in taken.values())
    assert sum(counts.sum() for counts in taken.values()) == sum(
        p.size * (1 if optimizer is Muon and p.kind is Kind.MATRIX else 2)
        for p in parameters(model)
    )


def test_an_elementwise_optimizer_has_slots_of_its_groups_shape():
    class Wrong(AdamW):
        def slots(self, group):
            return {"m": (3,)}

    with pytest.raises(GraphError, match=r"Wrong is elementwise.*'m' has shape \(3,\)"):
        plan(Wrong(OptimConfig()), small())
