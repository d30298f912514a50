import pytest

from engine.datagen.theory import LETTERS, MODES, chord, scale, semitone


@pytest.mark.parametrize(
    ("tonic", "mode", "notes"),
    [
        ("C", "major", "C D E F G A B"),
        ("Bb", "major", "Bb C D Eb F G A"),
        ("E", "major", "E F# G# A B C# D#"),
        ("F#", "minor", "F# G# A B C# D E"),
        ("C", "minor", "C D Eb F G Ab Bb"),
        ("D", "dorian", "D E F G A B C"),
        ("A", "mixolydian", "A B C# D E F# G"),
    ],
)
def test_scales(tonic, mode, notes):
    assert scale(tonic, mode) == notes.split()


@pytest.mark.parametrize("mode", MODES)
def test_a_scale_has_each_letter_once_and_the_steps_of_its_mode(mode):
    for tonic in ("C", "F", "G", "Bb", "Eb", "A", "D"):
        notes = scale(tonic, mode)
        assert sorted(note[0] for note in notes) == sorted(LETTERS)
        steps = [(semitone(note) - semitone(tonic)) % 12 for note in notes]
        assert tuple(steps) == MODES[mode]


@pytest.mark.parametrize(
    ("roman", "tonic", "mode", "name"),
    [
        ("I", "C", "major", "C"),
        ("ii7", "G", "major", "Am7"),
        ("Imaj7", "Eb", "major", "Ebmaj7"),
        ("bVI7", "C", "major", "Ab7"),
        ("iv", "C", "major", "Fm"),
        ("VI7", "C", "major", "A7"),
        ("VI", "A", "minor", "F"),
        ("V7", "A", "minor", "E7"),
        ("VII", "C", "minor", "Bb"),
        ("iv6", "F", "major", "Bbm6"),
    ],
)
def test_chords(roman, tonic, mode, name):
    assert chord(roman, tonic, mode) == name


def test_what_is_no_numeral_is_refused():
    with pytest.raises(ValueError, match="'Am' is not a roman numeral"):
        chord("Am", "C", "major")
