"""The documents name what exists, and what exists is in the documents."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands

from engine.cli.main import COMMANDS, command_parser
from engine.cli.parser import flags

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("alpha_site", "inference", "runs", "engine", "kernels")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)


def prose(path: Path) -> str:
    """A document without its blocks of code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^    .*$", "", text, flags=re.MULTILINE)


def shell_lines(path: Path) -> Iterator[str]:
    """The lines of a document that a reader would type at a prompt."""
    joined = path.read_text().replace("\\\n", " ")
    for line in joined.splitlines():
        words = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
        if line.startswith(("    ", "alpha ", ".venv/", "python -m", "make ", "$ ")):
            yield words


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


@every_document
def test_links_lead_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        assert place.exists(), f"{path.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", place.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), f"{path.name} links to {target}"


@every_document
def test_files_that_are_named_exist(path: Path):
    roots = "|".join((*PACKAGES, "tests", "docs", "scripts", ".ci"))
    named = re.findall(rf"`((?:{roots})/[\w./-]*)`", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@every_document
def test_modules_that_are_named_can_be_imported(path: Path):
    for name in re.findall(
        rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)`", path.read_text()
    ):
        found, _, rest = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(found), rest), name


@every_document
def test_every_command_line_shown_is_understood(path: Path):
    for line in shell_lines(path):
        match shlex.split(line, comments=True):
            case ["alpha", name, *arguments] | [
                "python",
                "-m",
                "engine",
                name,
                *arguments,
            ]:
                assert name in COMMANDS or name in get_commands(), line
                if name in COMMANDS and "--help" not in arguments:
                    command_parser(name).parse(arguments)


@every_document
def test_every_flag_that_is_named_is_some_commands(path: Path):
    known = {name for command in COMMANDS for name in flags(command_parser(command))}
    named = re.findall(r"`(--[a-z][a-z-]*)", prose(path))
    assert set(named) <= known


@every_document
def test_every_make_target_shown_exists(path: Path):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = re.findall(r"(?:^ *|`)make ([a-z]+)", path.read_text(), re.MULTILINE)
    assert set(shown) <= set(targets)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_place_in_the_documents(name: str):
    text = (ROOT / "docs" / "cli.md").read_text()
    assert f"\n## `alpha {name}`\n" in text


def test_every_environment_variable_is_documented_and_no_other():
    read = re.compile(
        r"""(?:environ(?:\.get)?|getenv|env\.\w+)[\[(]\s*["']([A-Z][A-Z_]+)["']"""
    )
    code = [file for name in PACKAGES for file in (ROOT / name).rglob("*.py")]
    used = {name for file in code for name in read.findall(file.read_text())}
    text = (ROOT / "docs" / "environment.md").read_text().split("`make` takes")[0]
    assert set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE)) == used


def test_every_make_target_is_documented():
    targets = re.findall(
        r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    shown = (ROOT / "README.md").read_text() + (
        ROOT / "docs" / "development.md"
    ).read_text()
    assert [name for name in targets if f"make {name}" not in shown] == []


def test_the_readme_opens_with_the_two_commands():
    lines = list(shell_lines(ROOT / "README.md"))
    assert [shlex.split(line, comments=True) for line in lines[:2]] == [
        ["make", "run"],
        ["make", "test"],
    ]


def links(path: Path) -> list[Path]:
    """The files a document links to; a link to a folder leads to all in it."""
    if path.is_dir():
        return sorted(path.glob("*.md"))
    found = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(path))
    return [(path.parent / name).resolve() for name in found if "://" not in name]


def test_every_document_can_be_reached_from_the_readme():
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path not in reached and (path.is_dir() or path.suffix == ".md"):
            reached.add(path)
            waiting += links(path)
    assert [path.name for path in DOCUMENTS if path not in reached] == []
