"""Where graphs run. A backend compiles a graph into a program and replays it."""

from engine.backends.base import Assign, Backend, Program, Store, backends

__all__ = ["Assign", "Backend", "Program", "Store", "backends"]
