import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CheckpointError
from engine.train.state import TrainerState


@given(
    losses=st.lists(st.floats(0.0, 20.0), max_size=30),
    norms=st.lists(st.floats(0.0, 1e6), max_size=30),
)
def test_the_state_survives_json_to_the_last_bit(
    losses: list[float], norms: list[float]
) -> None:
    state = TrainerState(step=3, tokens=7, cursor=9, elapsed_ms=0.1)
    for loss in losses:
        state.train_loss.add(loss)
        state.evaluations.observe(state.step, loss, state.train_loss.value)
    for norm in norms:
        state.spikes.observe(norm, state.spikes.limit(3.0))
        state.nonfinite.observe(norm < 1e5)
    text = json.dumps(state.to_dict(), allow_nan=False)
    assert TrainerState.from_dict(json.loads(text)) == state


def test_a_loss_that_is_not_a_number_leaves_a_state_that_json_can_hold() -> None:
    state = TrainerState()
    state.evaluations.observe(1, math.nan, None)
    json.dumps(state.to_dict(), allow_nan=False)


@pytest.mark.parametrize("key", ["spikes", "train_loss", "evaluations", "nonfinite"])
def test_a_state_with_a_part_missing_is_refused(key: str) -> None:
    record = TrainerState().to_dict()
    del record[key]
    with pytest.raises(CheckpointError, match=key):
        TrainerState.from_dict(record)


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(CheckpointError, match="mood"):
        TrainerState.from_dict(TrainerState().to_dict() | {"mood": 1})
