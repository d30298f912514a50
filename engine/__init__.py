"""The scratch engine: graph, model, tokenizers, data, training. Knows no Django."""
