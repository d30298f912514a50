"""Prefill and decode: a model's programs over a cache of keys and values.

Each row of a decoder holds one sequence of its own length. The rows decode together;
a row's prompt is prefilled alone, in chunks whose lengths are powers of two, so that
few programs are compiled. No cache ever leaves the device. Knows token ids and logits;
knows nothing about sampling or text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Assign, Backend, Program
from engine.config import ModelConfig, require
from engine.errors import InputError
from engine.graph import (
    Tensor,
    cache_write,
    embedding,
    input_tensor,
    reshape,
    state_tensor,
    transpose,
)
from engine.model import (
    Kind,
    KVCache,
    hidden_states,
    logits,
    parameter_layout,
    parameters,
)
from engine.model.layout import Layout, pack

Logits = NDArray[np.float32]
Inputs = dict[str, NDArray[Any]]

#: Prompts are cut into chunks of at most this many tokens, and of no fewer than that.
LONGEST_CHUNK = 256
SHORTEST_CHUNK = 8
#: Up to so many rows, weights are held as (out, in).
FEW_ROWS = 4


class Decoder:
    """A model that continues `rows` sequences of up to `model.block_size` tokens.

    lengths  (rows,) int32: tokens of each row that the cache holds
    """

    def __init__(self, model: ModelConfig, backend: Backend, rows: int = 1) -> None:
        require(rows >= 1, "rows", rows, "must be at least 1")
        self.model, self.backend, self.rows = model, backend, rows
        self.lengths = np.zeros(rows, np.int32)
        self._chunk = min(LONGEST_CHUNK, _power_of_two(model.block_size))
        # A row that waits is decoded along with the others: past its end.
        self._places = max(
            -(-model.block_size // self._chunk) * self._chunk,
            model.block_size + (rows > 1),
        )
        self._parameters = parameter_layout(model)
        self._turned = _turned(model) if rows <= FEW_ROWS else frozenset()
        self._weights = pack(
            (name, piece.shape[:: -1 if name in self._turned else 1], piece.buffer)
            for name, piece in self._parameters.pieces.items()
        )
        # One row more than decodes: where a prompt is prefilled, if not in place.
        self._caches = _cache_layout(model, rows + (rows > 1), self._places)
        buffers = self._weights.buffers | self._caches.buffers
        self._store = backend.store(buffers, private=True)
        self._prefill: dict[int, Program] = {}
        self._prefill_inputs: dict[int, Inputs] = {}
        self._decode = self._compile(rows, 1, first_row=0)
        self._decode_inputs = self._inputs(rows, 1) | {"starts": self.lengths}
        self._adopt: Program | None = None
        self._reorder: Program | None = None

    def load(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Take parameters, by name. CheckpointError names one that does not fit."""
        self._parameters.check(weights, "model.")
        held = {n: w.T if n in self._turned else w for n, w in weights.items()}
        self._weights.write(self._store, held)

    def prefill(self, row: int, tokens: Sequence[int]) -> Logits:
        """Begin row `row` anew with `tokens`: scores of the token after them, (V,).

        Raises InputError for no tokens, too many, or one outside the vocabulary.
        """
        self._check(tokens)
        staging = self.rows if self.rows > 1 else 0
        scores = np.empty(0, np.float32)
        for start in range(0, len(tokens), self._chunk):
            part = tokens[start : start + self._chunk]
            size = max(SHORTEST_CHUNK, _power_of_two(len(part)))
            size = min(size, self._chunk)
            scores = self._prefill_chunk(part, start, size, staging)
        if staging:
            self._move_to(row)
        self.lengths[row] = len(tokens)
        return scores

    def decode(
        self, tokens: Sequence[int], active: Sequence[int] | None = None
    ) -> Logits:
        """Append tokens[row] to every row, or to those of `active`: (rows, V).

        The scores hold until the next call. Those of rows not active mean nothing.
        """
        chosen = slice(None) if active is None else active
        limit = self.model.block_size
        if self.lengths[chosen].max() >= limit:
            raise InputError(f"a row is full: this model's context holds {limit}")
        inputs = self._decode_inputs
        inputs["tokens"][:, 0] = tokens
        if "positions" in inputs:
            # A full row that waits has no position; its scores mean nothing.
            np.minimum(self.lengths, limit - 1, out=inputs["positions"][:, 0])
        scores: Logits = self._decode.run(inputs)["logits"]
        self.lengths[chosen] += 1
        return scores

    def reorder(self, parents: Sequence[int]) -> None:
        """Row i becomes a copy of what row parents[i] was: (rows,)."""
        if self._reorder is None:
            self._reorder = self._compile_reorder()
        chosen = np.asarray(parents, np.int32)
        self._reorder.run({"parents": chosen})
        self.lengths[:] = self.lengths[chosen]

    def _check(self, tokens: Sequence[int]) -> None:
        limit, vocab = self.model.block_size, self.model.vocab_size
        if not tokens:
            raise InputError("the prompt has no tokens; it needs at least one")
        if len(tokens) > limit:
            raise InputError(
                f"the prompt has {len(tokens)} tokens; this model's context holds "
                f"{limit}"
            )
        for token in tokens:
            if not 0 <= token < vocab:
                raise InputError(f"token {token} is not in the vocabulary of {vocab}")

    def _prefill_chunk(
        self, part: Sequence[int], start: int, size: int, row: int
    ) -> Logits:
        """Feed `part`, padded to `size`, at `start`: (V,), a copy.

        What the padding writes into the cache lies after the sequence's end, where
        the next tokens are written before anything reads it.
        """
        if size not in self._prefill:
            self._prefill[size] = self._compile(1, size, first_row=row)
            self._prefill_inputs[size] = self._inputs(1, size)
        inputs = self._prefill_inputs[size]
        inputs["tokens"][0, : len(part)] = part
        inputs["tokens"][0, len(part) :] = 0
        inputs["starts"][0] = start
        inputs["last"][0] = len(part) - 1
        if "positions" in inputs:
            places = np.arange(start, start + size, dtype=np.int32)
            inputs["positions"][0] = np.minimum(places, self.model.block_size - 1)
        scores: Logits = self._prefill[size].run(inputs)["logits"][0].copy()
        return scores

    def _inputs(self, rows: int, length: int) -> Inputs:
        """The arrays that a program's inputs are written into, made once."""
        inputs: Inputs = {
            "tokens": np.zeros((rows, length), np.int32),
            "starts": np.zeros(rows, np.int32),
        }
        if self.model.position == "learned":
            inputs["positions"] = np.zeros((rows, length), np.int32)
        if length > 1:
            inputs["last"] = np.zeros(rows, np.int32)
        return inputs

    def _compile(self, rows: int, length: int, first_row: int) -> Program:
        """`length` new tokens for each of `rows` rows; scores after the last of each.

        Which one is last is an input (its number among all new tokens), but with one
        new token a row there is no choice.
        """
        weights = {
            name: transpose(tensor, (1, 0)) if name in self._turned else tensor
            for name, tensor in self._weights.tensors().items()
        }
        tokens = input_tensor("tokens", (rows, length), "int32")
        learned = self.model.position == "learned"
        keys, values = (
            [self._cache(name, layer, rows, first_row) for layer in self._layers]
            for name in ("keys", "values")
        )
        cache = KVCache(
            input_tensor("starts", (rows,), "int32"),
            input_tensor("positions", (rows, length), "int32") if learned else None,
            keys,
            values,
        )
        hidden = hidden_states(self.model, weights, tokens, cache=cache)
        width = self.model.n_embd
        hidden = reshape(hidden, (rows * length, width))
        if length > 1:
            hidden = embedding(input_tensor("last", (rows,), "int32"), hidden)
        assigns = [Assign(state, new) for state, new in cache.writes]
        scores = logits(self.model, weights, hidden)
        return self.backend.compile({"logits": scores}, assigns, store=self._store)

    @property
    def _layers(self) -> range:
        return range(self.model.n_layer)

    def _cache(self, name: str, layer: int, rows: int, first_row: int) -> Tensor:
        """Rows of one cache as state: (rows, places, kv_heads * D)."""
        whole = self._caches.pieces[f"{name}.{layer}"]
        _, places, width = whole.shape
        return state_tensor(
            f"{whole.name}[{first_row}:{first_row + rows}]",
            (rows, places, width),
            buffer=whole.buffer,
            offset=whole.offset + first_row * places * width,
        )

    def _move_to(self, row: int) -> None:
        """Copy the cache of the row where prompts are prefilled to `row`."""
        if self._adopt is None:
            self._adopt = self._compile_adopt()
        start = np.array([row * self._places], np.int32)
        self._adopt.run({"start": start})

    def _compile_adopt(self) -> Program:
        """All rows that decode are seen as one long one; a part of it is replaced."""
        start = input_tensor("start", (1,), "int32")
        assigns = []
        for name in ("keys", "values"):
            for layer in self._layers:
                staged = self._cache(name, layer, 1, self.rows)
                _, places, width = staged.shape
                piece = self._caches.pieces[f"{name}.{layer}"]
                line = state_tensor(
                    f"{piece.name}.line",
                    (1, self.rows * places, width),
                    buffer=piece.buffer,
                    offset=piece.offset,
                )
                assigns.append(Assign(line, cache_write(line, staged, start)))
        return self.backend.compile({}, assigns, store=self._store)

    def _compile_reorder(self) -> Program:
        parents = input_tensor("parents", (self.rows,), "int32")
        assigns = []
        for name in ("keys", "values"):
            for layer in self._layers:
                state = self._cache(name, layer, self.rows, 0)
                table = reshape(state, (self.rows, state.size // self.rows))
                new = reshape(embedding(parents, table), state.shape)
                assigns.append(Assign(state, new))
        return self.backend.compile({}, assigns, store=self._store)


def _turned(model: ModelConfig) -> frozenset[str]:
    """Parameters that a decoder of few rows holds as (out, in); the model, (in, out).

    A token's row then meets each output's numbers in one piece: a product is as fast
    as memory can be read in order.
    """
    kinds = (Kind.MATRIX, Kind.HEAD)
    return frozenset(p.name for p in parameters(model) if p.kind in kinds)


def _cache_layout(model: ModelConfig, rows: int, places: int) -> Layout:
    """Two caches a layer, each (rows, places, kv_heads * D), a buffer apiece."""
    shape = (rows, places, model.kv_heads * model.head_size)
    names = (
        f"{name}.{layer}"
        for name in ("keys", "values")
        for layer in range(model.n_layer)
    )
    return pack((name, shape, f"cache.{name}") for name in names)


def _power_of_two(number: int) -> int:
    """The least power of two that is not below `number`."""
    return 1 << (number - 1).bit_length()
