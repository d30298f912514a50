"""The rows of the op table, a file a family. Importing this package fills the table.

Each file holds the shape and gradient rules of its ops and the functions by which
model code makes them.
"""

from engine.graph.ops import (
    attention,
    dropout,
    embedding,
    leaves,
    linear,
    loss,
    norm,
    pointwise,
    reduce,
    rotary,
    shape,
)

__all__ = [
    "attention",
    "dropout",
    "embedding",
    "leaves",
    "linear",
    "loss",
    "norm",
    "pointwise",
    "reduce",
    "rotary",
    "shape",
]
