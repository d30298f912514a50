"""`alpha plan`: what a run would take and learn from, before it is begun.

Takes the flags of `alpha train` and trains nothing. The step is compiled as training
would compile it, so that its memory is the compiler's own figure.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from typing import Any

from rich.table import Table

from engine.cli.console import console
from engine.cli.flags import add_config_arguments, given
from engine.cli.train import fresh
from engine.config import ModelConfig, RunConfig, require
from engine.home import cache_dir
from engine.model import parameters
from engine.session.ingredients import Ingredients, gather
from engine.session.launch import budget, compiled, with_batch
from engine.train.flops import forward_flops_per_token, training_flops_per_token
from engine.train.memory import available_memory, step_memory
from engine.train.planning import check_plan

HELP = "parameters, operations, memory and warnings of a run, before it is begun"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The settings of a run."""
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, object]:
    """Compile the run's step, count, and show; nothing is trained or kept."""
    config = fresh(given(options), options.preset)
    ingredients = None
    if config.data.data or config.data.domain:
        ingredients = gather(config, cache_dir(), say=say)
        config = ingredients.config
    require(
        config.model.vocab_size > 0,
        "vocab_size",
        0,
        "without a text to train on, say how many tokens there are",
    )
    found = plan(config, ingredients)
    show(found)
    return found


def plan(config: RunConfig, ingredients: Ingredients | None) -> dict[str, Any]:
    """What `--json` prints. Without a text, what depends on one is left out."""
    step = compiled(config)
    batch = step.batch_shape[0]
    memory = step_memory(step)
    found: dict[str, Any] = {
        "params": step.parameter_count,
        "params_by_kind": params_by_kind(config.model),
        "batch": batch,
        "tokens_per_step": batch * config.model.block_size * config.train.accum,
        "flops_per_token": training_flops_per_token(config.model),
        "forward_flops_per_token": forward_flops_per_token(config.model),
        "memory": dataclasses.asdict(memory) | {"total": memory.total},
        "memory_available": available_memory(),
        "warnings": [],
    }
    if ingredients is None:
        return found
    config = with_batch(config, step)
    counts = budget(config, step.parameter_count, ingredients.dataset)
    warnings = check_plan(config, counts)
    return found | {
        "dataset": ingredients.dataset.record,
        "vocab_size": counts.vocab_size,
        "train_tokens": counts.train_tokens,
        "tokens_trained": counts.trained_tokens,
        "tokens_per_parameter": counts.tokens_per_parameter,
        "dataset_passes": counts.passes,
        "flops": counts.trained_tokens * found["flops_per_token"],
        "warnings": [{"code": w.code, "message": w.message} for w in warnings],
    }


def params_by_kind(model: ModelConfig) -> dict[str, int]:
    """How many parameters are embeddings, matrices, gains, biases."""
    counts: Counter[str] = Counter()
    for parameter in parameters(model):
        counts[parameter.kind.value] += parameter.size
    return dict(counts)


def show(found: dict[str, Any]) -> None:
    """The plan as a table on stderr."""
    table = Table(box=None, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    rows: list[tuple[str, str]] = [("parameters", f"{found['params']:,}")]
    rows += [(f"  {k}", f"{n:,}") for k, n in found["params_by_kind"].items()]
    rows += [
        ("operations a token, forward", f"{found['forward_flops_per_token']:,}"),
        ("operations a token, training", f"{found['flops_per_token']:,}"),
        ("sequences a micro-batch", f"{found['batch']:,}"),
        ("tokens a step", f"{found['tokens_per_step']:,}"),
    ]
    if "train_tokens" in found:
        rows += [
            ("vocabulary", f"{found['vocab_size']:,}"),
            ("training tokens", f"{found['train_tokens']:,}"),
            ("training tokens a parameter", f"{found['tokens_per_parameter']:.2f}"),
            ("passes over them", f"{found['dataset_passes']:.2f}"),
            ("operations in all", f"{found['flops']:.3g}"),
        ]
    memory = found["memory"]
    rows += [(f"memory, {kind}", mebibytes(size)) for kind, size in memory.items()]
    rows.append(("memory available", mebibytes(found["memory_available"])))
    for name, value in rows:
        table.add_row(name, value)
    out = console()
    out.print(table)
    for warning in found["warnings"]:
        out.print(f"warning: {warning['message']} [{warning['code']}]", markup=False)


def mebibytes(size: int) -> str:
    """A size for people."""
    return f"{size / 2**20:,.1f} MiB"


def say(line: str) -> None:
    """Tell what is being done."""
    console().print(line, markup=False)
