from __future__ import annotations

import pytest

from engine.backends import Backend, backends
from tests.engine.backends.harness import made


@pytest.fixture(scope="session", params=backends.names())
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend there is, with two threads."""
    return made(request.param)
