import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine import storage
from engine.checkpoint import CheckpointStore, load_checkpoint, verify
from engine.errors import CheckpointError, StorageError

ARRAYS = {
    "model.wte": np.arange(6, dtype=np.float32).reshape(2, 3),
    "optim.wte.m": np.ones((2, 3), dtype=np.float32),
    "scale.value": np.array(1.0, dtype=np.float32),
}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save(store: CheckpointStore, step: int, val_loss: float | None = None) -> Path:
    return store.save(step, ARRAYS, {"step": step}, {"run": "r"}, val_loss)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def test_a_checkpoint_holds_arrays_and_state(store: CheckpointStore) -> None:
    path = save(store, 2000, val_loss=1.5)
    assert path.name == "step-00002000"
    assert names(path) == [
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    found = store.load(2000)
    assert found.manifest.trainer == {"step": 2000}
    assert found.manifest.about == {"run": "r"}
    assert found.manifest.val_loss == 1.5
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)


def test_the_model_alone_can_be_loaded_where_the_optimizer_is_not(
    store: CheckpointStore,
) -> None:
    path = save(store, 1)
    (path / "optimizer.safetensors").unlink()
    assert list(load_checkpoint(path, optimizer=False).arrays) == ["model.wte"]
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors is missing"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "state.json"]
)
@pytest.mark.parametrize("harm", ["truncate", "alter", "remove"])
def test_a_harmed_checkpoint_names_the_file(
    store: CheckpointStore, name: str, harm: str
) -> None:
    path = save(store, 1) / name
    data = path.read_bytes()
    if harm == "remove":
        path.unlink()
    elif harm == "truncate":
        path.write_bytes(data[: len(data) // 2])
    else:
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(CheckpointError, match=name):
        store.load(1)
    with pytest.raises(CheckpointError, match=name):
        verify(path.parent)
    assert isinstance(store.fault(1), CheckpointError)


def test_an_altered_number_in_the_state_is_found_out(store: CheckpointStore) -> None:
    path = save(store, 1) / "state.json"
    record = json.loads(path.read_text())
    record["trainer"]["step"] = 5
    path.write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=r"state\.json has been altered"):
        store.load(1)


def test_a_missing_checkpoint_is_named(store: CheckpointStore) -> None:
    with pytest.raises(CheckpointError, match="step-00000009: no such checkpoint"):
        store.load(9)


def test_the_last_good_one_is_found_behind_damaged_ones(store: CheckpointStore) -> None:
    for step in (1, 2, 3):
        save(store, step)
    (store.path(2) / "model.safetensors").write_bytes(b"")
    assert store.last_good(before=3) == 1
    assert store.last_good(before=1) is None


@pytest.mark.parametrize(
    ("losses", "keep", "left"),
    [
        ({1: None, 2: None, 3: None}, 2, [2, 3]),
        ({1: 3.0, 2: 1.0, 3: 2.0, 4: None, 5: None}, 2, [2, 4, 5]),
        ({1: 1.0, 2: 1.0, 3: 1.0}, 1, [1, 3]),
        ({1: 3.0, 2: 2.0, 3: 1.0}, 1, [3]),
        ({1: None}, 5, [1]),
    ],
)
def test_pruning_keeps_the_last_and_the_best(
    store: CheckpointStore, losses: dict[int, float | None], keep: int, left: list[int]
) -> None:
    for step, val_loss in losses.items():
        save(store, step, val_loss)
    store.prune(keep)
    assert store.steps() == left


def test_pruning_never_counts_a_damaged_checkpoint_as_one_kept(
    store: CheckpointStore,
) -> None:
    for step in (1, 2, 3):
        save(store, step)
    (store.path(3) / "model.safetensors").write_bytes(b"")
    assert store.prune(1) == [1]
    assert store.steps() == [2, 3]
    (store.path(2) / "state.json").write_bytes(b"{}")
    assert store.prune(1) == []
    assert store.steps() == [2, 3]


def test_what_a_resumed_run_makes_again_is_dropped(store: CheckpointStore) -> None:
    for step in (1, 2, 3):
        save(store, step)
    assert store.drop_after(1) == [2, 3]
    assert store.steps() == [1]


def test_a_step_saved_again_replaces_what_was_there(store: CheckpointStore) -> None:
    save(store, 1, val_loss=1.0)
    save(store, 1, val_loss=2.0)
    assert store.load(1).manifest.val_loss == 2.0
    assert names(store.folder) == ["step-00000001"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_a_full_disk_leaves_earlier_checkpoints_and_nothing_half_written(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    size = sum(path.stat().st_size for path in save(store, 1).iterdir())
    write, left = os.write, int(share * size)

    def full(descriptor: int, data: memoryview) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(left, len(data))
        left -= taken
        return write(descriptor, data[:taken])

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "write", full)
        with pytest.raises(StorageError, match="step-00000002: No space left"):
            save(store, 2)
    assert names(store.folder) == ["step-00000001"]
    store.load(1)


def test_what_a_killed_writer_left_is_no_checkpoint_and_is_swept(
    store: CheckpointStore,
) -> None:
    path = save(store, 1)
    scrap = store.folder / f"{storage.SCRAP}step-00000002.77"
    shutil.copytree(path, scrap)
    assert store.steps() == [1]
    store.sweep()
    assert not scrap.exists()
