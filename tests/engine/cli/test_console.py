"""Progress is for people: on stderr, plain where there is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from engine.cli import console


def test_a_pipe_gets_plain_lines_first_and_last_always(capsys):
    with console.progress("train", 1000) as counter:
        for step in range(1, 1001):
            counter.update(step, f"loss {step}")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["train 1/1000  loss 1", "train 1000/1000  loss 1000"]


def test_a_pipe_gets_a_line_each_time_the_interval_is_over(capsys, monkeypatch):
    clock = iter(range(0, 100, 3))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(clock)))
    with console.progress("train", 100) as counter:
        for step in range(1, 7):
            counter.update(step)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["train 1/100", "train 3/100", "train 5/100"]


def test_a_line_that_is_written_is_neither_marked_up_nor_broken(capsys):
    text = "sample [bold]x[/bold] :smile: " + "word " * 60 + "end"
    with console.progress("train", 2) as counter:
        counter.write(text)
    assert capsys.readouterr().err == text + "\n"


def test_a_terminal_gets_a_bar_with_the_note(monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(console, "console", lambda: terminal)
    with console.progress("train", 3) as counter:
        counter.update(3, "loss 1.5")
        counter.write("a sample")
    assert "3/3" in screen.getvalue()
    assert "loss 1.5" in screen.getvalue()
    assert "a sample" in screen.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("def f():\n\treturn 'é'", "def f():\n\treturn 'é'"),
        ("\x1b[2Jgone", "�[2Jgone"),
        ("a\rb\x07", "a�b�"),
        ("\x9b31m", "�31m"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(text: str, shown: str):
    assert console.printable(text) == shown
