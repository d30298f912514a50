"""`alpha bench` lists, runs and shows what is registered, third parties' too."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

import pytest

from engine.bench.harness import Report, Row, benches
from engine.cli import bench
from engine.cli.main import main

REPORT = Report(
    bench="probe",
    device="the tests' CPU",
    rows=[
        Row("small", 1234.5, 1000.0, "tokens/s", "naive", 1.2345, {"ceiling": 2.0}),
        Row("[large]", 0.5, 1.0, "s", "naive", 2.0),
    ],
)


@pytest.fixture(autouse=True)
def probe() -> Iterator[None]:
    """A bench of a third party, called `probe`."""

    def run(options: Namespace) -> Report:
        assert options.shape == "small"
        return REPORT

    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("--shape", default="large")

    run.add_arguments = add_arguments  # type: ignore[attr-defined]
    benches.register("probe")(run)
    yield
    benches.unregister("probe")


def test_json_is_the_report(capsys):
    assert main(["bench", "probe", "--shape", "small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == REPORT.to_dict()


def test_the_table_goes_to_stderr_with_every_figure(capsys):
    assert main(["bench", "probe", "--shape", "small"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    for word in ("probe on the tests' CPU", "1,234", "1.234", "[large]", "ceiling"):
        assert word in err


def test_without_a_name_all_benches_are_listed(capsys):
    assert main(["bench", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["benches"]["probe"] == (__doc__ or "").splitlines()[0]
    for name in benches:
        assert name in err


def test_an_unknown_bench_is_refused_with_the_known_ones(capsys):
    assert main(["bench", "prob"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "prob" in err
    assert "'train'" in err


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12345.6, "12,346"), (0.123456, "0.1235"), (7, "7"), (None, ""), ("x", "x")],
)
def test_figures_are_shown_with_the_digits_that_count(value: object, shown: str):
    assert bench.cell(value).plain == shown
