import numpy as np
import pytest

from engine.config import ModelConfig
from engine.errors import CheckpointError, ConfigError, InputError
from engine.generate import Decoder
from engine.generate.decoder import FEW_ROWS
from tests.engine.generate.models import BACKEND, Truth, decoder_of, weights_of
from tests.engine.model.options import OPTIONS, small

TOLERANCE = {"rtol": 2e-4, "atol": 2e-4}


def close(scores, expected):
    np.testing.assert_allclose(scores, expected, **TOLERANCE)


@pytest.mark.parametrize("name", OPTIONS)
def test_cached_scores_are_those_without_a_cache(name):
    config = small(name, block_size=12)
    decoder, truth = decoder_of(config), Truth(config)
    tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
    for prompt in (1, 5, 9):
        close(decoder.prefill(0, tokens[:prompt]), truth.scores(tokens[:prompt]))
        for end in range(prompt + 1, len(tokens) + 1):
            scores = decoder.decode([tokens[end - 1]])
            close(scores[0], truth.scores(tokens[:end]))


@pytest.mark.parametrize("rows", [2, 3, FEW_ROWS + 1])
@pytest.mark.parametrize("name", ["gpt2", "modern", "one key head", "untied"])
def test_rows_keep_sequences_of_their_own_lengths(name, rows):
    config = small(name, block_size=10)
    decoder, truth = decoder_of(config, rows), Truth(config)
    texts = [[1, 2, 3, 4, 5, 6], [7], [8, 9, 10], [1, 3], [2]][:rows]
    for row, tokens in enumerate(texts):
        close(decoder.prefill(row, tokens), truth.scores(tokens))
    for turn in range(3):
        fed = [(turn + row) % 11 for row in range(rows)]
        scores = decoder.decode(fed)
        for row, tokens in enumerate(texts):
            tokens.append(fed[row])
            close(scores[row], truth.scores(tokens))


def test_a_row_begins_anew_while_others_go_on():
    config = small(block_size=10)
    decoder, truth = decoder_of(config, rows=2), Truth(config)
    decoder.prefill(0, [1, 2, 3])
    decoder.prefill(1, [4, 5, 6, 7])
    decoder.decode([8, 9])
    close(decoder.prefill(0, [10, 3]), truth.scores([10, 3]))
    scores = decoder.decode([2, 2])
    close(scores[0], truth.scores([10, 3, 2]))
    close(scores[1], truth.scores([4, 5, 6, 7, 9, 2]))


def test_a_row_that_waits_is_left_as_it_is_even_when_full():
    config = small(block_size=4)
    decoder, truth = decoder_of(config, rows=2), Truth(config)
    decoder.prefill(0, [1, 2, 3, 4])
    decoder.prefill(1, [5])
    for tokens in ([5, 6], [5, 6, 7]):
        scores = decoder.decode([9, tokens[-1]], active=[1])
        close(scores[1], truth.scores(tokens))
    assert decoder.lengths.tolist() == [4, 3]
    decoder.lengths[0] = 3
    close(decoder.decode([4, 8])[0], truth.scores([1, 2, 3, 4]))


def test_rows_are_copied_by_their_parents():
    config = small(block_size=10)
    decoder, truth = decoder_of(config, rows=3), Truth(config)
    texts = [[1, 2, 3], [4], [5, 6]]
    for row, tokens in enumerate(texts):
        decoder.prefill(row, tokens)
    decoder.reorder([2, 2, 0])
    scores = decoder.decode([7, 8, 9])
    for row, tokens in enumerate(([5, 6, 7], [5, 6, 8], [1, 2, 3, 9])):
        close(scores[row], truth.scores(tokens))


@pytest.mark.parametrize("length", [1, 7, 8, 9, 63, 64, 65, 200, 256, 257, 300])
def test_prompts_of_every_length_are_cut_into_chunks(length):
    """Of which few sizes are compiled; the last one is padded."""
    config = ModelConfig(vocab_size=11, block_size=300, n_layer=1, n_head=1, n_embd=4)
    decoder = decoder_of(config)
    tokens = np.random.default_rng(length).integers(0, 11, length).tolist()
    scores = decoder.prefill(0, tokens)
    assert decoder.lengths.tolist() == [length]
    one_by_one = decoder_of(config)
    one_by_one.prefill(0, tokens[:1])
    for token in tokens[1:]:
        expected = one_by_one.decode([token])
    if length > 1:
        close(scores, expected[0])
    if length < 300:
        close(decoder.decode([2])[0], one_by_one.decode([2])[0])


def test_new_weights_take_effect():
    config = small()
    decoder = decoder_of(config)
    decoder.load(weights_of(config, seed=2))
    close(decoder.prefill(0, [1, 2]), Truth(config, seed=2).scores([1, 2]))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "no tokens"),
        ([1] * 9, "9 tokens; this model's context holds 8"),
        ([1, 11], "token 11 is not in the vocabulary of 11"),
        ([-1], "token -1"),
    ],
)
def test_prompts_that_cannot_be_taken_are_refused(tokens, message):
    with pytest.raises(InputError, match=message):
        decoder_of(small()).prefill(0, tokens)


def test_a_full_row_takes_no_more():
    decoder = decoder_of(small())
    decoder.prefill(0, [1] * 8)
    with pytest.raises(InputError, match="context holds 8"):
        decoder.decode([1])


def test_weights_of_another_model_are_refused():
    with pytest.raises(CheckpointError, match=r"model\.wte\.weight"):
        decoder_of(small()).load(weights_of(small(vocab_size=12)))


def test_a_decoder_has_a_row():
    with pytest.raises(ConfigError, match="rows = 0"):
        Decoder(small(), BACKEND, 0)
