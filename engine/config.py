"""Everything a run can be told, as frozen dataclasses validated once.

A field declared with `option` is also a command-line flag: `engine.cli.flags` makes
the parser from these classes, and the launch page will make its form from them. A
field's flag is its name with dashes unless `flag` names another (the original's).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from engine.errors import ConfigError

C = TypeVar("C")


def option(
    default: Any,
    help: str,
    *,
    flag: str = "",
    choices: tuple[str, ...] = (),
) -> Any:
    """A config field: its default, what it means, its flag, its allowed values."""
    return field(
        default=default, metadata={"help": help, "flag": flag, "choices": choices}
    )


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise the ConfigError that names the field, the value and what is right."""
    if not holds:
        raise ConfigError(name, value, expected)


def check_choices(config: Any) -> None:
    """Raise ConfigError for a field whose value is not among its choices."""
    for item in fields(config):
        choices = item.metadata.get("choices", ())
        value = getattr(config, item.name)
        if choices and value not in choices:
            raise ConfigError(item.name, value, f"one of {', '.join(choices)}")


def check_finite(config: Any) -> None:
    """Raise ConfigError for a float field that is NaN or infinite."""
    for item in fields(config):
        value = getattr(config, item.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(item.name, value, "must be a finite number")


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a GPT. Knows nothing about data, training or devices."""

    vocab_size: int = option(
        0, "tokens in the vocabulary (0: the tokenizer's)", flag="--model-vocab-size"
    )
    block_size: int = option(256, "context length in tokens", flag="--block")
    n_layer: int = option(6, "transformer blocks", flag="--layers")
    n_head: int = option(6, "attention heads", flag="--heads")
    n_kv_head: int = option(0, "key/value heads (0: as many as heads)")
    n_embd: int = option(384, "width of the residual stream", flag="--dim")
    n_inner: int = option(0, "width inside the MLP (0: 4 x dim; SwiGLU 8/3 x dim)")
    activation: str = option("gelu", "MLP activation: gelu, relu, silu, swiglu, ...")
    position: str = option(
        "learned", "position information", choices=("learned", "rotary")
    )
    rope_theta: float = option(10000.0, "base of the rotary frequencies")
    norm: str = option("layernorm", "normalisation", choices=("layernorm", "rmsnorm"))
    norm_eps: float = option(1e-5, "added to the variance before its root")
    qk_norm: bool = option(False, "normalise queries and keys per head")
    attention_softcap: float = option(0.0, "soft-cap of attention scores (0: none)")
    logit_softcap: float = option(0.0, "soft-cap of the logits (0: none)")
    tie: bool = option(True, "the head shares the token embedding's matrix")
    bias: bool = option(True, "linear layers and LayerNorm have biases")
    dropout: float = option(0.0, "probability that a value is dropped in training")

    def __post_init__(self) -> None:
        check_choices(self)
        check_finite(self)
        require(self.vocab_size >= 0, "vocab_size", self.vocab_size, "must be >= 0")
        for name in ("block_size", "n_layer", "n_head", "n_embd"):
            value = getattr(self, name)
            require(value >= 1, name, value, "must be at least 1")
        for name in ("n_kv_head", "n_inner"):
            value = getattr(self, name)
            require(value >= 0, name, value, "must be >= 0")
        require(
            self.n_embd % self.n_head == 0,
            "n_head",
            self.n_head,
            f"must divide the width n_embd = {self.n_embd}",
        )
        require(
            self.n_head % self.kv_heads == 0,
            "n_kv_head",
            self.n_kv_head,
            f"must divide n_head = {self.n_head}",
        )
        require(
            self.position != "rotary" or self.head_size % 2 == 0,
            "n_head",
            self.n_head,
            f"rotary positions need an even head size, not {self.head_size}",
        )
        require(0.0 <= self.dropout < 1.0, "dropout", self.dropout, "in [0, 1)")
        for name in ("rope_theta", "norm_eps"):
            value = getattr(self, name)
            require(value > 0.0, name, value, "must be positive")
        for name in ("attention_softcap", "logit_softcap"):
            value = getattr(self, name)
            require(value >= 0.0, name, value, "must be >= 0")

    @property
    def kv_heads(self) -> int:
        return self.n_kv_head or self.n_head

    @property
    def head_size(self) -> int:
        return self.n_embd // self.n_head


@dataclass(frozen=True)
class OptimConfig:
    """How parameters are updated from gradients."""

    optimizer: str = option("adamw", "adamw, lion, adafactor, sgd, muon, ...")
    lr: float = option(1e-3, "peak learning rate")
    min_lr: float = option(-1.0, "learning rate at the end (-1: a tenth of lr)")
    schedule: str = option("cosine", "cosine, linear, constant, ...")
    warmup: int = option(100, "iterations of linear warmup")
    weight_decay: float = option(0.1, "decoupled decay, on matrices only")
    beta1: float = option(0.9, "decay of the first moment")
    beta2: float = option(0.99, "decay of the second moment")
    eps: float = option(1e-8, "added to the root of the second moment")
    momentum: float = option(0.95, "momentum of SGD and Muon")
    muon_lr: float = option(0.02, "Muon's learning rate for hidden matrices")
    grad_clip: float = option(1.0, "largest global gradient norm (0: no clipping)")

    def __post_init__(self) -> None:
        check_choices(self)
        check_finite(self)
        for name in ("lr", "muon_lr", "eps"):
            value = getattr(self, name)
            require(value > 0.0, name, value, "must be positive")
        for name in ("beta1", "beta2", "momentum"):
            value = getattr(self, name)
            require(0.0 <= value < 1.0, name, value, "must be in [0, 1)")
        for name in ("weight_decay", "grad_clip", "warmup"):
            value = getattr(self, name)
            require(value >= 0, name, value, "must be >= 0")

    @property
    def final_lr(self) -> float:
        return self.min_lr if self.min_lr >= 0 else self.lr / 10


@dataclass(frozen=True)
class DataConfig:
    """Which text, cut how, in which order."""

    data: str = option("", "text, JSONL or chat file, or a folder of text files")
    domain: str = option("", "a built-in domain (its prompts, its defaults)")
    tokenizer: str = option("", "char, word, bpe, bpe-4k ... (empty: the domain's)")
    tokenizer_vocab: int = option(
        0, "vocabulary size to build (0: by name)", flag="--vocab-size"
    )
    split: str = option(
        "auto",
        "validation split: by document hash, or the last part of a plain text",
        choices=("auto", "documents", "contiguous"),
    )
    val_fraction: float = option(0.1, "share of the data that validates")
    packing: str = option(
        "random",
        "random windows, or every token once an epoch",
        choices=("random", "packed"),
    )

    def __post_init__(self) -> None:
        check_choices(self)
        check_finite(self)
        require(
            0.0 < self.val_fraction < 1.0,
            "val_fraction",
            self.val_fraction,
            "must lie between 0 and 1",
        )
        require(
            self.tokenizer_vocab >= 0,
            "tokenizer_vocab",
            self.tokenizer_vocab,
            "must be >= 0",
        )


@dataclass(frozen=True)
class TrainConfig:
    """How long, how often, on what, and when to look."""

    iters: int = option(2000, "optimizer steps")
    batch: str = option("12", "sequences a step, or auto: the largest that fits")
    accum: int = option(1, "micro-batches whose gradients make one step")
    seed: int = option(1337, "seed of every random number")
    backend: str = option("auto", "auto, numpy, helios")
    precision: str = option(
        "fp32", "arithmetic of the model", choices=("fp32", "fp16", "bf16")
    )
    remat: str = option(
        "none",
        "recompute activations in the backward pass",
        choices=("none", "block", "auto"),
    )
    threads: int = option(0, "CPU threads (0: one a core); changes no result")
    memory_share: float = option(0.8, "share of memory that --batch auto may take")
    eval_interval: int = option(250, "steps between evaluations (0: only at the end)")
    eval_batches: int = option(0, "batches an evaluation takes (0: all)")
    sample_interval: int = option(500, "steps between samples (0: none)")
    sample_tokens: int = option(128, "tokens a sample has")
    sample_temperature: float = option(0.8, "temperature of the samples")
    checkpoint_interval: int = option(500, "steps between checkpoints (0: at the end)")
    keep_last: int = option(2, "checkpoints kept besides the best")
    patience: int = option(0, "evaluations without gain before stopping (0: never)")
    spike_skip: float = option(
        0.0, "skip a step whose gradient norm exceeds this x its average (0: off)"
    )
    max_nonfinite: int = option(
        25, "steps in a row without a finite loss and gradient before giving up"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        check_finite(self)
        require(
            self.batch == "auto" or (self.batch.isdigit() and int(self.batch) > 0),
            "batch",
            self.batch,
            "must be a positive number or auto",
        )
        for name in ("iters", "accum", "keep_last", "sample_tokens", "max_nonfinite"):
            value = getattr(self, name)
            require(value >= 1, name, value, "must be at least 1")
        for name in (
            "seed",
            "threads",
            "eval_interval",
            "eval_batches",
            "sample_interval",
            "checkpoint_interval",
            "patience",
            "spike_skip",
            "sample_temperature",
        ):
            value = getattr(self, name)
            require(value >= 0, name, value, "must be >= 0")
        require(
            0.0 < self.memory_share <= 1.0,
            "memory_share",
            self.memory_share,
            "must lie in (0, 1]",
        )


@dataclass(frozen=True)
class RunConfig:
    """One run: what `run.json` records and `--resume` compares."""

    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Mapping[str, Any]]) -> RunConfig:
        """Read what `to_dict` wrote; ConfigError names a field nobody knows."""
        return cls(
            model=from_mapping(ModelConfig, record.get("model", {})),
            optim=from_mapping(OptimConfig, record.get("optim", {})),
            data=from_mapping(DataConfig, record.get("data", {})),
            train=from_mapping(TrainConfig, record.get("train", {})),
        )


def from_mapping(cls: type[C], values: Mapping[str, Any]) -> C:
    """Build config class `cls` from a mapping, refusing unknown fields."""
    known = {item.name for item in fields(cls)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise ConfigError(name, values[name], f"{cls.__name__} has no such field")
    return cls(**values)


#: Settings that `--preset` puts under the flags the user gave.
PRESETS: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "modern": {
        "position": "rotary",
        "norm": "rmsnorm",
        "activation": "swiglu",
        "qk_norm": True,
        "bias": False,
        "optimizer": "muon",
    },
}


def config_fields(classes: Iterable[type]) -> list[dataclasses.Field[Any]]:
    """Every field of `classes` that is a flag, in order."""
    return [item for cls in classes for item in fields(cls)]
