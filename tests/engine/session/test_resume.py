import dataclasses
from typing import Any

import pytest

from engine.config import RunConfig, from_mapping
from engine.errors import ConfigError
from engine.session.resume import check_config, check_same, notices

BEFORE = RunConfig()


def changed(section: str, **values: Any) -> RunConfig:
    old = getattr(BEFORE, section)
    new = from_mapping(type(old), dataclasses.asdict(old) | values)
    return dataclasses.replace(BEFORE, **{section: new})


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("train", {"iters": 9000}),
        ("train", {"eval_interval": 5, "checkpoint_interval": 7, "keep_last": 9}),
        ("train", {"threads": 4}),
        ("train", {"patience": 3, "spike_skip": 2.0}),
        ("optim", {"lr": 0.5, "schedule": "constant"}),
        ("data", {"data": "moved/here.txt"}),
    ],
)
def test_how_long_how_often_and_how_fast_may_change(
    section: str, values: dict[str, Any]
) -> None:
    found = check_config(BEFORE, changed(section, **values))
    old = getattr(BEFORE, section)
    assert found == {name: (getattr(old, name), now) for name, now in values.items()}


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        *[("model", "n_layer", 7), ("model", "n_head", 3), ("model", "dropout", 0.1)],
        *[("model", "vocab_size", 99), ("model", "activation", "relu")],
        *[("data", "tokenizer", "word"), ("data", "packing", "packed")],
        *[("data", "split", "contiguous"), ("data", "val_fraction", 0.5)],
        *[("optim", "optimizer", "sgd"), ("train", "seed", 1), ("train", "batch", "3")],
        *[("train", "accum", 2), ("train", "precision", "fp16")],
    ],
)
def test_what_a_run_is_may_not_change_and_the_field_is_named(
    section: str, name: str, value: object
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(BEFORE, changed(section, **{name: value}))
    assert caught.value.field == name
    assert "start a new run for that" in str(caught.value)


def test_another_text_or_tokenizer_is_refused() -> None:
    before = {"digest": "aa", "documents": 3}
    check_same("data", before, before | {"path": "elsewhere"})
    with pytest.raises(ConfigError, match="data = 'bb': its digest was 'aa' when"):
        check_same("data", before, {"digest": "bb", "documents": 3})


def test_changes_and_another_processor_are_told() -> None:
    then = {"blas_core": "Haswell", "numpy": "2.0"}
    told = notices(5, {"iters": (10, 20)}, then, then | {"blas_core": "Zen"})
    assert [(warning.step, warning.code) for warning in told] == [
        (5, "settings_changed"),
        (5, "environment_changed"),
    ]
    assert told[0].message == "resumed with iters 10 -> 20"
    assert told[1].message.startswith("blas_core: Zen, was Haswell")


def test_a_resumption_as_it_was_tells_nothing() -> None:
    assert notices(5, {}, {"numpy": "2"}, {"numpy": "2"}) == []
