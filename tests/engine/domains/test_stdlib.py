import pytest

from engine.data import texts
from engine.domains.stdlib import FOLDERS_LEFT_OUT, LIMIT, python_sources
from engine.errors import DataError


def test_this_pythons_own_sources_are_a_corpus():
    source = python_sources()
    assert LIMIT * 0.5 < source.size <= LIMIT
    assert source.kind == "documents"
    assert source.name.startswith("Python 3.")
    names = {path.name for path in source.paths}
    assert len(names) > 200
    for path in source.paths:
        assert path.suffix == ".py"
        assert not FOLDERS_LEFT_OUT & set(path.parent.parts[-3:])


def test_the_choice_is_the_same_every_time_and_smaller_ones_lie_inside():
    chosen = [python_sources(limit=limit).paths for limit in (10**6, 10**6, 10**5)]
    assert chosen[0] == chosen[1]
    assert set(chosen[2]) < set(chosen[0])


@pytest.fixture
def library(tmp_path):
    files = {
        "ast.py": b"import sys\n",
        "json/decoder.py": b"def f():\n    pass\n",
        "json/__init__.py": b"",
        "json/__pycache__/decoder.py": b"x",
        "test/test_ast.py": b"x",
        "unittest/test/x.py": b"x",
        "site-packages/numpy.py": b"x",
        "_sysconfigdata__linux_.py": b"x",
        "latin.py": "# -*- coding: latin-1 -*-\nü".encode("latin-1"),
        "readme.txt": b"x",
    }
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def test_tests_packages_and_tables_are_left_out(library):
    source = python_sources(library)
    names = [path.relative_to(library).as_posix() for path in source.paths]
    assert names == ["ast.py", "json/decoder.py"]
    assert list(texts(source)) == ["import sys\n", "def f():\n    pass\n"]


def test_the_limit_holds_in_bytes(library):
    assert python_sources(library, limit=20).size <= 20


def test_a_python_without_sources_says_so(tmp_path):
    with pytest.raises(DataError, match="no Python sources here; give a text"):
        python_sources(tmp_path)
