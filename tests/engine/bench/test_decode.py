"""The bench of decoding: what it reports, and that it refuses unequal models."""

from __future__ import annotations

import argparse
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from engine.bench import decode
from engine.errors import AlphaError, ConfigError


class Twin:
    """A peer with the engine's own scores, shifted by `error`."""

    error = 0.0

    def __init__(self, config, weights) -> None:
        self.decoder = decode.Decoder(config, decode.backends.get("numpy")(1))
        self.decoder.load(weights)

    def use_threads(self, count: int) -> None:
        self.threads = count

    def scores(self, tokens, prompt):
        rows = [self.decoder.prefill(0, tokens[:prompt]).copy()]
        rows += [self.decoder.decode([t])[0].copy() for t in tokens[prompt:]]
        return np.stack(rows) + self.error

    def generate(self, prompt, count):
        limits = decode.Limits(max_tokens=count)
        return list(decode.generate(self.decoder, [prompt], decode.GREEDY, limits))


def options(**changes: object) -> argparse.Namespace:
    chosen = {"backend": "numpy", "case": ["4x128"], "pairs": 1}
    return argparse.Namespace(**{**chosen, **changes})


def test_a_row_compares_with_the_faster_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "TorchDecoder", Twin)
    monkeypatch.setattr(decode, "TOKENS", 3)
    (row,) = decode.run(options()).rows
    assert row.name == "4x128"
    assert row.peer.startswith("torch eager")
    assert row.ours > 0
    assert row.ratio > 0
    assert row.extra["token_us"] == pytest.approx(1e6 / row.ours)


def test_unequal_scores_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "TorchDecoder", Twin)
    monkeypatch.setattr(Twin, "error", 0.1)
    with pytest.raises(AlphaError, match="scores differ from PyTorch's"):
        decode.run(options())


def test_a_missing_peer_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match="pip install"):
        decode.run(options())


def test_pairs_are_checked() -> None:
    with pytest.raises(ConfigError, match="pairs = 0"):
        decode.run(SimpleNamespace(pairs=0))
