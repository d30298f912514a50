import numpy as np
import pytest

from engine.backends.numpy import NumpyBackend
from engine.errors import CheckpointError
from engine.model.layout import pack


@pytest.fixture
def layout():
    return pack([("a", (2, 3), "x"), ("b", (5,), "y"), ("c", (17,), "x")])


def arrays():
    return {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.ones(5, np.float32),
        "c": np.full(17, 2, np.float32),
    }


def test_pieces_follow_each_other_at_multiples_of_sixteen(layout):
    places = {p.name: (p.buffer, p.offset) for p in layout.pieces.values()}
    assert places == {"a": ("x", 0), "b": ("y", 0), "c": ("x", 16)}
    assert {name: s.shape for name, s in layout.buffers.items()} == {
        "x": (48,),
        "y": (16,),
    }


def test_what_is_written_is_read(layout):
    store = NumpyBackend(1).store(layout.buffers)
    store.write("x", np.full(48, 9, np.float32))
    layout.write(store, arrays())
    found = layout.read(store)
    assert found.keys() == arrays().keys()
    for name, array in arrays().items():
        assert np.array_equal(found[name], array)
    assert (store.read("x")[6:16] == 0).all()


def test_reading_gives_copies(layout):
    store = NumpyBackend(1).store(layout.buffers)
    layout.write(store, arrays())
    layout.read(store)["a"][...] = 7
    assert np.array_equal(layout.read(store)["a"], arrays()["a"])


def test_a_moved_layout_has_the_same_places_elsewhere(layout):
    moved = layout.moved({"x": "gx", "y": "gy"})
    for name, piece in layout.pieces.items():
        other = moved.pieces[name]
        assert other.buffer == "g" + piece.buffer
        assert (other.shape, other.offset) == (piece.shape, piece.offset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.pop("b"), r"array 'model\.b' is missing"),
        (lambda x: x.update(d=x["a"]), r"array 'model\.d' is not of this model"),
        (
            lambda x: x.update(a=x["a"].T),
            r"'model\.a' is \(3, 2\) float32.*\(2, 3\) float32",
        ),
        (lambda x: x.update(a=x["a"].astype(np.float64)), "float64"),
    ],
)
def test_arrays_that_do_not_fit_are_named(layout, change, message):
    layout.check(arrays(), "model.")
    wrong = arrays()
    change(wrong)
    with pytest.raises(CheckpointError, match=message):
        layout.check(wrong, "model.")
