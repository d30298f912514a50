"""`alpha train`: train a model, or go on with a run.

Knows flags, names of runs and the terminal. How a run is put together is in
`engine.session.launch`; what it leaves behind, docs/runs.md says.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.cli.console import console
from engine.cli.flags import add_config_arguments, given, resolve
from engine.config import PRESETS, RunConfig
from engine.domains import domains
from engine.errors import InputError
from engine.home import outputs_dir
from engine.rundir.layout import RunDir, find, runs
from engine.rundir.names import check_run_id, new_run_id
from engine.session.conduct import DEFAULT_SINKS
from engine.session.launch import Surroundings, resume_run, start_run
from engine.sinks import sinks
from engine.train.control import StopSignals

HELP = "train a model, or go on with a run"

#: States from which `--resume auto` goes on.
UNFINISHED = ("active", "stale", "paused", "stopped", "failed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every setting of a run, where it goes, and what it goes on from."""
    add_config_arguments(parser)
    group = parser.add_argument_group("the run")
    group.add_argument("--run", metavar="ID", help="the run's id (default: made up)")
    group.add_argument(
        "--run-dir",
        type=Path,
        metavar="DIR",
        help="the run's own directory (default: outputs/ID)",
    )
    group.add_argument("--name", default="", metavar="TEXT", help="a title for people")
    group.add_argument(
        "--resume",
        nargs="?",
        const="last",
        metavar="RUN",
        help="go on with a run: its id, its directory, 'last' (the default), or "
        "'auto': the one --run names or else the last unfinished one, if it exists",
    )
    group.add_argument(
        "--from-step",
        type=int,
        metavar="N",
        help="with --resume: go on from the checkpoint of step N (0: from nothing); "
        "what came after it is dropped",
    )
    group.add_argument(
        "--sink",
        action="append",
        default=[],
        metavar="NAME",
        help=f"send events there too; known are: {', '.join(sinks)}",
    )


def run(options: argparse.Namespace) -> dict[str, object]:
    """Train; the run's result. Raises AlphaError."""
    for name in options.sink:
        sinks.get(name)
    settings = given(options)
    existing = to_resume(options)
    if options.from_step is not None and existing is None:
        raise InputError(
            "--from-step goes with --resume: there is no run to go on with"
        )
    with StopSignals(notify) as control:
        around = Surroundings(
            control=control,
            sinks=(*DEFAULT_SINKS, *options.sink),
            say=lambda line: console().print(line, markup=False),
        )
        if existing is not None:
            config = changed(existing.record().run_config(), settings, options.preset)
            resume_run(existing, config, options.from_step, around)
            return result(existing)
        config = fresh(settings, options.preset)
        place = new_place(options, config)
        start_run(config, place, options.name, around)
    return result(RunDir(place))


def fresh(settings: Mapping[str, Any], preset: str) -> RunConfig:
    """The configuration of a new run. Raises ConfigError."""
    name = settings.get("domain", "")
    defaults = domains.get(name).defaults() if name else {}
    return resolve(settings, preset, defaults)


def changed(before: RunConfig, settings: Mapping[str, Any], preset: str) -> RunConfig:
    """A run's configuration with what the user says now on top.

    The batch that "auto" found stays; a text's path is made absolute as it was.
    """
    recorded = {k: v for part in before.to_dict().values() for k, v in part.items()}
    said = {**PRESETS[preset], **settings}
    if said.get("batch") == "auto":
        del said["batch"]
    if said.get("data"):
        said["data"] = str(Path(said["data"]).resolve())
    return resolve({**recorded, **said})


def to_resume(options: argparse.Namespace) -> RunDir | None:
    """The run to go on with, None for a new one. Raises InputError."""
    outputs = outputs_dir()
    if options.resume is None:
        return None
    if options.resume != "auto":
        return find(options.resume, outputs)
    if options.run or options.run_dir:
        named = RunDir(options.run_dir or outputs / check_run_id(options.run))
        return named if named.exists() else None
    unfinished = [run for run in runs(outputs) if run.state() in UNFINISHED]
    return unfinished[-1] if unfinished else None


def new_place(options: argparse.Namespace, config: RunConfig) -> Path:
    """Where a new run goes; the last part of the path is its id."""
    if options.run_dir is not None:
        place = options.run_dir.resolve()
        if options.run and place.name != options.run:
            raise InputError(
                f"--run {options.run} and --run-dir {options.run_dir} differ: the "
                "directory's name is the run's id; give one of the two"
            )
        return Path(place)
    label = config.data.domain or Path(config.data.data).stem
    name = options.run or new_run_id(label, datetime.now(UTC))
    return outputs_dir() / check_run_id(name)


def result(run: RunDir) -> dict[str, object]:
    """What `--json` prints."""
    record = run.record()
    checkpoint = run.path / record.checkpoint if record.checkpoint else None
    return {
        "run": record.run,
        "state": record.state,
        "step": record.step,
        "train_loss": record.train_loss,
        "val_loss": record.val_loss,
        "best_val_loss": record.best_val_loss,
        "tokens_per_sec": record.tokens_per_sec,
        "checkpoint": checkpoint,
        "run_dir": run.path,
        "params": record.parameters,
    }


def notify(line: str) -> None:
    """Tell the person at the keyboard, from inside a signal's handler.

    One plain write: a buffered stream must not be entered twice.
    """
    os.write(2, f"\n{line}\n".encode())
