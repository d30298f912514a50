import json
import platform

from engine.backends import backends
from engine.rundir.environment import cores, differences, environment


def test_the_environment_names_what_fixes_the_last_bits() -> None:
    found = environment(backends.get("numpy")(2).describe())
    assert found["python"] == platform.python_version()
    assert found["threads"] == 2
    assert found["cores"] == cores() >= 1
    for name in ("backend", "numpy", "blas", "blas_version", "blas_core", "cpu"):
        assert found[name]
    assert json.loads(json.dumps(found)) == found


def test_differences_name_what_was_and_what_is() -> None:
    then = environment({"blas_core": "Haswell", "threads": 1})
    now = then | {"blas_core": "Zen", "threads": 4, "python": "3.99"}
    assert differences(then, now) == ["blas_core: Zen, was Haswell"]
    assert differences(then, then) == []
