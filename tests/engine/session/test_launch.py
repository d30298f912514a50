import dataclasses
from pathlib import Path

import pytest

from engine.config import RunConfig
from engine.errors import CheckpointError, ConfigError, InputError
from engine.rundir.layout import RunDir
from engine.session.launch import Surroundings, resume_run, start_run
from engine.train.control import Action, Request
from engine.train.events import RunCompleted, RunPaused

MODEL = {"n_layer": 1, "n_head": 2, "n_embd": 8, "block_size": 8}
TRAIN = {
    "iters": 6,
    "batch": "2",
    "threads": 1,
    "eval_interval": 3,
    "sample_interval": 6,
    "sample_tokens": 4,
    "checkpoint_interval": 3,
}


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 40)
    data = {"data": str(text), "tokenizer": "char"}
    return RunConfig.from_dict({"model": MODEL, "train": TRAIN, "data": data})


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    return Surroundings(sinks=("journal",), cache=tmp_path / "cache")


def longer(config: RunConfig, iters: int) -> RunConfig:
    train = dataclasses.replace(config.train, iters=iters)
    return dataclasses.replace(config, train=train)


def test_a_run_is_begun_and_gone_on_with_from_python(
    config: RunConfig, around: Surroundings, tmp_path: Path
) -> None:
    ending = start_run(config, tmp_path / "first", "a try", around)
    run = RunDir(tmp_path / "first")
    assert isinstance(ending, RunCompleted)
    assert ending.step == 6
    now = longer(run.record().run_config(), 8)
    assert resume_run(run, now, None, around).step == 8
    record = run.record()
    assert (record.sessions, record.step, record.name) == (2, 8, "a try")
    assert record.config["train"]["iters"] == 8


def test_a_pause_can_be_asked_for_from_anywhere(
    config: RunConfig, around: Surroundings, tmp_path: Path
) -> None:
    asked = dataclasses.replace(
        around, control=lambda: Request(Action.PAUSE, "another run comes first")
    )
    ending = start_run(config, tmp_path / "first", "", asked)
    run = RunDir(tmp_path / "first")
    assert isinstance(ending, RunPaused)
    assert (run.record().state, run.record().step) == ("paused", 1)
    assert resume_run(run, run.record().run_config(), None, around).step == 6


def test_a_name_that_is_no_name_is_refused_before_anything_is_read(
    config: RunConfig, around: Surroundings, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="a run's name has letters"):
        start_run(config, tmp_path / ".hidden", "", around)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(InputError, match="taken exists"):
        start_run(config, tmp_path / "taken", "", around)
    assert not around.cache.exists()


def test_a_checkpoint_of_another_model_is_refused(
    config: RunConfig, around: Surroundings, tmp_path: Path
) -> None:
    start_run(config, tmp_path / "first", "", around)
    model = dataclasses.replace(config.model, n_layer=2)
    other = dataclasses.replace(config, model=model)
    start_run(other, tmp_path / "other", "", around)
    first, second = (RunDir(tmp_path / name) for name in ("first", "other"))
    first.store.drop_after(0)
    second.store.path(6).rename(first.store.path(6))
    with pytest.raises(
        CheckpointError, match="of another model or tokenizer than first"
    ):
        resume_run(first, first.record().run_config(), None, around)


def test_another_blas_than_the_checkpoints_is_told(
    config: RunConfig,
    around: Surroundings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_run(config, tmp_path / "first", "", around)
    run = RunDir(tmp_path / "first")
    monkeypatch.setattr(
        "engine.session.launch.environment",
        lambda device: {**device, "blas_core": "Zen"},
    )
    resume_run(run, longer(run.record().run_config(), 7), None, around)
    events = run.events.read_text()
    assert '"environment_changed"' in events
    assert "blas_core: Zen, was " in events
