"""The directory of a run: its name, its files, its lock. The run's own truth."""
