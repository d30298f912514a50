from itertools import product

import numpy as np
import pytest

from engine.errors import ConfigError, InputError
from engine.generate import Limits, beam_search
from engine.generate.beam import length_penalty
from tests.engine.generate.models import Truth, decoder_of
from tests.engine.model.options import small

CONFIG = small(block_size=12)
TINY = small(vocab_size=3, block_size=12)


def log_probability(truth, prompt, tokens):
    seen, total = list(prompt), 0.0
    for token in tokens:
        total += np.log(truth.chances(seen)[token])
        seen.append(token)
    return total


@pytest.mark.parametrize("stop_ids", [frozenset(), frozenset({2}), frozenset({7, 5})])
def test_one_beam_is_greedy_search(stop_ids):
    truth = Truth(CONFIG)
    for prompt in ([1, 2, 3], [4], [9, 9]):
        expected = truth.greedy(prompt, 6)
        ends = [i + 1 for i, token in enumerate(expected) if token in stop_ids]
        limits = Limits(max_tokens=6, stop_ids=stop_ids)
        (best,) = beam_search(decoder_of(CONFIG), prompt, limits)
        assert list(best.tokens) == expected[: ends[0] if ends else 6]
        assert best.finish == ("stop" if ends else "length")


@pytest.mark.parametrize("seed", range(3))
def test_enough_beams_find_the_best_of_all_texts(seed):
    """With as many beams as there are texts, nothing is ever dropped."""
    truth, prompt = Truth(TINY, seed), [1, 2]
    texts = {
        tokens: log_probability(truth, prompt, tokens)
        for tokens in product(range(3), repeat=3)
    }
    found = beam_search(
        decoder_of(TINY, rows=27, seed=seed), prompt, Limits(max_tokens=3)
    )
    ranked = sorted(texts, key=lambda tokens: -texts[tokens])
    assert [hypothesis.tokens for hypothesis in found] == ranked
    for hypothesis in found:
        expected = texts[hypothesis.tokens]
        assert hypothesis.log_probability == pytest.approx(expected, abs=1e-3)
        penalty = ((5 + 3) / 6) ** 0.6
        assert hypothesis.score == pytest.approx(expected / penalty, abs=1e-3)


def test_beams_are_the_naive_ones():
    truth, prompt = Truth(CONFIG), [3, 1]
    beams = [((), 0.0)]
    for _ in range(5):
        grown = [
            ((*tokens, token), total + np.log(chance))
            for tokens, total in beams
            for token, chance in enumerate(truth.chances([*prompt, *tokens]))
        ]
        beams = sorted(grown, key=lambda beam: -beam[1])[:3]
    found = beam_search(decoder_of(CONFIG, rows=3), prompt, Limits(max_tokens=5))
    assert [h.tokens for h in found] == [tokens for tokens, _ in beams]
    assert [h.log_probability for h in found] == pytest.approx(
        [total for _, total in beams], abs=1e-3
    )


def test_the_length_penalty_is_that_of_wu_et_al():
    assert length_penalty(1, 0.6) == 1.0
    assert length_penalty(7, 1.0) == 2.0
    assert length_penalty(7, 0.0) == 1.0


def test_a_larger_penalty_favours_longer_texts():
    """Seen where short and long endings compete."""
    limits = Limits(max_tokens=8, stop_ids=frozenset({2, 5}))
    lengths = {}
    for alpha in (0.0, 8.0):
        best = beam_search(decoder_of(CONFIG, rows=4), [4], limits, alpha=alpha)
        assert best == sorted(best, key=lambda h: -h.score)
        assert {h.finish for h in best} <= {"stop", "length"}
        assert all((h.tokens[-1] in {2, 5}) == (h.finish == "stop") for h in best)
        lengths[alpha] = len(best[0].tokens)
    assert lengths[0.0] < lengths[8.0]


def test_a_full_context_ends_the_search():
    prompt = [1] * 10
    found = beam_search(decoder_of(CONFIG, rows=2), prompt, Limits(max_tokens=50))
    assert [(len(h.tokens), h.finish) for h in found] == [(3, "context")] * 2


def test_a_prompt_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="13 tokens"):
        beam_search(decoder_of(CONFIG), [1] * 13, Limits())


def test_a_negative_penalty_is_refused():
    with pytest.raises(ConfigError, match="length_penalty = -1"):
        beam_search(decoder_of(CONFIG), [1], Limits(), alpha=-1.0)
