"""The scratch engine: graph, model, tokenizers, data, training. Knows no Django."""

__version__ = "0.1.0"
