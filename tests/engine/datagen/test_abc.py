"""Tunes are read back by a small ABC reader of the test's own (ABC standard 2.1)."""

import re
from fractions import Fraction

import pytest

from engine.datagen.abc import BEATS, DANCES, KEYS, LAST, document, length, note
from engine.datagen.draw import Draw

TUNES = [document(Draw(5, index)) for index in range(200)]
TOKEN = re.compile(r"(?P<note>[A-Ga-g])(?P<octave>[,']*)(?P<length>\d*)(?P<dot>>?)| ")


def read(tune):
    """Header fields in order, and bars of (letter, octave, eighths)."""
    lines = tune.splitlines()
    header = [line.split(":", 1) for line in lines[:7]]
    body = " ".join(lines[7:])
    parts = re.findall(r"\|:(.*?):\|", body)
    assert re.sub(r"\|:.*?:\|", "", body).strip() == ""
    return dict(header), [[bar(b) for b in part.split("|")] for part in parts]


def bar(text):
    notes, at, dotted = [], 0, False
    while at < len(text):
        match = TOKEN.match(text, at)
        assert match is not None, f"not ABC: {text[at:]!r}"
        at = match.end()
        if match["note"]:
            eighths = Fraction(match["length"] or 1)
            if dotted:
                eighths /= 2
            dotted = bool(match["dot"])
            if dotted:
                eighths *= Fraction(3, 2)
            octave = match["octave"].count("'") - match["octave"].count(",")
            notes.append((match["note"], octave, eighths))
    assert not dotted
    return notes


@pytest.mark.parametrize("tune", TUNES[:60])
def test_every_bar_adds_up_to_the_metre(tune):
    header, parts = read(tune)
    over, under = map(int, header["M"].split("/"))
    eighths = Fraction(8 * over, under)
    assert header["L"] == "1/8"
    assert len(parts) == 2
    for part in parts:
        assert len(part) == 8
        assert {sum(length for *_, length in notes) for notes in part} == {eighths}


@pytest.mark.parametrize("tune", TUNES[:60])
def test_the_header_has_its_fields_in_the_order_of_the_standard(tune):
    header, _ = read(tune)
    assert list(header) == ["X", "T", "R", "M", "L", "Q", "K"]
    assert header["M"] == DANCES[header["R"]].metre
    assert header["K"] in KEYS
    assert re.fullmatch(r"(1/4|3/8)=\d+", header["Q"])


@pytest.mark.parametrize("tune", TUNES[:60])
def test_parts_end_on_the_tonic_and_bring_their_beginning_back(tune):
    header, parts = read(tune)
    for part in parts:
        assert part[-1][-1][0].upper() == header["K"][0]
        assert part[4:6] == part[0:2]


def test_tunes_are_numbered_and_titles_differ():
    numbers = [read(tune)[0]["X"] for tune in TUNES]
    assert numbers == [str(number + 1) for number in range(200)]
    assert len({read(tune)[0]["T"] for tune in TUNES}) > 100


def test_all_dances_and_keys_come_up():
    headers = [read(tune)[0] for tune in TUNES]
    assert {header["R"] for header in headers} == set(DANCES)
    assert {header["K"] for header in headers} == set(KEYS)


@pytest.mark.parametrize(
    ("position", "name"),
    [(0, "C"), (6, "B"), (7, "c"), (13, "b"), (14, "c'"), (-1, "B,"), (-8, "B,,")],
)
def test_names_of_notes(position, name):
    assert note(position) == name


def test_lengths():
    assert [length(eighths) for eighths in (1, 2, 3)] == ["", "2", "3"]


def test_rhythms_fill_their_beats():
    for beat, rhythms in BEATS.items():
        assert {sum(rhythm) for rhythm, _ in rhythms} == {beat} == {sum(LAST[beat])}
