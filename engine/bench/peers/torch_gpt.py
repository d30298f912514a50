"""The same GPT in PyTorch, as its users write it: modules, autograd, fused AdamW.

Only a yardstick: nothing of the engine uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.config import ModelConfig
from engine.errors import ConfigError


def require_torch() -> Any:
    """PyTorch, or the error that says how to get it."""
    try:
        import torch
    except ImportError:
        raise ConfigError(
            "against", "torch", "it is missing; pip install -e .[bench] installs it"
        ) from None
    return torch


def make_model(config: ModelConfig) -> Any:
    """An nn.Module from tokens and targets (B, T) to the mean loss.

    Covers what the benchmarks compare: learned positions, LayerNorm, GELU, tied head.
    """
    torch = require_torch()
    nn, functional = torch.nn, torch.nn.functional
    width, heads, drop = config.n_embd, config.n_head, config.dropout

    class Block(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = (
                nn.Linear(width, 4 * width),
                nn.Linear(4 * width, width),
            )

        def forward(self, x: Any) -> Any:
            rows, length, _ = x.shape
            parts = self.qkv(self.norm1(x)).split(width, dim=2)
            q, k, v = (
                part.view(rows, length, heads, width // heads).transpose(1, 2)
                for part in parts
            )
            y = functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, dropout_p=drop if self.training else 0.0
            )
            y = self.out(y.transpose(1, 2).reshape(rows, length, width))
            x = x + functional.dropout(y, drop, self.training)
            h = functional.gelu(self.up(self.norm2(x)), approximate="tanh")
            return x + functional.dropout(self.down(h), drop, self.training)

    class GPT(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.wte = nn.Embedding(config.vocab_size, width)
            self.wpe = nn.Embedding(config.block_size, width)
            self.blocks = nn.ModuleList(Block() for _ in range(config.n_layer))
            self.norm = nn.LayerNorm(width)

        def forward(self, tokens: Any, targets: Any) -> Any:
            places = torch.arange(tokens.shape[1])
            x = self.wte(tokens) + self.wpe(places)
            x = functional.dropout(x, drop, self.training)
            for block in self.blocks:
                x = block(x)
            logits = self.norm(x) @ self.wte.weight.T
            return functional.cross_entropy(
                logits.view(-1, logits.shape[-1]), targets.view(-1)
            )

    torch.manual_seed(0)
    return GPT()


def make_step(
    config: ModelConfig, batch: int, *, compiled: bool, threads: int
) -> Callable[[], None]:
    """One training step: forward, backward, clipping at 1, fused AdamW."""
    torch = require_torch()
    torch.set_num_threads(threads)
    model = make_model(config).train()
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": 0.1},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    forward = torch.compile(model) if compiled else model
    shape = (batch, config.block_size)
    tokens = torch.randint(config.vocab_size, shape)
    targets = torch.randint(config.vocab_size, shape)

    def step() -> None:
        loss = forward(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
