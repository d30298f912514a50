"""The example of docs/data.md runs, and does what it says."""

import re
from pathlib import Path

import engine

DOCUMENT = Path(engine.__file__).parents[1] / "docs" / "data.md"


def test_the_example_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "docs/data.md", "exec"), names)
    assert names["dataset"].record["split"]["rule"] == "documents"
    assert names["x"].shape == names["y"].shape == (4, 32)
    assert not names["ahead"]._thread.is_alive()
