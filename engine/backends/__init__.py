"""Where graphs run. A backend compiles a graph into a program and replays it."""

from engine.backends.base import Assign, Backend, Program, Store, backends
from engine.backends.numpy import NumpyBackend

__all__ = ["Assign", "Backend", "NumpyBackend", "Program", "Store", "backends"]
