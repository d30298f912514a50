import json
import platform

from engine.rundir.environment import blas_core, cores, differences, environment


def test_the_environment_names_what_fixes_the_last_bits() -> None:
    found = environment(threads=2)
    assert found["python"] == platform.python_version()
    assert found["threads"] == 2
    for name in ("numpy", "blas", "blas_version", "blas_core", "cpu"):
        assert found[name]
    assert json.loads(json.dumps(found)) == found


def test_zero_threads_are_all_cores() -> None:
    assert environment(threads=0)["threads"] == cores() >= 1


def test_the_blas_core_is_known_where_numpy_brings_openblas() -> None:
    if "openblas" in environment(0)["blas"]:
        assert blas_core() != "unknown"


def test_differences_name_what_was_and_what_is() -> None:
    then = environment(1)
    now = then | {"blas_core": "Other", "threads": 4, "python": "3.99"}
    assert differences(then, now) == [f"blas_core: Other, was {then['blas_core']}"]
    assert differences(then, then) == []
