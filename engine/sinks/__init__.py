"""Where a run's events go. Importing this registers the sinks that come with Alpha."""

from __future__ import annotations

from engine.sinks.base import QuietSink, Sink, SinkContext, sinks
from engine.sinks.console import ConsoleSink
from engine.sinks.fanout import Fanout
from engine.sinks.journal import Journal

__all__ = [
    "ConsoleSink",
    "Fanout",
    "Journal",
    "QuietSink",
    "Sink",
    "SinkContext",
    "sinks",
]
