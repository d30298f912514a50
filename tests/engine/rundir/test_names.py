from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.rundir.names import check_run_id, new_run_id

NOON = datetime(2026, 11, 23, 15, 12, 0, tzinfo=UTC)


def test_a_name_tells_time_and_subject() -> None:
    name = new_run_id("python", NOON)
    assert name.startswith("20261123-151200-python-")
    assert len(name) == len("20261123-151200-python-a3f9")


def test_two_names_of_one_moment_differ() -> None:
    names = {new_run_id("x", NOON) for _ in range(40)}
    assert len(names) > 30


@given(label=st.text(max_size=80))
def test_whatever_the_subject_the_name_is_allowed(label: str) -> None:
    assert check_run_id(new_run_id(label, NOON))


@pytest.mark.parametrize("name", ["first", "20261123-151200-a-0f", "v1.2_b", "a" * 100])
def test_a_plain_name_is_allowed(name: str) -> None:
    assert check_run_id(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", ".hidden", "-rf", "a\n", "a b", "é", "a" * 101],
)
def test_a_name_with_tricks_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="run = "):
        check_run_id(name)
