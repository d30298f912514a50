"""`alpha evaluate`: the loss of a checkpoint on its run's validation text, or another.

Knows flags and how figures are named. Knows no model from inside.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.checkpoint import Checkpoint, load_checkpoint
from engine.cli.console import console
from engine.config import RunConfig
from engine.data import TokenStore, eval_batches, open_source
from engine.data.batches import window_count
from engine.data.encode import Encoder
from engine.errors import CheckpointError, DataError, InputError
from engine.home import cache_dir, outputs_dir
from engine.rundir.layout import RunDir, find
from engine.session.ingredients import choose_backend, gather
from engine.tokenizers import Tokenizer, load_tokenizer
from engine.train.evaluation import Evaluator

HELP = "the loss of a checkpoint on its validation text, or on another"

#: Sequences evaluated at once, where --batch names no number.
BATCH = 16


def add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that name a checkpoint, as `checkpoint_of` reads them."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", metavar="ID", help="a run's id or directory, or 'last'")
    which.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="a checkpoint's directory"
    )
    parser.add_argument(
        "--step",
        metavar="N",
        default="last",
        help="with --run: the checkpoint's step, 'last' (the default) or 'best'",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which checkpoint, on which text."""
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--data",
        default="",
        metavar="FILE",
        help="evaluate on all of this text (default: the run's validation split)",
    )
    parser.add_argument(
        "--batch", type=int, default=BATCH, metavar="N", help="sequences at once"
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="0: one a core"
    )


@dataclass(frozen=True)
class Text:
    """Tokens to evaluate on, and how many bytes their targets spell."""

    name: str
    store: TokenStore
    target_bytes: int


def run(options: argparse.Namespace) -> dict[str, object]:
    """Evaluate; loss, perplexity and bits per byte."""
    path = options.checkpoint or checkpoint_of(options.run, options.step)
    checkpoint = load_checkpoint(path, optimizer=False)
    about = checkpoint.manifest.about
    config = RunConfig.from_dict(about["config"])
    tokenizer = tokenizer_of(checkpoint)
    text = text_of(options.data, config, tokenizer, about["dataset"].get("digest", ""))
    batch = min(options.batch, window_count(text.store, config.model.block_size))
    evaluator = Evaluator(config.model, batch, choose_backend(config.train))
    evaluator.load(
        {name.removeprefix("model."): a for name, a in checkpoint.arrays.items()}
    )
    start = time.perf_counter()
    found = evaluator.evaluate(eval_batches(text.store, batch, config.model.block_size))
    took = time.perf_counter() - start
    bits = found.bits_per_byte(text.store.targets, text.target_bytes)
    console().print(
        f"{text.name}, step {checkpoint.manifest.step}: loss {found.loss:.4f}, "
        f"perplexity {found.perplexity:.2f}, {bits:.4f} bits per byte",
        markup=False,
    )
    return {
        "run": about["run"],
        "checkpoint": checkpoint.path,
        "step": checkpoint.manifest.step,
        "data": text.name,
        "val_loss": found.loss,
        "perplexity": found.perplexity,
        "bits_per_byte": bits,
        "tokens": found.tokens,
        "tokens_per_sec": found.tokens / took,
    }


def checkpoint_of(name: str, step: str) -> Path:
    """The checkpoint of a run by its step. Raises InputError."""
    run = find(name, outputs_dir())
    steps = run.store.steps()
    if not steps:
        raise InputError(f"{run.path} has no checkpoint yet")
    if step == "last":
        return run.store.path(steps[-1])
    if step == "best":
        best = run.record().best_step
        return run.store.path(best if best in steps else steps[-1])
    if not step.isdigit() or int(step) not in steps:
        known = ", ".join(map(str, steps))
        raise InputError(f"--step {step}: {run.path} has {known}, 'last' and 'best'")
    return run.store.path(int(step))


def tokenizer_of(checkpoint: Checkpoint) -> Tokenizer:
    """The tokenizer beside a checkpoint or in its run, if it is the right one."""
    path = checkpoint.path.resolve()
    for file in (path / "tokenizer.json", RunDir(path.parent.parent).tokenizer):
        if file.exists():
            tokenizer = load_tokenizer(file)
            wanted = checkpoint.manifest.about["tokenizer"].get("fingerprint")
            if tokenizer.fingerprint != wanted:
                raise CheckpointError(f"{file} is not the tokenizer of {path}")
            return tokenizer
    raise CheckpointError(
        f"{path} has no tokenizer: tokenizer.json belongs there, or in its run"
    )


def text_of(data: str, config: RunConfig, tokenizer: Tokenizer, digest: str) -> Text:
    """All of the text that `data` names, else the run's validation split."""
    if not data:
        say = console()
        found = gather(
            config,
            cache_dir(),
            tokenizer=tokenizer,
            digest=digest,
            say=lambda line: say.print(line, markup=False),
        ).dataset
        name = f"validation split of {found.record['source']}"
        return Text(name, found.val, found.record["val"]["target_bytes"])
    source, encoder = open_source(data), Encoder(tokenizer)
    encoded = [encoder.encode(piece, source.kind) for piece in source.pieces()]
    if not encoded:
        raise DataError(f"{source.name}: holds no text")
    counts = None
    if source.kind == "chat":
        counts = np.concatenate([part.counts for part in encoded])
    store = TokenStore.of(
        np.concatenate([part.ids for part in encoded]), counts, source.name
    )
    return Text(source.name, store, sum(part.target_bytes for part in encoded))
