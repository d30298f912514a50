"""A third party's optimizer, schedule, activation, tokenizer and sink train a model.

They live in one module outside the engine, `THIRD_PARTY`, that the user names.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

THIRD_PARTY = """
import json

import numpy as np

from engine.model.activations import Activation, activations
from engine.optim.base import Optimizer, optimizers
from engine.optim.schedules import schedules
from engine.sinks.base import QuietSink, sinks
from engine.tokenizers.base import Tokenizer, tokenizers


@optimizers.register("plain_descent")
class PlainDescent(Optimizer):
    def scalars(self, lr, update):
        return {"plain.rate": lr}

    def slots(self, group):
        return {}

    def update(self, group, param, grad, slots, scalars):
        return param - grad * scalars["plain.rate"], {}


@schedules.register("squared")
def squared(progress):
    return (1.0 - progress) ** 2


activations.register("cubed")(Activation(lambda x: x * x * x))


class HalfBytes(Tokenizer):
    kind = "half_bytes"

    def encode_ordinary(self, text, at=0):
        raw = np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8)
        return np.stack((raw >> 4, raw & 15), axis=1).ravel().astype(np.int32)

    def content(self):
        return {}


class HalfBytesBuilder:
    version = 1

    def build(self, texts, vocab_size=0, *, specials=()):
        return HalfBytes("half_bytes", [b"%x" % half for half in range(16)], specials)

    def load(self, record):
        return self.build((), specials=list(record["special_tokens"]))


tokenizers.register("half_bytes")(HalfBytesBuilder())


@sinks.register("tally")
class Tally(QuietSink):
    def __init__(self, context):
        self.path = context.run.path / "tally.json"
        self.counts = {}

    def handle(self, event):
        self.counts[event.kind] = self.counts.get(event.kind, 0) + 1

    def close(self):
        self.path.write_text(json.dumps(self.counts))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the third party's module and a text, and no more."""
    folder = tmp_path_factory.mktemp("third_party")
    (folder / "third_party.py").write_text(THIRD_PARTY)
    (folder / "text.txt").write_text("to be or not to be, that is the question\n" * 40)
    return folder


def engine(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the engine's command line in `place`."""
    return subprocess.run(
        [sys.executable, "-m", "engine", *arguments, "--json"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT), "ALPHA_HOME": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(place: Path) -> dict[str, Any]:
    """The result of a run that uses all that the third party brings."""
    done = engine(
        place,
        *("train", "--plugin", "third_party", "--data", "text.txt", "--run", "theirs"),
        *("--optimizer", "plain_descent", "--schedule", "squared", "--lr", "0.1"),
        *("--activation", "cubed", "--tokenizer", "half_bytes", "--sink", "tally"),
        *("--layers", "1", "--heads", "1", "--dim", "16", "--block", "16"),
        *("--batch", "4", "--iters", "30", "--warmup", "0", "--threads", "1"),
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_model_is_trained_with_them(trained: dict[str, Any]):
    assert trained["state"] == "completed"
    assert trained["step"] == 30
    uniform = 2.7726  # ln 16: what a model knows that learnt nothing
    assert trained["val_loss"] < uniform


def test_their_schedule_decided_the_learning_rates(trained: dict[str, Any]):
    lines = Path(trained["run_dir"], "metrics.jsonl").read_text().splitlines()
    rates = [json.loads(line)["lr"] for line in lines]
    falls = [before - after for before, after in itertools.pairwise(rates)]
    assert min(falls) > 0
    assert falls[0] > 5 * falls[-1]


def test_their_sink_was_told_of_every_step(trained: dict[str, Any]):
    counts = json.loads(Path(trained["run_dir"], "tally.json").read_text())
    assert counts["step_done"] == 30


def test_the_model_is_read_back_with_them(place: Path, trained: dict[str, Any]):
    done = engine(
        place,
        *("sample", "--plugin", "third_party", "--run", "theirs"),
        *("--prompt", "to be", "--max-tokens", "8"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_without_them_the_error_says_which_plugin_is_missing(
    place: Path, trained: dict[str, Any]
):
    done = engine(place, "sample", "--run", "theirs", "--prompt", "to be")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "half_bytes" in done.stderr
    assert "--plugin" in done.stderr
