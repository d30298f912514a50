"""What a command returns is said in JSON's own types."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from engine.cli.result import plain


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": 1, 2: "b"}, {"a": 1, "2": "b"}),
        ((1, [2.5, None]), [1, [2.5, None]]),
        (Path("outputs") / "first", "outputs/first"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array([[1, 2]]), [[1, 2]]),
        (math.nan, None),
        (np.array([1.0, math.inf]), [1.0, None]),
        (True, True),
    ],
    ids=str,
)
def test_plain(value: object, said: object):
    found = plain(value)
    assert found == said
    assert type(found) is type(said)
