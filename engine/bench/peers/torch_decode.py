"""Decoding with a cache of keys and values in PyTorch, as its users write it.

The cache is made once; a step writes one place of it and attends to those filled so
far. Only a yardstick: nothing of the engine uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bench.peers.torch_gpt import require_torch
from engine.config import ModelConfig

Weights = Mapping[str, NDArray[np.float32]]


class TorchDecoder:
    """One sequence at a time, greedily, in eager PyTorch.

    Covers what the benchmark compares: learned positions, LayerNorm, GELU, tied head,
    biases. `weights` are the engine's, by its names.
    """

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        self._torch = require_torch()
        self._model = _make_model(config).eval()
        self._model.load_state_dict(
            {
                theirs: self._torch.from_numpy(np.ascontiguousarray(weight))
                for theirs, weight in _renamed(config, weights)
            }
        )

    def use_threads(self, count: int) -> None:
        """Let PyTorch's operations use `count` threads from now on."""
        self._torch.set_num_threads(count)

    def scores(self, tokens: Sequence[int], prompt: int) -> NDArray[np.float32]:
        """Feed `prompt` tokens at once and the rest one by one: scores after each.

        (len(tokens) - prompt + 1, V): those after the prompt first.
        """
        torch = self._torch
        with torch.inference_mode():
            fed = torch.tensor([list(tokens)])
            parts = [self._model(fed[:, :prompt], 0)]
            for place in range(prompt, len(tokens)):
                parts += [self._model(fed[:, place : place + 1], place)]
            return np.asarray(torch.cat(parts).numpy())

    def generate(self, prompt: Sequence[int], count: int) -> list[int]:
        """The `count` tokens that follow `prompt` greedily."""
        torch, model = self._torch, self._model
        tokens = []
        with torch.inference_mode():
            logits = model(torch.tensor([list(prompt)]), 0)
            for place in range(len(prompt), len(prompt) + count):
                token = logits.argmax(-1, keepdim=True)
                tokens.append(int(token))
                if len(tokens) < count:
                    logits = model(token, place)
        return tokens


def _make_model(config: ModelConfig) -> Any:
    """An nn.Module from tokens (1, T) and their first place to (1, V), the last's."""
    torch = require_torch()
    nn, functional = torch.nn, torch.nn.functional
    width, heads, size = config.n_embd, config.n_head, config.head_size

    class Block(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(width, eps=config.norm_eps)
            self.norm2 = nn.LayerNorm(width, eps=config.norm_eps)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = (
                nn.Linear(width, 4 * width),
                nn.Linear(4 * width, width),
            )
            shape = (1, heads, config.block_size, size)
            self.register_buffer("keys", torch.zeros(shape), persistent=False)
            self.register_buffer("values", torch.zeros(shape), persistent=False)

        def forward(self, x: Any, place: int) -> Any:
            _, length, _ = x.shape
            parts = self.qkv(self.norm1(x)).split(width, dim=2)
            q, k, v = (
                part.view(1, length, heads, size).transpose(1, 2) for part in parts
            )
            stop = place + length
            self.keys[:, :, place:stop] = k
            self.values[:, :, place:stop] = v
            y = functional.scaled_dot_product_attention(
                q,
                self.keys[:, :, :stop],
                self.values[:, :, :stop],
                is_causal=length > 1,
            )
            x = x + self.out(y.transpose(1, 2).reshape(1, length, width))
            h = functional.gelu(self.up(self.norm2(x)), approximate="tanh")
            return x + self.down(h)

    class GPT(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.wte = nn.Embedding(config.vocab_size, width)
            self.wpe = nn.Embedding(config.block_size, width)
            self.blocks = nn.ModuleList(Block() for _ in range(config.n_layer))
            self.norm = nn.LayerNorm(width, eps=config.norm_eps)
            self.head = nn.Linear(width, config.vocab_size, bias=False)
            self.head.weight = self.wte.weight

        def forward(self, tokens: Any, place: int) -> Any:
            x = self.wte(tokens) + self.wpe.weight[place : place + tokens.shape[1]]
            for block in self.blocks:
                x = block(x, place)
            return self.head(self.norm(x[:, -1]))

    return GPT()


#: The engine's names of a block's parts, and the module's.
_PARTS = {
    "attn_norm": "norm1",
    "attn.qkv": "qkv",
    "attn.out": "out",
    "mlp_norm": "norm2",
    "mlp.in": "up",
    "mlp.out": "down",
}


def _renamed(
    config: ModelConfig, weights: Weights
) -> list[tuple[str, NDArray[np.float32]]]:
    """(the module's name, weight) of every weight; nn.Linear holds them (out, in)."""
    pairs = [
        ("wte.weight", weights["wte.weight"]),
        ("head.weight", weights["wte.weight"]),
        ("wpe.weight", weights["wpe.weight"]),
        ("norm.weight", weights["norm.gain"]),
        ("norm.bias", weights["norm.bias"]),
    ]
    for layer in range(config.n_layer):
        for ours, theirs in _PARTS.items():
            names = f"blocks.{layer}.{ours}", f"blocks.{layer}.{theirs}"
            kind = "gain" if ours.endswith("norm") else "weight"
            pairs.append((f"{names[1]}.weight", weights[f"{names[0]}.{kind}"].T))
            pairs.append((f"{names[1]}.bias", weights[f"{names[0]}.bias"]))
    return pairs
