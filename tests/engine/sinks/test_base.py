from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.rundir.layout import RunDir
from engine.sinks import QuietSink, SinkContext, sinks
from engine.train.events import RunStopped
from tests.engine.session.recording import TRAIN, record_of

CONTEXT = SinkContext(RunDir(Path("nowhere")), record_of(TRAIN), 0)


def test_the_sinks_that_come_with_alpha_are_registered() -> None:
    assert {"journal", "console", "null"} <= set(sinks)


def test_null_takes_everything_and_keeps_nothing() -> None:
    sink = sinks.get("null")(CONTEXT)
    assert isinstance(sink, QuietSink)
    assert not sink.essential
    sink.handle(RunStopped(1, "asked"))
    sink.sync()
    sink.close()
    assert not CONTEXT.run.path.exists()


def test_an_unknown_sink_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="sink = 'drain': known are: "):
        sinks.get("drain")
