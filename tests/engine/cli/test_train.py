import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import storage
from engine.cli.main import main
from engine.cli.train import changed, fresh
from engine.config import RunConfig
from engine.rundir.layout import RunDir
from engine.rundir.lock import RunLock
from engine.sinks import QuietSink, SinkContext, sinks
from engine.train.events import Event

SMALL = (
    *("--tokenizer", "char", "--layers", "1", "--heads", "2", "--dim", "8"),
    *("--block", "8", "--batch", "2", "--iters", "6", "--threads", "1"),
    *("--warmup", "2", "--eval-interval", "3", "--sample-interval", "6"),
    *("--sample-tokens", "5", "--checkpoint-interval", "3"),
)
WALL_CLOCK = {"elapsed_ms", "ms_per_iter", "tokens_per_sec"}

Alpha = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text to train on; runs and caches go to `tmp_path`."""
    monkeypatch.setenv("ALPHA_HOME", str(tmp_path))
    path = tmp_path / "text.txt"
    path.write_text("the quick brown fox jumps over the lazy dog\n" * 40)
    return path


@pytest.fixture
def alpha(capsys: pytest.CaptureFixture[str]) -> Alpha:
    """Runs a command line: exit status, what --json printed, stderr."""

    def command(*arguments: object) -> tuple[int, dict[str, Any], str]:
        status = main([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else {}, err

    return command


def rows(path: Path, without: Sequence[str] = ()) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in without} for line in lines]


def test_one_command_trains_and_ends_with_one_object(
    text: Path, tmp_path: Path, alpha: Alpha
) -> None:
    status, found, err = alpha("train", "--data", text, *SMALL, "--run", "first")
    assert status == 0
    run = RunDir(tmp_path / "outputs" / "first")
    assert found["run"] == "first"
    assert found["state"] == "completed"
    assert found["step"] == 6
    assert found["run_dir"] == str(run.path)
    assert found["checkpoint"] == str(run.store.path(6))
    assert found["params"] == run.record().parameters > 0
    assert found["val_loss"] == rows(run.metrics)[-1]["val_loss"]
    assert found["best_val_loss"] <= found["val_loss"]
    assert found["train_loss"] > 0
    assert found["tokens_per_sec"] > 0
    assert "6/6" in err
    assert [row["step"] for row in rows(run.metrics)] == [1, 2, 3, 4, 5, 6]
    assert len(rows(run.samples)) == 1
    assert run.record().dataset["split"]["rule"] == "contiguous"
    assert run.record().environment["blas_core"]
    assert run.record().config["model"]["vocab_size"] == 28


def test_a_run_without_a_name_gets_one_by_its_text(
    text: Path, tmp_path: Path, alpha: Alpha
) -> None:
    _, found, _ = alpha("train", "--data", text, *SMALL, "--name", "a try")
    assert "-text-" in found["run"]
    assert RunDir(tmp_path / "outputs" / found["run"]).record().name == "a try"


def test_a_run_can_lie_anywhere(text: Path, tmp_path: Path, alpha: Alpha) -> None:
    place = tmp_path / "some" / "where"
    _, found, _ = alpha("train", "--data", text, *SMALL, "--run-dir", place)
    assert (found["run"], found["run_dir"]) == ("where", str(place))
    status, _, err = alpha("train", "--resume", place, "--iters", "8")
    assert status == 0
    assert "going on from step 6" in err


def test_going_on_gives_what_one_long_run_gives(
    text: Path, tmp_path: Path, alpha: Alpha
) -> None:
    whole = ("--data", text, *SMALL, "--schedule", "constant", "--dropout", "0.1")
    alpha("train", *whole, "--run", "whole", "--iters", 9)
    alpha("train", *whole, "--run", "parts")
    status, found, err = alpha("train", "--resume", "parts", "--iters", 9)
    assert status == 0
    assert found["step"] == 9
    assert "resumed with iters 6 -> 9 [settings_changed]" in err
    ours, theirs = (
        rows(tmp_path / "outputs" / name / "metrics.jsonl", [*WALL_CLOCK, "val_loss"])
        for name in ("parts", "whole")
    )
    assert ours == theirs


def test_auto_begins_what_is_not_there_and_goes_on_with_what_is(
    text: Path, alpha: Alpha
) -> None:
    auto = ("train", "--data", text, *SMALL, "--run", "mine", "--resume", "auto")
    assert "starting" in alpha(*auto)[2]
    assert "going on from step 6" in alpha(*auto)[2]
    status, found, err = alpha("train", "--data", text, *SMALL, "--resume", "auto")
    assert (status, found["run"] != "mine") == (0, True), err


def test_auto_without_a_name_takes_the_last_unfinished_run(
    text: Path, tmp_path: Path, alpha: Alpha
) -> None:
    alpha("train", "--data", text, *SMALL, "--run", "done")
    alpha("train", "--data", text, *SMALL, "--run", "died")
    run = RunDir(tmp_path / "outputs" / "died")
    record = json.loads((run.path / "run.json").read_text()) | {"state": "active"}
    (run.path / "run.json").write_text(json.dumps(record))
    assert run.state() == "stale"
    assert alpha("train", "--resume", "auto")[1]["run"] == "died"


def test_resume_alone_is_the_last_run(text: Path, alpha: Alpha) -> None:
    alpha("train", "--data", text, *SMALL, "--run", "b")
    alpha("train", "--data", text, *SMALL, "--run", "a")
    assert alpha("train", "--resume")[1]["run"] == "a"


def test_an_earlier_checkpoint_is_gone_on_from_when_asked(
    text: Path, tmp_path: Path, alpha: Alpha
) -> None:
    alpha("train", "--data", text, *SMALL, "--run", "first")
    before = rows(tmp_path / "outputs/first/metrics.jsonl", [*WALL_CLOCK])
    weights = tmp_path / "outputs/first/checkpoints/step-00000006/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    status, _, err = alpha("train", "--resume", "first")
    assert status == 2
    assert "model.safetensors is truncated" in err
    assert "--from-step 3" in err
    status, _, err = alpha("train", "--resume", "first", "--from-step", 3)
    assert status == 0, err
    assert rows(tmp_path / "outputs/first/metrics.jsonl", [*WALL_CLOCK]) == before


def test_events_go_to_a_sink_from_outside_too(text: Path, alpha: Alpha) -> None:
    heard: list[str] = []

    @sinks.register("parrot")
    class Parrot(QuietSink):
        def __init__(self, context: SinkContext) -> None:
            pass

        def handle(self, event: Event) -> None:
            heard.append(event.kind)

    try:
        alpha("train", "--data", text, *SMALL, "--sink", "parrot")
    finally:
        sinks.unregister("parrot")
    assert heard[-1] == "run_completed"


def test_the_batch_can_be_as_large_as_fits(
    text: Path, tmp_path: Path, alpha: Alpha, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.session.launch.available_memory", lambda: 8_000_000)
    auto = ("--batch", "auto", "--memory-share", "0.5")
    status, _, err = alpha("train", "--data", text, *SMALL, *auto, "--run", "first")
    assert status == 0, err
    batch = RunDir(tmp_path / "outputs/first").record().config["train"]["batch"]
    assert int(batch) > 2
    assert alpha("train", "--resume", "first", *auto)[0] == 0


BAD = {
    "no data": ((), "--data = '': name a file, or a domain"),
    "missing file": (("--data", "gone.txt"), "gone.txt"),
    "empty file": (("--data", "empty.txt"), "empty.txt"),
    "short file": (("--data", "short.txt", "--block", "64"), "needs at least 65"),
    "broken UTF-8": (("--data", "broken.txt"), "broken.txt"),
    "unknown domain": (("--domain", "cookery"), "'cookery': known are: python"),
    "heads": (("--data", "text.txt", "--heads", "3"), "--heads = 3: must divide"),
    "vocabulary": (
        ("--data", "text.txt", "--tokenizer", "bpe-64k"),
        "a vocabulary of 64000 is larger than this text allows",
    ),
    "optimizer": (("--data", "text.txt", "--optimizer", "magic"), "'magic': known"),
    "schedule": (("--data", "text.txt", "--schedule", "wave"), "'wave': known are"),
    "backend": (("--data", "text.txt", "--backend", "abacus"), "'abacus': known are"),
    "sink": (("--data", "text.txt", "--sink", "drain"), "'drain': known are: "),
    "run's name": (("--data", "text.txt", "--run", "../x"), "--run = '../x'|run = "),
    "run to resume": (("--resume", "gone"), "no run 'gone' in"),
    "nothing to resume": (("--resume",), "there is no run in"),
    "step alone": (("--data", "text.txt", "--from-step", "3"), "goes with --resume"),
    "names": (
        ("--data", "text.txt", "--run", "a", "--run-dir", "b"),
        "the directory's name is the run's id",
    ),
}


@pytest.mark.parametrize(("flags", "says"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_leaves_nothing(
    flags: Sequence[str],
    says: str,
    text: Path,
    tmp_path: Path,
    alpha: Alpha,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "short.txt").write_text("abcdef" * 6)
    (tmp_path / "broken.txt").write_bytes(b"abc\xff\xfe" * 30)
    status, found, err = alpha("train", *SMALL, *flags)
    assert status == 2
    assert found == {}
    last = err.splitlines()[-1]
    assert last.startswith("alpha: error: ")
    assert any(part in last for part in says.split("|")), last
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--layers", "2"), "--layers = 2: the run has 1, and resuming cannot change"),
        (("--tokenizer", "word"), "--tokenizer = 'word': the run has 'char'"),
        (("--optimizer", "lion"), "--optimizer = 'lion': the run has 'adamw'"),
        (("--preset", "modern"), "--activation = 'swiglu': the run has 'gelu'"),
        (("--data", "other.txt"), "not the text that the run began with"),
    ],
)
def test_a_changed_run_is_not_gone_on_with_and_the_field_is_named(
    flags: Sequence[str],
    says: str,
    text: Path,
    tmp_path: Path,
    alpha: Alpha,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.txt").write_text("god yzal eht revo\n" * 90)
    alpha("train", "--data", text, *SMALL, "--run", "first")
    before = snapshot(tmp_path / "outputs")
    status, _, err = alpha("train", "--resume", "first", *flags)
    assert status == 2
    assert says in err.splitlines()[-1]
    assert snapshot(tmp_path / "outputs") == before


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file's content, the lock's aside."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if path.name != "lock"}


def test_an_altered_tokenizer_is_refused(
    text: Path, tmp_path: Path, alpha: Alpha
) -> None:
    alpha("train", "--data", text, *SMALL, "--run", "first")
    path = tmp_path / "outputs/first/tokenizer.json"
    path.write_text(path.read_text().replace("q", "Q"))
    status, _, err = alpha("train", "--resume", "first")
    assert status == 2
    assert "tokenizer.json" in err.splitlines()[-1]


def test_a_name_in_use_is_refused_and_that_run_is_as_it_was(
    text: Path, tmp_path: Path, alpha: Alpha
) -> None:
    alpha("train", "--data", text, *SMALL, "--run", "first")
    before = snapshot(tmp_path / "outputs")
    status, _, err = alpha("train", "--data", text, *SMALL, "--run", "first")
    assert status == 2
    assert "exists; choose another name or resume that run" in err
    assert snapshot(tmp_path / "outputs") == before


def test_a_run_that_another_process_writes_is_left_alone(
    text: Path, tmp_path: Path, alpha: Alpha
) -> None:
    alpha("train", "--data", text, *SMALL, "--run", "first")
    lock = RunLock(tmp_path / "outputs/first")
    status, _, err = alpha("train", "--resume", "first")
    lock.close()
    assert status == 1
    assert f"first is being written by process {os.getpid()}" in err


@pytest.mark.parametrize("room", [0, 3000, 8000])
def test_a_full_disk_is_one_line_and_leaves_no_half_of_anything(
    room: int,
    text: Path,
    tmp_path: Path,
    alpha: Alpha,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alpha("train", "--data", text, *SMALL, "--run", "first")
    write, left = os.write, room

    def full(descriptor: int, data: memoryview) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(left, len(data))
        left -= taken
        return write(descriptor, data[:taken])

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "write", full)
        status, _, err = alpha("train", "--resume", "first", "--iters", "12")
    assert status == 1
    assert "No space left on device; free some space" in err.splitlines()[-1]
    run = RunDir(tmp_path / "outputs/first")
    assert not list(run.path.rglob(f"{storage.SCRAP}*"))
    assert all(run.store.fault(step) is None for step in run.store.steps())
    status, found, err = alpha("train", "--resume", "first", "--iters", "12")
    assert (status, found.get("step")) == (0, 12), err


def test_killed_while_training_a_real_model_and_gone_on_with(
    text: Path, tmp_path: Path, alpha: Alpha
) -> None:
    seldom = ("--checkpoint-interval", 15, "--eval-interval", 30)
    flags = ("--data", text, *SMALL, "--iters", 120, "--dropout", "0.1", *seldom)
    whole = alpha("train", *flags, "--run", "whole")[1]
    command = ["train", *flags, "--run", "killed", "--resume", "auto"]
    metrics = tmp_path / "outputs/killed/metrics.jsonl"
    for lines in (20, 70):
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", *map(str, command)],
            stderr=subprocess.DEVNULL,
        )
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") > lines):
            assert process.poll() is None
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert RunDir(metrics.parent).state() == "stale"
    found = alpha(*command)[1]
    assert found["val_loss"] == whole["val_loss"]
    theirs = tmp_path / "outputs/whole/metrics.jsonl"
    assert rows(metrics, [*WALL_CLOCK]) == rows(theirs, [*WALL_CLOCK])


def test_a_domain_gives_what_the_user_does_not() -> None:
    config = fresh({"domain": "python", "iters": 7}, "gpt2")
    assert config.train.iters == 7
    assert config.data.tokenizer == "bpe"
    with_preset = fresh({"domain": "python"}, "modern")
    assert with_preset.model.position == "rotary"


def test_going_on_keeps_the_settings_that_nobody_changes() -> None:
    before = RunConfig.from_dict(
        {"model": {"n_layer": 3}, "train": {"batch": "7", "iters": 5}}
    )
    now = changed(before, {"batch": "auto", "iters": 9}, "gpt2")
    assert now == RunConfig.from_dict(
        {"model": {"n_layer": 3}, "train": {"batch": "7", "iters": 9}}
    )
