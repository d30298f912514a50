"""How the rows of a region are cut into tasks, and blocks of a loop's body.

Decided by shapes and by the machine's cores, never by how many threads are used, so
that a run's results do not depend on `--threads`.
"""

from __future__ import annotations

import os

from engine.backends.numpy.rows import Rows, rows_of
from engine.backends.numpy.schedule import Region
from engine.graph.node import Node

#: Elements of one array in a loop's body: a handful of them fit a core's cache.
BLOCK = 3 << 13
#: Rows a range has at most, with matrix products in it, and at least.
RANGE_ROWS = 512
FEWEST_ROWS = 64
#: Elements a range has at most, without them.
RANGE_ELEMENTS = 1 << 17


def known_rows(node: Node) -> Rows:
    """`rows_of` a node of which it is known that it runs on rows."""
    rows = rows_of(node)
    assert rows is not None
    return rows


def range_rows(region: Region) -> int:
    """Rows a task takes; whole sequences where attention, or whole periods, need it."""
    widest = max(
        spec.size // region.count for node in region.nodes for spec in node.specs
    )
    matrix = any(not known_rows(node).loops for node in region.nodes)
    wanted = RANGE_ROWS if matrix else max(1, RANGE_ELEMENTS // max(1, widest))
    share = -(-region.count // (os.cpu_count() or 1))
    wanted = min(wanted, max(share, min(FEWEST_ROWS, region.count)))
    unit = max(region.grain, region.cycle)
    if region.grain > 1 or (unit > 1 and wanted >= unit):
        return unit * max(1, wanted // unit)
    if unit > 1:
        return largest_divisor(unit, wanted)
    return max(1, wanted)


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit` (at least 1)."""
    return max(part for part in range(1, max(1, limit) + 1) if number % part == 0)
