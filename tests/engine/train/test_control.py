import os
import signal

import pytest

from engine.train.control import Action, Request, StopSignals, no_requests


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_a_stop_and_says_so(number: signal.Signals) -> None:
    said: list[str] = []
    with StopSignals(said.append) as control:
        assert control() is None
        os.kill(os.getpid(), number)
        assert control() == Request(Action.STOP, number.name)
    assert said == [f"{number.name}: stopping after this step; once more ends at once"]


def test_the_second_signal_ends_at_once() -> None:
    with StopSignals(lambda line: None) as control:
        control()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_before_the_first_step_is_done_the_first_signal_ends_at_once() -> None:
    with StopSignals(lambda line: None), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals(lambda line: None):
        pass
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert after == before


def test_a_run_that_nobody_stops_gets_no_request() -> None:
    assert no_requests() is None
