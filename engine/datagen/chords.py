"""Chord charts: progressions in sections, spelled in their key, laid out in bars.

    Title: Slow Train to Lisbon
    Style: pop
    Key: G major
    Tempo: 96
    Form: AABA
    [A]
    | G | D | Em | C |
    | C | D | G | G |
    ...

What there is to learn: which chords a key has, how phrases end, that a letter of the
form stands for the same bars each time, that the last bar is the tonic.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.datagen.draw import Draw, words
from engine.datagen.generator import Generator, endless, generators
from engine.datagen.theory import chord


@dataclass(frozen=True)
class Style:
    """A section takes one of each of `phrases`: four bars in roman numerals.

    "a.b" is a bar of two chords; the last phrase ends on the tonic.
    """

    mode: str
    phrases: tuple[tuple[str, ...], ...]
    forms: tuple[str, ...]
    tempo: tuple[int, int]


STYLES: dict[str, Style] = {
    "pop": Style(
        "major",
        (
            ("I V vi IV", "vi IV I V", "I vi IV V", "I iii IV V", "IV I V vi"),
            ("IV V I I", "ii V I I", "IV iv I I", "vi IV.V I I", "I.V vi.IV I.V I"),
        ),
        ("AABA", "ABAB", "ABABCB"),
        (84, 132),
    ),
    "ballad": Style(
        "minor",
        (
            ("i VI III VII", "i iv VII III", "i v VI VII", "VI VII i i.VII"),
            ("iv V7 i i", "VI V7 i i", "iv.V7 i VI.V7 i"),
        ),
        ("AABA", "ABAB", "AAB"),
        (60, 88),
    ),
    "swing": Style(
        "major",
        (
            (
                "Imaj7 vi7 ii7 V7",
                "iii7 VI7 ii7 V7",
                "Imaj7.vi7 ii7.V7 iii7.VI7 ii7.V7",
                "Imaj7 I7 IVmaj7 iv6",
                "III7 VI7 II7 V7",
            ),
            ("ii7 V7 Imaj7 Imaj7", "ii7.V7 iii7.VI7 ii7.V7 Imaj7", "bVI7 V7 I6 I6"),
        ),
        ("AABA", "ABAC", "AABAC"),
        (108, 208),
    ),
    "blues": Style(
        "major",
        (
            ("I7 I7 I7 I7", "I7 IV7 I7 I7", "I7 IV7 I7 v7.I7"),
            ("IV7 IV7 I7 I7", "IV7 IV7 I7 VI7", "IV7 iv6 I7 VI7"),
            ("V7 IV7 I7 I7", "ii7 V7 I7 I7", "bVI7 V7 I7 I7"),
        ),
        ("AA", "AAA", "AAB"),
        (72, 144),
    ),
    "folk": Style(
        "major",
        (
            ("I I IV I", "I IV I V", "I V I IV", "I vi IV V"),
            ("I V I I", "IV V I I", "I.IV I.V I I"),
        ),
        ("AB", "AABB", "ABAB"),
        (92, 140),
    ),
}

TONICS = {
    "major": ("C", "G", "D", "A", "E", "F", "Bb", "Eb", "Ab"),
    "minor": ("A", "E", "B", "F#", "D", "G", "C"),
}

ADJECTIVES = words(
    "Slow Blue Empty Golden Last Lonely Silver Crooked Quiet Winter Burning Second "
    "Paper Borrowed Distant Broken Velvet Northern"
)
NOUNS = words(
    "Train Harbor River Letter Road Window Dancer Moon Garden Lantern Promise Station "
    "Mirror Summer Bridge Shadow Radio Morning"
)
PLACES = words("Lisbon|Memphis|the Coast|Nowhere|Montreal|Galway|Naples|Havana", "|")


def title(draw: Draw) -> str:
    """A song's name."""
    name = f"{draw.pick(ADJECTIVES)} {draw.pick(NOUNS)}"
    if draw.chance(50):
        link = draw.pick(("to", "from", "in"))
        name += f" {link} {draw.pick(PLACES)}"
    return name


def section(draw: Draw, style: Style) -> list[list[str]]:
    """One phrase of each kind, as bars in roman numerals."""
    return [draw.pick(choices).split() for choices in style.phrases]


def document(draw: Draw) -> str:
    """One chart."""
    name = draw.pick(tuple(STYLES))
    style = STYLES[name]
    tonic = draw.pick(TONICS[style.mode])
    form = draw.pick(style.forms)
    sections = {letter: section(draw, style) for letter in sorted(set(form))}
    low, high = style.tempo
    lines = [
        f"Title: {title(draw)}",
        f"Style: {name}",
        f"Key: {tonic} {style.mode}",
        f"Tempo: {draw.between(low // 4, high // 4) * 4}",
        f"Form: {form}",
    ]
    for letter in form:
        lines.append(f"[{letter}]")
        for phrase in sections[letter]:
            bars = [
                " ".join(chord(roman, tonic, style.mode) for roman in bar.split("."))
                for bar in phrase
            ]
            lines.append(f"| {' | '.join(bars)} |")
    return "\n".join(lines) + "\n"


generators.register("chords")(
    Generator("chord charts in five styles", endless(document))
)
