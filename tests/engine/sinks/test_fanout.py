import pytest

from engine.errors import StorageError
from engine.sinks import Fanout, QuietSink
from engine.train.events import Event, RunStopped, Warning


class Listener(QuietSink):
    def __init__(self, *, essential: bool = False, fails_at: int = -1) -> None:
        self.essential = essential
        self.fails_at = fails_at
        self.heard: list[Event] = []
        self.closed = 0

    def handle(self, event: Event) -> None:
        if event.step == self.fails_at:
            raise StorageError("the disk is full")
        self.heard.append(event)

    def close(self) -> None:
        self.closed += 1


def stop(step: int) -> Event:
    return RunStopped(step, "asked")


def test_every_sink_hears_every_event_the_essential_ones_first() -> None:
    order: list[str] = []

    class Named(QuietSink):
        def __init__(self, name: str, essential: bool) -> None:
            self.name, self.essential = name, essential

        def handle(self, event: Event) -> None:
            order.append(self.name)

    Fanout([Named("console", False), Named("journal", True)]).handle(stop(1))
    assert order == ["journal", "console"]


def test_an_essential_sink_that_fails_ends_the_run() -> None:
    fanout = Fanout([Listener(essential=True, fails_at=2), other := Listener()])
    fanout.handle(stop(1))
    with pytest.raises(StorageError, match="the disk is full"):
        fanout.handle(stop(2))
    assert other.heard == [stop(1)]


def test_any_other_sink_that_fails_is_left_out_after_one_warning() -> None:
    journal, broken = Listener(essential=True), Listener(fails_at=2)
    fanout = Fanout([broken, journal])
    for step in (1, 2, 3):
        fanout.handle(stop(step))
    assert broken.heard == [stop(1)]
    assert broken.closed == 1
    (warning,) = [event for event in journal.heard if isinstance(event, Warning)]
    assert (warning.step, warning.code) == (2, "sink_failed")
    assert "Listener failed" in warning.message
    assert "the disk is full" in warning.message
    assert [event for event in journal.heard if event != warning] == [
        stop(1),
        stop(2),
        stop(3),
    ]


def test_two_failing_sinks_are_both_left_out() -> None:
    journal = Listener(essential=True)
    fanout = Fanout([journal, Listener(fails_at=1), Listener(fails_at=1)])
    fanout.handle(stop(1))
    assert [event.kind for event in journal.heard] == ["run_stopped", *["warning"] * 2]


def test_closing_closes_all_even_when_one_cannot() -> None:
    class Stuck(QuietSink):
        def close(self) -> None:
            raise StorageError("stuck")

    first, last = Listener(), Listener()
    with pytest.raises(StorageError, match="stuck"):
        Fanout([first, Stuck(), last]).close()
    assert (first.closed, last.closed) == (1, 1)
