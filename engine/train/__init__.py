"""The training loop as a stream of events, and what it needs to be stopped safely."""
