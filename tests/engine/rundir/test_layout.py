import dataclasses
from contextlib import closing
from pathlib import Path

import pytest

from engine.config import RunConfig
from engine.errors import InputError, StorageError
from engine.rundir.layout import RunDir, create, find, runs
from engine.rundir.lock import RunLock
from engine.rundir.record import RunRecord


def record(run: str, created: str = "2026-01-01", state: str = "active") -> RunRecord:
    return RunRecord(
        run=run,
        name="",
        config=RunConfig().to_dict(),
        domain="",
        dataset={},
        tokenizer={},
        parameters=1,
        environment={},
        created=created,
        state=state,
    )


def make(outputs: Path, name: str, **about: str) -> RunDir:
    return create(outputs / name, record(name, **about), b"{}")


def test_a_run_comes_with_its_record_its_tokenizer_and_its_checkpoints(
    tmp_path: Path,
) -> None:
    run = make(tmp_path / "outputs", "first")
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints",
        "run.json",
        "tokenizer.json",
    ]
    assert run.exists()
    assert run.record().run == "first"


def test_a_run_is_never_made_over_another(tmp_path: Path) -> None:
    make(tmp_path, "first")
    with pytest.raises(InputError, match="first exists; choose another name or resume"):
        make(tmp_path, "first")


def test_an_empty_folder_may_become_a_run(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    assert make(tmp_path, "first").exists()


def test_a_run_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"Not a directory|File exists"):
        make(tmp_path / "file", "first")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_runs_are_listed_by_age_and_nothing_else_is(tmp_path: Path) -> None:
    make(tmp_path, "b", created="2026-01-01")
    make(tmp_path, "a", created="2026-01-02")
    (tmp_path / "no-run").mkdir()
    (tmp_path / ".scrap-c.1").mkdir()
    assert [run.path.name for run in runs(tmp_path)] == ["b", "a"]
    assert runs(tmp_path / "none") == []


def test_a_run_is_found_by_name_path_age_or_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = tmp_path / "outputs"
    make(outputs, "old", created="2026-01-01")
    new = make(outputs, "new", created="2026-01-02")
    checkpoint = new.store.path(5)
    checkpoint.mkdir()
    monkeypatch.chdir(outputs)
    for name in ("new", "last", str(new.path), str(checkpoint), "./new"):
        assert find(name, outputs).path == new.path
    assert find("new", tmp_path).path == new.path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none", "no run 'none' in .*; the last are first"),
        ("../first", "not a run's directory"),
        ("..", "not a run's directory"),
        ("a b", "letters, digits"),
        ("/", "not a run's directory"),
    ],
)
def test_a_run_that_is_not_there_is_named(tmp_path: Path, name: str, says: str) -> None:
    make(tmp_path, "first")
    with pytest.raises(InputError, match=says):
        find(name, tmp_path)


def test_without_any_run_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no run in"):
        find("last", tmp_path)
    with pytest.raises(InputError, match="there is none yet"):
        find("first", tmp_path)


def test_an_active_run_without_a_writer_is_stale(tmp_path: Path) -> None:
    run = make(tmp_path, "first")
    assert run.state() == "stale"
    with closing(RunLock(run.path)):
        assert run.state() == "active"
    dataclasses.replace(run.record(), state="completed").write(run.path)
    assert run.state() == "completed"
