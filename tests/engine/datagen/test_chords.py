import re

import pytest

from engine.datagen.chords import STYLES, TONICS, document
from engine.datagen.draw import Draw
from engine.datagen.theory import chord

HEADER = re.compile(
    r"Title: .+\nStyle: (.+)\nKey: (\S+) (major|minor)\nTempo: (\d+)\nForm: ([ABC]+)\n"
)
CHARTS = [document(Draw(1, index)) for index in range(300)]


def parse(chart):
    """Style, tonic, mode, tempo, form and the sections: (letter, bars)."""
    header = HEADER.match(chart)
    assert header is not None
    sections = []
    for line in chart[header.end() :].splitlines():
        if line.startswith("["):
            sections.append((line.strip("[]"), []))
        else:
            assert line.startswith("| ")
            assert line.endswith(" |")
            sections[-1][1].append(line[2:-2].split(" | "))
    return (*header.groups(), sections)


@pytest.mark.parametrize("chart", CHARTS[:60])
def test_a_chart_keeps_its_promises(chart):
    style, tonic, mode, tempo, form, sections = parse(chart)
    assert mode == STYLES[style].mode
    assert STYLES[style].tempo[0] <= int(tempo) <= STYLES[style].tempo[1]
    assert "".join(letter for letter, _ in sections) == form
    assert {len(line) for _, lines in sections for line in lines} == {4}
    bars = dict(sections)
    assert all(lines == bars[letter] for letter, lines in sections)
    for _, lines in sections:
        last = lines[-1][-1].split()[0]
        assert re.fullmatch(f"{tonic}m?(7|6|maj7)?", last)


@pytest.mark.parametrize("chart", CHARTS[:60])
def test_every_chord_is_one_that_the_style_has_in_the_key(chart):
    style, tonic, mode, _, _, sections = parse(chart)
    romans = {
        roman
        for phrases in STYLES[style].phrases
        for phrase in phrases
        for roman in re.split(r"[ .]", phrase)
    }
    known = {chord(roman, tonic, mode) for roman in romans}
    assert {
        c for _, ls in sections for line in ls for b in line for c in b.split()
    } <= (known)


def test_every_phrase_has_four_bars():
    for style in STYLES.values():
        for phrases in style.phrases:
            assert {len(phrase.split()) for phrase in phrases} == {4}


def test_all_styles_and_keys_come_up():
    found = [parse(chart) for chart in CHARTS]
    assert {style for style, *_ in found} == set(STYLES)
    assert {(tonic, mode) for _, tonic, mode, *_ in found} == {
        (tonic, mode) for mode, tonics in TONICS.items() for tonic in tonics
    }
