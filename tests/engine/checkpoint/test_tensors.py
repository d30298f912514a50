import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.checkpoint.tensors import DTYPES, FileSum, read_tensors, write_tensors
from engine.errors import CheckpointError

ARRAYS = {
    "wte": np.arange(6, dtype=np.float32).reshape(2, 3),
    "step": np.array(7, dtype=np.int64),
    "none": np.zeros((0, 4), dtype=np.float16),
    "mask": np.array([True, False, True]),
}

some_arrays = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
    hnp.arrays(
        st.sampled_from([np.dtype(value) for value in DTYPES.values()]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    max_size=4,
)


@settings(max_examples=40)
@given(arrays=some_arrays)
def test_what_is_written_is_read_back_to_the_bit(
    arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("tensors") / "file"
    found = read_tensors(path, write_tensors(path, arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_the_reference_library_reads_what_is_written_here(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_tensors(path, ARRAYS)
    found = safetensors.numpy.load_file(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_what_the_reference_library_writes_is_read_here(tmp_path: Path) -> None:
    path = tmp_path / "file"
    safetensors.numpy.save_file(ARRAYS, path)
    found = read_tensors(path, sum_of(path))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_an_array_of_another_layout_is_written_in_the_formats_order(
    tmp_path: Path,
) -> None:
    array = np.arange(6.0).reshape(2, 3).T
    path = tmp_path / "file"
    found = read_tensors(path, write_tensors(path, {"a": array}))
    np.testing.assert_array_equal(found["a"], array)


def sum_of(path: Path) -> FileSum:
    data = path.read_bytes()
    return FileSum(len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda p: p.unlink(), "file is missing"),
        (lambda p: p.write_bytes(p.read_bytes()[:-1]), "file is truncated or altered"),
        (lambda p: p.write_bytes(b""), "0 bytes where"),
        (
            lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\xff"),
            "file has been altered: its SHA-256",
        ),
    ],
)
def test_a_harmed_file_is_named(tmp_path: Path, harm: object, says: str) -> None:
    path = tmp_path / "file"
    expected = write_tensors(path, ARRAYS)
    harm(path)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=says):
        read_tensors(path, expected)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 40,
        (9).to_bytes(8, "little") + b'{"a": 1  ',
        (2).to_bytes(8, "little") + b"[]",
        (60).to_bytes(8, "little")
        + json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}})
        .encode()
        .ljust(60),
    ],
)
def test_what_is_not_the_format_is_a_checkpoint_error(
    tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_tensors(path, sum_of(path))
