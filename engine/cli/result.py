"""What a command found, as the one line of JSON that `--json` prints on stdout."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def to_json(result: Mapping[str, object]) -> str:
    """`result` as one line of strict JSON; NaN and infinities become null."""
    return json.dumps(plain(result), allow_nan=False, ensure_ascii=False)


def plain(value: Any) -> Any:
    """`value` in JSON's own types: paths as text, NumPy scalars as numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "dtype"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
