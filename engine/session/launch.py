"""A run begun, or gone on with: from settings to its end.

Puts together what `engine.session.ingredients` gathers, a compiled step, a checkpoint
where there is one, and a session. Everything that can be refused is refused before
the run's directory is made or changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import engine
from engine.checkpoint import Checkpoint
from engine.config import RunConfig
from engine.data import BatchSource, Dataset, Prefetcher, eval_batches
from engine.domains import domains
from engine.errors import CheckpointError
from engine.home import cache_dir
from engine.optim.schedules import Schedule, schedule
from engine.rundir.environment import environment
from engine.rundir.layout import RunDir, check_free, create
from engine.rundir.lock import RunLock
from engine.rundir.names import check_run_id
from engine.rundir.record import RunRecord, now
from engine.session.conduct import DEFAULT_SINKS, run_session
from engine.session.ingredients import Ingredients, choose_backend, gather
from engine.session.resume import check_config, check_same, choose_checkpoint, notices
from engine.session.samples import PromptSampler, usable_prompts
from engine.storage import to_json
from engine.tokenizers import load_tokenizer
from engine.train.compile import CompiledStep, compile_step
from engine.train.control import Control, no_requests
from engine.train.events import Ending, Warning
from engine.train.job import Job
from engine.train.memory import available_memory, fit_batch, fit_remat
from engine.train.planning import Budget, check_plan
from engine.train.state import TrainerState

#: What of a dataset's record must be the same for a run to be gone on with.
DATASET_KEYS = ("digest", "kind", "split", "train", "val")


@dataclass(frozen=True)
class Surroundings:
    """What a session is run in.

    control  asked between steps whether to end
    sinks    names of the sinks that take the events
    say      told what is being prepared
    cache    where token shards and tokenizers are kept
    """

    control: Control = no_requests
    sinks: Sequence[str] = DEFAULT_SINKS
    say: Callable[[str], None] = lambda line: None
    cache: Path = dataclasses.field(default_factory=cache_dir)


@dataclass(frozen=True)
class Outfit:
    """Everything a session trains with. `config` has the batch filled in."""

    config: RunConfig
    ingredients: Ingredients
    step: CompiledStep
    batches: BatchSource
    lr: Schedule


def start_run(config: RunConfig, path: Path, name: str, around: Surroundings) -> Ending:
    """Make a run at `path` (its last part is the run's id) and train it.

    Raises InputError, and has then made nothing, for a path in use or settings or
    data that cannot be trained with; see `run_session` for what comes later.
    """
    run_id = check_run_id(path.name)
    check_free(path)
    outfit = _outfit(gather(config, around.cache, say=around.say))
    record = _record(run_id, name, outfit)
    counts = budget(
        outfit.config, outfit.step.parameter_count, outfit.ingredients.dataset
    )
    told = check_plan(outfit.config, counts)
    tokenizer = to_json(outfit.ingredients.tokenizer.to_json())
    run = create(path, record, tokenizer)
    with contextlib.closing(RunLock(path)):
        return _train(run, record, outfit, TrainerState(), told, around)


def resume_run(
    run: RunDir, config: RunConfig, from_step: int | None, around: Surroundings
) -> Ending:
    """Go on with `run`, from its last checkpoint or that of `from_step`.

    `config` is the run's own with the changes asked for. Raises ConfigError for a
    change that a run cannot take, CheckpointError for a damaged checkpoint,
    StorageError where another process writes the run; nothing has changed then.
    """
    with contextlib.closing(RunLock(run.path)):
        before = run.record()
        changed = check_config(before.run_config(), config)
        checkpoint = choose_checkpoint(run, from_step)
        tokenizer = load_tokenizer(run.tokenizer)
        ingredients = gather(
            config,
            around.cache,
            tokenizer=tokenizer,
            digest=before.dataset.get("digest", ""),
            say=around.say,
        )
        check_same("tokenizer", before.tokenizer, ingredients.tokenizer_record())
        dataset = {key: before.dataset.get(key) for key in DATASET_KEYS}
        check_same("data", dataset, ingredients.dataset.record)
        outfit = _outfit(ingredients)
        state = _load(checkpoint, before, outfit.step)
        record = dataclasses.replace(
            _record(before.run, before.name, outfit),
            created=before.created,
            started=before.started,
            sessions=before.sessions,
            train_loss=before.train_loss,
        )
        then = checkpoint.manifest.about if checkpoint else {}
        environment_then = then.get("environment", before.environment)
        told = notices(state.step, changed, environment_then, record.environment)
        return _train(run, record, outfit, state, told, around)


def budget(config: RunConfig, parameter_count: int, dataset: Dataset) -> Budget:
    """The counts that planning checks go by; the config's batch is a number."""
    sequences = int(config.train.batch) * config.train.accum
    return Budget(
        parameters=parameter_count,
        train_tokens=len(dataset.train),
        val_tokens=len(dataset.val),
        vocab_size=config.model.vocab_size,
        step_tokens=sequences * config.model.block_size,
        iters=config.train.iters,
    )


def _outfit(ingredients: Ingredients) -> Outfit:
    config = ingredients.config
    step = compiled(config)
    config = with_batch(config, step)
    batches = BatchSource(
        ingredients.dataset.train,
        step.batch_shape[0],
        config.model.block_size,
        config.train.seed,
        config.data.packing,
    )
    lr = schedule(config.optim, config.train.iters)
    return Outfit(config, ingredients, step, batches, lr)


def compiled(config: RunConfig) -> CompiledStep:
    """The training step of `config`, with what is "auto" decided by memory.

    Batch "auto" is the largest that fits. Remat "auto" recomputes where activations
    would not fit otherwise; beside batch "auto" it keeps them.
    """
    train, backend = config.train, choose_backend(config.train)
    limit = int(train.memory_share * available_memory())
    model, optim = config.model, config.optim
    if train.batch == "auto":
        if train.remat == "auto":
            train = dataclasses.replace(train, remat="none")
        return fit_batch(model, optim, train, backend, limit)
    batch = int(train.batch)
    if train.remat == "auto":
        return fit_remat(model, optim, train, batch, backend, limit)
    return compile_step(model, optim, train, batch, backend=backend)


def with_batch(config: RunConfig, step: CompiledStep) -> RunConfig:
    """`config` with the batch that the step was compiled for."""
    train = dataclasses.replace(config.train, batch=str(step.batch_shape[0]))
    return dataclasses.replace(config, train=train)


def _record(run_id: str, name: str, outfit: Outfit) -> RunRecord:
    ingredients = outfit.ingredients
    return RunRecord(
        run=run_id,
        name=name,
        config=outfit.config.to_dict(),
        domain=outfit.config.data.domain,
        dataset=ingredients.dataset.record,
        tokenizer=ingredients.tokenizer_record(),
        parameters=outfit.step.parameter_count,
        environment=environment(outfit.step.backend.describe()),
        created=now(),
        versions={"alpha": engine.__version__},
    )


def _load(
    checkpoint: Checkpoint | None, record: RunRecord, step: CompiledStep
) -> TrainerState:
    """Put the checkpoint's arrays into the step; where training stands."""
    if checkpoint is None:
        return TrainerState()
    about = checkpoint.manifest.about
    same = about.get("tokenizer") == record.tokenizer
    if not same or about.get("config", {}).get("model") != record.config["model"]:
        raise CheckpointError(
            f"{checkpoint.path} is of another model or tokenizer than {record.run}"
        )
    step.load_state(checkpoint.arrays)
    return TrainerState.from_dict(checkpoint.manifest.trainer)


def _train(
    run: RunDir,
    record: RunRecord,
    outfit: Outfit,
    state: TrainerState,
    told: list[Warning],
    around: Surroundings,
) -> Ending:
    config, ingredients, step = outfit.config, outfit.ingredients, outfit.step
    tokenizer, dataset = ingredients.tokenizer, ingredients.dataset
    domain = domains.get(config.data.domain) if config.data.domain else None
    prompts, refused = usable_prompts(
        domain.prompts if domain else (), tokenizer, dataset.val
    )
    told = [
        *told,
        *(Warning(state.step, "cache_rebuilt", text) for text in ingredients.rebuilt),
        *(
            Warning(state.step, "prompt_left_out", f"cannot be encoded: {prompt!r}")
            for prompt in refused
        ),
    ]
    sampler = PromptSampler(
        config.model, config.train, tokenizer, step.backend, lambda: weights(step)
    )
    with Prefetcher(outfit.batches.batch, start=state.cursor) as batches:
        job = Job(
            program=step,
            config=config.train,
            lr=outfit.lr,
            batches=batches,
            eval_batches=lambda: eval_batches(
                dataset.val, *step.batch_shape, config.train.eval_batches
            ),
            sample=sampler,
            prompts=prompts,
            control=around.control,
            notices=told,
            state=state,
        )
        return run_session(run, record, job, around.sinks)


def weights(step: CompiledStep) -> dict[str, NDArray[Any]]:
    """The model's parameters by name, copied out of a step."""
    prefix = "model."
    arrays = step.state()
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
