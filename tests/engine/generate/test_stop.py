import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.generate.stop import StopFinder

texts = st.text("ab", max_size=12)


def cut(text, stops):
    """The text up to the stop that is whole first, the slow way."""
    for end in range(len(text) + 1):
        whole = [len(stop) for stop in stops if stop and text[:end].endswith(stop)]
        if whole:
            return text[: end - max(whole)]
    return text


@given(st.lists(texts, max_size=8), st.lists(texts, max_size=3))
def test_all_that_is_shown_is_the_text_before_the_first_stop(pieces, stops):
    finder = StopFinder(stops)
    shown = ""
    for piece in pieces:
        shown += finder.push(piece)
        assert cut("".join(pieces), stops).startswith(shown)
        if finder.found:
            break
    if not finder.found:
        shown += finder.flush()
    assert shown == cut("".join(pieces), stops)
    assert bool(finder.found) == any(s and s in "".join(pieces) for s in stops)


@pytest.mark.parametrize(
    ("stops", "pieces", "shown"),
    [
        (["END"], ["hello E", "N", "D and more"], ["hello ", "", ""]),
        (["END"], ["hello E", "A"], ["hello ", "EA"]),
        (["\n\n"], ["one\n", "two\n", "\nthree"], ["one", "\ntwo", ""]),
        ([], ["any", "thing"], ["any", "thing"]),
    ],
)
def test_what_may_begin_a_stop_is_held_back(stops, pieces, shown):
    finder = StopFinder(stops)
    assert [finder.push(piece) for piece in pieces] == shown


def test_nothing_is_shown_after_a_stop():
    finder = StopFinder(["x"])
    assert finder.push("ax") == "a"
    assert finder.found == "x"
    assert finder.push("more") == ""
    assert finder.flush() == ""
