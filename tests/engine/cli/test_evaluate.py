import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.cli.main import main
from engine.rundir.layout import RunDir

SMALL = (
    *("--layers", "1", "--heads", "2", "--dim", "8", "--block", "8", "--batch", "2"),
    *("--iters", "6", "--threads", "1", "--warmup", "2", "--eval-interval", "3"),
    *("--sample-interval", "0", "--checkpoint-interval", "3", "--lr", "0.01"),
)

Alpha = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def alpha(capsys: pytest.CaptureFixture[str]) -> Alpha:
    def command(*arguments: object) -> tuple[int, dict[str, Any], str]:
        status = main([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else {}, err

    return command


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alpha: Alpha) -> RunDir:
    """A trained run of a character model, with two bytes in some characters."""
    monkeypatch.setenv("ALPHA_HOME", str(tmp_path))
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox: aeiöü\n" * 40)
    status, _, err = alpha(
        "train", "--data", text, "--tokenizer", "char", *SMALL, "--run", "first"
    )
    assert status == 0, err
    return RunDir(tmp_path / "outputs/first")


def test_a_run_is_evaluated_on_its_validation_split(run: RunDir, alpha: Alpha) -> None:
    status, found, err = alpha("evaluate", "--run", "first")
    assert status == 0
    assert found["val_loss"] == pytest.approx(run.record().val_loss, rel=1e-6)
    assert found["perplexity"] == pytest.approx(math.exp(found["val_loss"]))
    val = run.record().dataset["val"]
    assert found["tokens"] == val["tokens"] - 1
    bits = found["val_loss"] / math.log(2) * val["tokens"] / val["bytes"]
    assert found["bits_per_byte"] == pytest.approx(bits)
    assert val["bytes"] > val["tokens"]
    assert found["checkpoint"] == str(run.store.path(6))
    assert "perplexity" in err


def test_a_checkpoint_is_chosen_by_its_step_or_its_path(
    run: RunDir, alpha: Alpha
) -> None:
    path = run.store.path(3)
    by_step = alpha("evaluate", "--run", "first", "--step", 3)[1]
    by_path = alpha("evaluate", "--checkpoint", path)[1]
    assert by_step["step"] == by_path["step"] == 3
    assert by_step["val_loss"] == by_path["val_loss"]
    best = alpha("evaluate", "--run", "first", "--step", "best")[1]
    assert best["step"] == run.record().best_step


def test_another_text_is_evaluated_whole(
    run: RunDir, alpha: Alpha, tmp_path: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("fox the quick")
    status, found, _ = alpha("evaluate", "--run", "first", "--data", other)
    assert (status, found["tokens"], found["data"]) == (0, 12, str(other))


def test_the_batch_changes_nothing_but_the_time(run: RunDir, alpha: Alpha) -> None:
    one, many = (
        alpha("evaluate", "--run", "first", "--batch", batch)[1] for batch in (1, 64)
    )
    assert one["val_loss"] == pytest.approx(many["val_loss"], rel=1e-6)


def test_a_checkpoint_taken_elsewhere_needs_no_optimizer_but_its_tokenizer(
    run: RunDir, alpha: Alpha, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    shutil.copytree(run.store.path(6), away)
    (away / "optimizer.safetensors").unlink()
    status, _, err = alpha("evaluate", "--checkpoint", away)
    assert status == 2
    assert "has no tokenizer: tokenizer.json belongs there" in err
    shutil.copy(run.tokenizer, away)
    assert alpha("evaluate", "--checkpoint", away)[0] == 0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "--run --checkpoint"),
        (("--run", "gone"), "no run 'gone' in"),
        (("--run", "first", "--step", "5"), "--step 5: "),
        (("--checkpoint", "gone"), "gone: no such checkpoint"),
        (("--run", "first", "--data", "empty.txt"), "empty.txt"),
        (("--run", "first", "--data", "alien.txt"), "not in the vocabulary"),
    ],
)
def test_bad_input_is_one_line(
    flags: tuple[str, ...],
    says: str,
    run: RunDir,
    alpha: Alpha,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "alien.txt").write_text("ЖЖЖЖ")
    status, found, err = alpha("evaluate", *flags)
    assert (status, found) == (2, {})
    assert says in err.splitlines()[-1]


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_named(run: RunDir, alpha: Alpha, name: str) -> None:
    path = run.store.path(6) / name
    path.write_bytes(path.read_bytes()[:-9])
    status, _, err = alpha("evaluate", "--run", "first")
    assert status == 2
    assert name in err.splitlines()[-1]


def test_a_text_that_changed_since_is_refused(
    run: RunDir, alpha: Alpha, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("the quick brown fox\n" * 50)
    status, _, err = alpha("evaluate", "--run", "first")
    assert status == 2
    assert "not the text that the run began with" in err
