"""Make `.venv/` with what this checkout needs, from a Python and nothing else.

    python3 scripts/make_env.py [EXTRA ...]

EXTRA are names under [project.optional-dependencies] of pyproject.toml. When
nothing changed since the last time it looks at one file and ends. Python 3.7 can read
it, to look for a newer one. Knows nothing of Alpha itself: only pip, venv, and what to
say when one of them is missing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

NEEDED = (3, 11)
KNOWN_MINORS = (14, 13, 12, 11)
ROOT = Path(__file__).resolve().parent.parent
ENV = ROOT / ".venv"
ENV_PYTHON = ENV / "bin" / "python"
STAMP = ENV / "alpha-setup.json"


def say(text: str) -> None:
    """One line for the person at the terminal."""
    print("alpha: " + text, file=sys.stderr, flush=True)


def fail(text: str) -> None:
    """Say what is missing and the line that gets it, and end with status 1."""
    say("error: " + text)
    raise SystemExit(1)


def succeeds(*command: str | Path) -> bool:
    """Whether `command` can be run and ends with status 0; its output is dropped."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def run(*command: str | Path, remedy: str) -> None:
    """Run `command`; when it fails its own words have been shown, then `remedy`."""
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode != 0:
        fail(remedy)


def use_recent_python() -> None:
    """Go on under a Python that is new enough, when this one is not."""
    if sys.version_info >= NEEDED:
        return
    for minor in KNOWN_MINORS:
        found = shutil.which(f"python3.{minor}")
        if found and succeeds(found, "--version"):
            os.execv(found, [found, *sys.argv])
    version = ".".join(map(str, sys.version_info[:3]))
    fail(
        f"Python {version} is too old; install Python 3.11 or newer and name it: "
        "make setup PYTHON=/path/to/python3.11"
    )


def has_module(name: str) -> bool:
    """Whether this Python can import `name` (Debian takes some modules apart)."""
    return importlib.util.find_spec(name) is not None


def make_empty_env() -> None:
    """Create `.venv/` with pip in it, by whichever way this machine offers."""
    say(f"making {ENV.name}/ with Python {sys.version.split()[0]}")
    if not (has_module("ensurepip") or has_module("pip")):
        install_debian_venv()
    python = sys.executable
    if has_module("ensurepip"):
        run(python, "-m", "venv", "--clear", ENV, remedy=f"cannot make {ENV}")
        return
    run(
        *(python, "-m", "venv", "--clear", "--without-pip", ENV),
        remedy=f"cannot make {ENV}",
    )
    run(
        *(python, "-m", "pip", "--python", ENV_PYTHON, "install", "-qq", "pip"),
        remedy=f"cannot install pip into {ENV}: is there a network?",
    )


def install_debian_venv() -> None:
    """Get the module that Debian keeps out of its python3, or say how to."""
    line = "apt-get install -y python3-venv"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        fail(f"this Python has neither ensurepip nor pip; install them: sudo {line}")
    say(f"this Python has neither ensurepip nor pip: {line}")
    remedy = f"could not install python3-venv; by hand: apt-get update && {line}"
    run("apt-get", "update", "-qq", remedy=remedy)
    run(
        *("apt-get", "install", "-y", "-qq", "--no-install-recommends"),
        "python3-venv",
        remedy=remedy,
    )
    importlib.invalidate_caches()


def read_stamp() -> dict[str, object]:
    """What the last complete setup recorded; nothing if there was none."""
    try:
        record: dict[str, object] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    # Scripts in a moved environment still name the place where it was made.
    return record if record.get("place") == str(ENV) else {}


def main(extras: list[str]) -> None:
    """Bring `.venv/` up to date with pyproject.toml and `extras`."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamp = read_stamp()
    had = stamp.get("extras", [])
    installed = set(had) if isinstance(had, list) else set()
    if stamp.get("digest") == digest and installed.issuperset(extras):
        if succeeds(ENV_PYTHON, "-c", ""):
            return
        stamp = {}
    use_recent_python()
    if not stamp or not succeeds(ENV_PYTHON, "-m", "pip", "--version"):
        make_empty_env()
        installed = set()
    wanted = sorted(installed.union(extras))
    target = f"{ROOT}[{','.join(wanted)}]" if wanted else str(ROOT)
    say(f"installing {', '.join(['alpha', *wanted])} into {ENV.name}/")
    STAMP.unlink(missing_ok=True)
    run(
        *(ENV_PYTHON, "-m", "pip", "install", "-qq", "--editable", target),
        remedy="pip could not install what pyproject.toml lists; again: make setup",
    )
    record = {"digest": digest, "place": str(ENV), "extras": wanted}
    STAMP.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
