import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.cli.main import main

SMALL = ("--layers", "2", "--heads", "2", "--dim", "16", "--block", "8", "--batch", "2")

Plan = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def plan(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Plan:
    monkeypatch.setenv("ALPHA_HOME", str(tmp_path / "home"))

    def command(*arguments: object) -> tuple[int, dict[str, Any], str]:
        status = main(["plan", *SMALL, *map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else {}, err

    return command


def test_a_model_is_counted_without_any_text(plan: Plan) -> None:
    status, found, err = plan("--model-vocab-size", 100)
    assert status == 0
    assert found["params"] == sum(found["params_by_kind"].values())
    assert found["params_by_kind"]["embedding"] == 100 * 16 + 8 * 16
    assert found["flops_per_token"] == 3 * found["forward_flops_per_token"]
    assert found["tokens_per_step"] == 2 * 8
    memory = found["memory"]
    assert memory["total"] == sum(v for k, v in memory.items() if k != "total")
    assert "tokens_per_parameter" not in found
    assert "memory, activations" in err


def test_with_a_text_its_tokens_are_weighed_against_the_model(
    plan: Plan, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox\n" * 40)
    status, found, err = plan("--data", text, "--tokenizer", "char", "--iters", 1000)
    assert status == 0
    assert found["vocab_size"] == len(set("the quick brown fox\n"))
    assert found["train_tokens"] == 720
    assert found["dataset_passes"] == pytest.approx(16_000 / 720)
    assert found["tokens_per_parameter"] == pytest.approx(720 / found["params"])
    codes = [warning["code"] for warning in found["warnings"]]
    assert codes == ["tokens_per_parameter", "dataset_passes"]
    assert "[dataset_passes]" in err


def test_nothing_is_trained_or_left_but_the_cache(plan: Plan, tmp_path: Path) -> None:
    plan("--model-vocab-size", 100)
    assert not (tmp_path / "home").exists()


def test_a_larger_batch_takes_more_memory_and_no_more_parameters(plan: Plan) -> None:
    small = plan("--model-vocab-size", 100, "--batch", 2)[1]
    large = plan("--model-vocab-size", 100, "--batch", 20)[1]
    assert large["params"] == small["params"]
    assert large["memory"]["activations"] > 5 * small["memory"]["activations"]


def test_without_a_text_the_vocabulary_must_be_said(plan: Plan) -> None:
    status, _, err = plan()
    assert status == 2
    assert "--model-vocab-size = 0: without a text to train on" in err
