"""The examples of docs/engine.md run, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import engine

DOCUMENT = Path(engine.__file__).parents[1] / "docs" / "engine.md"
BUILT, GRAPH = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    return names


def test_a_gpt_is_built_trained_and_sampled_in_about_twenty_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line for line in BUILT.splitlines() if line]
    assert len([line for line in lines if "import" not in line]) <= 20
    names = run(BUILT)
    assert names["result"].loss < 1.0
    assert names["completion"].text.startswith(" buckle my shoe.")


def test_a_graph_with_state_is_differentiated_and_run() -> None:
    names = run(GRAPH)
    assert float(names["outputs"]["loss"]) < -5.0
