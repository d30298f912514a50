"""The NumPy backend, which defines what every op computes.

A graph becomes regions of rows (`rows`, `schedule`), the regions Python text (`emit`;
`onerow` for a single row), everything else single calls (`singles`), all of it over one
arena (`lower`), run by a crew of processes (`crew`, `program`).
"""

from engine.backends.numpy.program import NumpyBackend, NumpyProgram, NumpyStore

__all__ = ["NumpyBackend", "NumpyProgram", "NumpyStore"]
