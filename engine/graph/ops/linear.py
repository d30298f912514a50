"""Matrix products: rows times a weight, the weight's gradient, and batched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from engine.errors import GraphError
from engine.graph.node import Node, Spec, Tensor, apply
from engine.graph.table import define


def _linear(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    x, w = inputs
    wide, out = (*w.shape, 0, 0)[:2][:: -1 if attrs["transposed"] else 1]
    fits = len(w.shape) == 2 and x.shape[-1:] == (wide,)
    if not fits or x.dtype != w.dtype:
        raise GraphError(
            f"linear: {x.shape} {x.dtype} times {w.shape} {w.dtype}"
            f"{' transposed' if attrs['transposed'] else ''}"
        )
    return [Spec((*x.shape[:-1], out), x.dtype)]


def _weight_grad(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    x, dy = inputs
    fits = bool(x.shape) and bool(dy.shape) and x.shape[:-1] == dy.shape[:-1]
    if not fits or x.dtype != dy.dtype:
        raise GraphError(
            f"weight_grad: rows of {x.shape} {x.dtype} and {dy.shape} {dy.dtype}"
        )
    return [Spec((x.shape[-1], dy.shape[-1]), x.dtype)]


def _matmul(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    a, b = inputs
    m, k = (0, 0, *a.shape)[-2:][:: -1 if attrs["ta"] else 1]
    k2, n = (0, 0, *b.shape)[-2:][:: -1 if attrs["tb"] else 1]
    fits = k == k2 and a.shape[:-2] == b.shape[:-2]
    if min(len(a.shape), len(b.shape)) < 2 or not fits or a.dtype != b.dtype:
        raise GraphError(
            f"matmul: {a.shape} (transposed: {attrs['ta']}) and "
            f"{b.shape} (transposed: {attrs['tb']})"
        )
    return [Spec((*a.shape[:-2], m, n), a.dtype)]


def _linear_vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    (dy,) = grads
    assert dy is not None
    x, w = node.inputs
    transposed = node.attrs["transposed"]
    dx = linear(dy, w, transposed=not transposed)
    return [dx, weight_grad(dy, x) if transposed else weight_grad(x, dy)]


def _weight_grad_vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    (dw,) = grads
    assert dw is not None
    x, dy = node.inputs
    return [linear(dy, dw, transposed=True), linear(x, dw)]


def _matmul_vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    (g,) = grads
    assert g is not None
    a, b = node.inputs
    ta, tb = node.attrs["ta"], node.attrs["tb"]
    da = matmul(b, g, ta=tb, tb=True) if ta else matmul(g, b, tb=not tb)
    db = matmul(g, a, ta=True, tb=ta) if tb else matmul(a, g, ta=not ta)
    return [da, db]


def _linear_flops(node: Node) -> int:
    return 2 * node.inputs[0].size * node.specs[0].shape[-1]


def _weight_grad_flops(node: Node) -> int:
    x, dy = node.inputs
    return 2 * prod(x.shape[:-1]) * x.shape[-1] * dy.shape[-1]


def _matmul_flops(node: Node) -> int:
    a = node.inputs[0]
    return 2 * node.specs[0].size * a.shape[-2 if node.attrs["ta"] else -1]


define("linear", _linear, _linear_vjp, flops=_linear_flops)
define("weight_grad", _weight_grad, _weight_grad_vjp, flops=_weight_grad_flops)
define("matmul", _matmul, _matmul_vjp, flops=_matmul_flops)


def linear(x: Tensor, weight: Tensor, *, transposed: bool = False) -> Tensor:
    """x (..., K) times weight (K, N), or (N, K) if `transposed`: (..., N)."""
    return apply("linear", x, weight, transposed=transposed)


def weight_grad(x: Tensor, dy: Tensor) -> Tensor:
    """Sum over all rows of x (..., K) outer dy (..., N): (K, N)."""
    return apply("weight_grad", x, dy)


def matmul(a: Tensor, b: Tensor, *, ta: bool = False, tb: bool = False) -> Tensor:
    """(..., M, K) times (..., K, N), either operand transposed: (..., M, N)."""
    return apply("matmul", a, b, ta=ta, tb=tb)
