"""Rows of a table by index, and the table's gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import GraphError
from engine.graph.node import Node, Spec, Tensor, apply
from engine.graph.table import define


def _embedding(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    ids, table = inputs
    if ids.dtype != "int32" or len(table.shape) != 2:
        raise GraphError(f"embedding: ids {ids.dtype}, table {table.shape}")
    return [Spec((*ids.shape, table.shape[1]), table.dtype)]


def _embedding_grad(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    ids, dy = inputs
    if not dy.shape or dy.shape[:-1] != ids.shape:
        raise GraphError(f"embedding_grad: ids {ids.shape}, gradient {dy.shape}")
    return [Spec((attrs["rows"], dy.shape[-1]), dy.dtype)]


def _vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    (dy,) = grads
    assert dy is not None
    ids, table = node.inputs
    return [None, apply("embedding_grad", ids, dy, rows=table.shape[0])]


def _grad_vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    (g,) = grads
    assert g is not None
    return [None, embedding(node.inputs[0], g)]


define("embedding", _embedding, _vjp)
define("embedding_grad", _embedding_grad, _grad_vjp)


def embedding(ids: Tensor, table: Tensor) -> Tensor:
    """table (V, C) at ids (...) int32, each in [0, V): (..., C)."""
    return apply("embedding", ids, table)
