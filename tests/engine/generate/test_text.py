import pytest

from engine.generate import (
    GREEDY,
    Emitted,
    Limits,
    Sampling,
    Transcript,
    complete,
    end_of_text,
    stream_text,
)
from engine.tokenizers import END_OF_TEXT, CharTokenizer
from tests.engine.generate.models import Truth, decoder_of
from tests.engine.model.options import small

LETTERS = CharTokenizer("letters", "abcdefghij", [END_OF_TEXT])
CONFIG = small(block_size=24)
PROMPT = [1, 2, 3]


class Bytes(CharTokenizer):
    """Each id is one byte of "é": 0xc3 or 0xa9."""

    def token_bytes(self, token):
        return bytes([(0xC3, 0xA9)[token]])


def spelled(tokens):
    return LETTERS.decode(tokens)


def lines(pieces, *, stops=(), tokenizer=LETTERS):
    """Feed (token, finish) pairs: the pieces shown, and the completion."""
    transcript = Transcript(tokenizer, stops)
    shown = []
    for token, finish in pieces:
        shown.append(transcript.push(Emitted(0, token, finish)))
        if transcript.finish:
            break
    return shown, transcript.completion()


def test_text_comes_with_its_tokens():
    shown, completion = lines([(0, ""), (1, ""), (2, "length")])
    assert shown == ["a", "b", "c"]
    assert completion.text == "abc"
    assert completion.tokens == (0, 1, 2)
    assert completion.finish == "length"


def test_a_stop_token_is_not_part_of_the_text():
    shown, completion = lines([(0, ""), (10, "stop")])
    assert shown == ["a", ""]
    assert completion.tokens == (0, 10)
    assert completion.finish == "stop"


def test_a_stop_string_ends_the_text_before_itself():
    pieces = [(0, ""), (1, ""), (2, ""), (3, "length")]
    shown, completion = lines(pieces, stops=["bc"])
    assert shown == ["a", "", ""]
    assert (completion.text, completion.finish) == ("a", "stop")
    assert completion.tokens == (0, 1, 2)


def test_what_was_held_back_is_shown_at_the_end():
    shown, completion = lines([(0, ""), (1, "length")], stops=["bc"])
    assert shown == ["a", "b"]
    assert completion.finish == "length"


def test_held_back_text_is_shown_before_a_stop_token_too():
    shown, completion = lines([(0, ""), (1, ""), (10, "stop")], stops=["bc"])
    assert shown == ["a", "", "b"]
    assert completion.text == "ab"


def test_half_a_character_waits_for_its_other_half():
    tokenizer = Bytes("bytes", "ab")
    shown, completion = lines([(0, ""), (1, "length")], tokenizer=tokenizer)
    assert shown == ["", "é"]
    shown, completion = lines([(0, "length")], tokenizer=tokenizer)
    assert completion.text == "\N{REPLACEMENT CHARACTER}"


def test_the_whole_is_the_models_text():
    expected = Truth(CONFIG).greedy(PROMPT, 8)
    completion = complete(
        decoder_of(CONFIG), LETTERS, PROMPT, GREEDY, Limits(max_tokens=8)
    )
    assert completion.tokens == tuple(expected)
    assert completion.text == spelled(expected)


@pytest.mark.parametrize("draw", [0, 1])
def test_streaming_gives_the_same_text_in_pieces(draw):
    sampling, limits = Sampling(seed=4), Limits(max_tokens=20)
    arguments = decoder_of(CONFIG), LETTERS, PROMPT, sampling, limits, ["aa", "b"]
    stream = stream_text(*arguments, draw=draw)
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as ended:
            completion = ended.value
            break
    assert completion == complete(*arguments, draw=draw)
    assert "".join(pieces) == completion.text
    assert all(pieces)


def test_draws_of_one_seed_differ():
    texts = {
        complete(
            decoder_of(CONFIG),
            LETTERS,
            PROMPT,
            Sampling(seed=4),
            Limits(max_tokens=20),
            draw=draw,
        ).text
        for draw in range(3)
    }
    assert len(texts) == 3


def test_nothing_is_generated_after_a_stop_string():
    decoder = decoder_of(CONFIG)
    free = spelled(Truth(CONFIG).greedy(PROMPT, 8))
    stop = free[2:4]
    completion = complete(
        decoder, LETTERS, PROMPT, GREEDY, Limits(max_tokens=8), [stop]
    )
    assert completion.text == free[: free.index(stop)]
    # The last token is chosen, never fed.
    assert decoder.lengths[0] == len(PROMPT) + len(completion.tokens) - 1


def test_end_of_text_is_where_texts_end():
    assert end_of_text(LETTERS) == {10}
    assert end_of_text(CharTokenizer("plain", "ab")) == frozenset()
