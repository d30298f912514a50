import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.shards import (
    MANIFEST,
    DamagedShards,
    ShardWriter,
    check_files,
    open_store,
    read_manifest,
    token_dtype,
    write_manifest,
)

U16, U32 = np.dtype("<u2"), np.dtype("<u4")


def write(folder, parts, dtype=U16, masks=None, shard_tokens=16):
    """Write one side, a document for each part, and open it again."""
    with ShardWriter(folder, "train", dtype, masks is not None, shard_tokens) as writer:
        for index, ids in enumerate(parts):
            writer.begin_document()
            writer.append(np.array(ids, np.int32), masks[index] if masks else None)
        entry = writer.finish()
    write_manifest(folder, dtype, shard_tokens, {"source": "test"}, {"train": entry})
    body = read_manifest(folder)
    check_files(folder, body)
    return open_store(folder, body, "train")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, [range(40)], masks=[np.arange(40) % 2 == 0])
    return tmp_path


@pytest.mark.parametrize(("size", "dtype"), [(65, U16), (65536, U16), (65537, U32)])
def test_the_dtype_follows_the_vocabulary(size, dtype):
    assert token_dtype(size) == dtype


parts_of_tokens = st.lists(
    st.lists(st.tuples(st.integers(0, 65535), st.booleans()), min_size=1, max_size=40),
    min_size=1,
    max_size=6,
)


@given(parts_of_tokens, st.sampled_from((8, 16, 64)), st.sampled_from((U16, U32)))
def test_what_is_written_is_read_back(tmp_path_factory, parts, shard_tokens, dtype):
    ids = [[token for token, _ in part] for part in parts]
    masks = [np.array([counts for _, counts in part]) for part in parts]
    folder = tmp_path_factory.mktemp("shards")
    store = write(folder, ids, dtype, masks, shard_tokens)
    flat = [token for part in ids for token in part]
    counts = np.concatenate(masks)
    assert store.tokens(0, len(store)).tolist() == flat
    assert store.counts(0, len(store)).tolist() == counts.tolist()
    assert store.targets == counts.sum()
    starts = np.cumsum([0, *map(len, ids)])[:-1]
    assert store.documents.tolist() == starts.tolist()
    files = list(folder.glob("*.tokens"))
    assert len(files) == -(-len(flat) // shard_tokens)
    assert max(file.stat().st_size for file in files) <= shard_tokens * dtype.itemsize


def test_the_bytes_on_disk_are_those_documented(tmp_path):
    counts = np.array([True, False, True, True, False, False, False, False, True])
    write(tmp_path, [[1, 2, 3], [258, 5, 6, 7, 8, 9]], masks=[counts[:3], counts[3:]])
    tokens = (tmp_path / "train-00000.tokens").read_bytes()
    assert tokens == bytes([1, 0, 2, 0, 3, 0, 2, 1, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0])
    assert (tmp_path / "train-00000.mask").read_bytes() == bytes([0b00001101, 1])
    documents = (tmp_path / "train.documents").read_bytes()
    assert documents == bytes([0] * 8 + [3] + [0] * 7)


def test_without_a_mask_there_is_no_mask_file(tmp_path):
    store = write(tmp_path, [[1, 2, 3]])
    assert not store.masked
    assert not list(tmp_path.glob("*.mask"))


def test_shards_read_without_loading_them(folder):
    store = open_store(folder, read_manifest(folder), "train")
    assert all(isinstance(shard, np.memmap) for shard in store._shards)


@pytest.mark.parametrize(
    "name",
    [
        "train-00000.tokens",
        "train-00002.tokens",
        "train-00001.mask",
        "train.documents",
    ],
)
def test_a_damaged_file_is_named(folder, name):
    body, path = read_manifest(folder), folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DamagedShards, match=f"{name}: {len(whole) - 1} bytes instead"):
        check_files(folder, body)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DamagedShards, match=f"{name}: altered"):
        check_files(folder, body)
    path.unlink()
    with pytest.raises(DamagedShards, match=f"{name}: No such file"):
        check_files(folder, body)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not readable"),
        (b"{", "not readable"),
        (b"[]", "not readable"),
        (b'{"body": 1, "checksum": ""}', "altered"),
        (b'{"body": {"format": "x"}, "checksum": ""}', "altered"),
    ],
)
def test_a_damaged_manifest_is_named(folder, data, words):
    (folder / MANIFEST).write_bytes(data)
    with pytest.raises(DamagedShards, match=f"{MANIFEST}: {words}"):
        read_manifest(folder)


def test_an_altered_number_in_the_manifest_is_noticed(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["body"]["sides"]["train"]["tokens"] += 1
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DamagedShards, match="altered"):
        read_manifest(folder)


def test_a_manifest_of_another_version_is_not_used(folder, monkeypatch):
    monkeypatch.setattr("engine.data.shards.VERSION", 99)
    with pytest.raises(DamagedShards, match=r"is alpha-tokens 1, needed is .* 99"):
        read_manifest(folder)
