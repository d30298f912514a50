"""Graph to graph: rewrites that keep the meaning and lower the cost."""

from engine.graph.passes.remat import recompute_blocks
from engine.graph.passes.rewrite import rebuild
from engine.graph.passes.simplify import simplify

__all__ = ["rebuild", "recompute_blocks", "simplify"]
