"""Small models, one for every option: whatever holds of a GPT must hold of each."""

from __future__ import annotations

from engine.config import PRESETS, ModelConfig

_MODERN = {
    name: value
    for name, value in PRESETS["modern"].items()
    if name in ModelConfig.__dataclass_fields__
}

#: name -> what differs from the small GPT-2.
OPTIONS: dict[str, dict[str, object]] = {
    "gpt2": {},
    "modern": _MODERN,
    "no bias": {"bias": False},
    "rotary": {"position": "rotary", "rope_theta": 100.0},
    "rmsnorm": {"norm": "rmsnorm", "norm_eps": 1e-3},
    "relu": {"activation": "relu"},
    "relu2": {"activation": "relu2"},
    "silu": {"activation": "silu", "n_inner": 10},
    "swiglu": {"activation": "swiglu"},
    "geglu": {"activation": "geglu", "n_inner": 7},
    "qk norm": {"qk_norm": True},
    "attention soft-cap": {"attention_softcap": 1.5},
    "logit soft-cap": {"logit_softcap": 1.0},
    "grouped queries": {"n_head": 4, "n_kv_head": 2},
    "one key head": {"n_head": 4, "n_kv_head": 1, "position": "rotary"},
    "untied": {"tie": False},
    "modern, all": _MODERN
    | {
        "n_head": 4,
        "n_kv_head": 2,
        "attention_softcap": 2.0,
        "logit_softcap": 3.0,
        "tie": False,
    },
}


def small(name: str = "gpt2", **changes: object) -> ModelConfig:
    """The model of option `name`: 2 layers, 8 wide, 8 tokens, vocabulary 11."""
    shape = {
        "vocab_size": 11,
        "block_size": 8,
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 8,
    }
    return ModelConfig(**(shape | OPTIONS[name] | changes))  # type: ignore[arg-type]
