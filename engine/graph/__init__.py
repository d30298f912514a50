"""Graphs of tensor operations: built by tracing, differentiated, fused, planned.

Knows no backend: what a graph computes is defined by `engine.backends.numpy`.
"""

from engine.graph.grad import elementwise, gradients
from engine.graph.node import Node, Spec, Tensor, apply, scope, topological
from engine.graph.ops.attention import attention, attention_cached, cache_write
from engine.graph.ops.dropout import dropout
from engine.graph.ops.embedding import embedding
from engine.graph.ops.leaves import input_tensor, state_tensor
from engine.graph.ops.linear import linear, matmul, weight_grad
from engine.graph.ops.loss import cross_entropy, token_losses
from engine.graph.ops.norm import layer_norm, rms_norm
from engine.graph.ops.pointwise import (
    absolute,
    cast,
    cos,
    exp,
    greater,
    log,
    maximum,
    minimum,
    reciprocal,
    relu,
    rsqrt,
    sigmoid,
    sign,
    sin,
    soft_cap,
    sqrt,
    square,
    tanh,
    where,
)
from engine.graph.ops.reduce import (
    count_targets,
    mean,
    softmax,
    sum_over,
    sum_squares,
)
from engine.graph.ops.rotary import rotary
from engine.graph.ops.shape import (
    broadcast_to,
    concat,
    reshape,
    rows,
    split,
    sum_to,
    transpose,
    zeros,
)
from engine.graph.table import ops

__all__ = [
    "Node",
    "Spec",
    "Tensor",
    "absolute",
    "apply",
    "attention",
    "attention_cached",
    "broadcast_to",
    "cache_write",
    "cast",
    "concat",
    "cos",
    "count_targets",
    "cross_entropy",
    "dropout",
    "elementwise",
    "embedding",
    "exp",
    "gradients",
    "greater",
    "input_tensor",
    "layer_norm",
    "linear",
    "log",
    "matmul",
    "maximum",
    "mean",
    "minimum",
    "ops",
    "reciprocal",
    "relu",
    "reshape",
    "rms_norm",
    "rotary",
    "rows",
    "rsqrt",
    "scope",
    "sigmoid",
    "sign",
    "sin",
    "soft_cap",
    "softmax",
    "split",
    "sqrt",
    "square",
    "state_tensor",
    "sum_over",
    "sum_squares",
    "sum_to",
    "tanh",
    "token_losses",
    "topological",
    "transpose",
    "weight_grad",
    "where",
    "zeros",
]
