"""What a plan says is what the process takes: its peak grows by that, within a tenth.

Measured in a process of its own, by Linux's count of the pages it has touched.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

MEASURE = textwrap.dedent(
    """
    import json
    import re
    import sys
    from pathlib import Path

    import numpy as np

    from engine.backends import backends
    from engine.config import ModelConfig, OptimConfig, TrainConfig
    from engine.train.compile import compile_step
    from engine.train.memory import step_memory

    def resident(what):
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(rf"{what}:\\s+(\\d+)", status).group(1))

    def train(model, batch, backend):
        optim = OptimConfig(optimizer=settings["optimizer"])
        step = compile_step(model, optim, TrainConfig(), batch, backend=backend)
        rows = np.zeros((batch, model.block_size), np.int32)
        for number in range(3):
            step.train_step([(rows, rows)], lr=1e-3, step=number + 1)
        step.eval_loss((rows, rows))
        return step

    settings = json.loads(sys.argv[1])
    small = ModelConfig(
        vocab_size=16, block_size=8, n_layer=1, n_head=2, n_embd=8, **settings["model"]
    )
    large = ModelConfig(
        vocab_size=512, block_size=128, n_layer=3, n_head=4, n_embd=256,
        **settings["model"],
    )
    square = np.ones((1024, 1024), np.float32)
    square @ square  # the BLAS's own working memory
    train(small, 2, backends.get("numpy")(1))
    before = resident("VmRSS")
    step = train(large, 16, backends.get("numpy")(settings["threads"]))
    plan = step_memory(step).total
    grown = resident("VmHWM") - before
    print(json.dumps({"grown": grown, "plan": plan}))
    """
)

MODELS = {
    "gpt2": {"optimizer": "adamw", "model": {"dropout": 0.1}},
    "modern": {
        "optimizer": "muon",
        "model": {
            "position": "rotary",
            "norm": "rmsnorm",
            "activation": "swiglu",
            "qk_norm": True,
            "bias": False,
        },
    },
}


def measured(name: str, threads: int) -> dict[str, int]:
    settings = json.dumps({**MODELS[name], "threads": threads})
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, settings],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_process_grows_by_what_the_plan_says(name: str) -> None:
    found = measured(name, threads=1)
    assert 0.9 * found["plan"] < found["grown"] < 1.1 * found["plan"]


@pytest.mark.parametrize("name", MODELS)
def test_with_workers_it_grows_by_no_more_than_that(name: str) -> None:
    """By how much less is chance: by what only the other worker touches."""
    found = measured(name, threads=2)
    assert 0.5 * found["plan"] < found["grown"] < 1.1 * found["plan"]
