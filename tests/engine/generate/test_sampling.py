import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.generate.sampling import GREEDY, Sampler, Sampling, distribution, nucleus

scores_ = st.lists(st.integers(-40, 40), min_size=1, max_size=30).map(
    lambda values: np.array(values, np.float32) / 8
)


def full(scores, sampling):
    """The probability of every token."""
    tokens, weights = distribution(scores, sampling)
    chances = np.zeros(len(scores))
    chances[slice(None) if tokens is None else tokens] = weights / weights.sum()
    return chances


def naive(scores, sampling):
    """The same, by sorting everything at every turn."""
    chances = np.exp(scores.astype(np.float64) / sampling.temperature)
    chances /= chances.sum()
    if sampling.top_k:
        ranked = sorted(chances, reverse=True)
        least = ranked[min(sampling.top_k, len(ranked)) - 1]
        chances[chances < least] = 0
        chances /= chances.sum()
    if sampling.top_p < 1:
        total = 0.0
        for token in sorted(range(len(chances)), key=lambda t: (-chances[t], t)):
            if total >= sampling.top_p - 1e-12:
                chances[token] = 0
            total += chances[token]
        chances /= chances.sum()
    chances[chances < sampling.min_p * chances.max() * (1 - 1e-12)] = 0
    return chances / chances.sum()


@given(
    scores_,
    st.sampled_from([0.5, 1.0, 3.0]),
    st.integers(0, 32),
    st.sampled_from([0.05, 0.313, 0.77, 0.97, 1.0]),
    st.sampled_from([0.0, 0.013, 0.31]),
)
def test_distribution_is_the_naive_one(scores, temperature, top_k, top_p, min_p):
    sampling = Sampling(temperature, top_k, top_p, min_p)
    np.testing.assert_allclose(
        full(scores, sampling), naive(scores, sampling), atol=1e-9
    )


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_the_nucleus_is_the_smallest_that_is_large_enough(weights, top_p):
    weights = np.array(weights, np.float64)
    weights[0] += 1
    kept = nucleus(weights, top_p)
    total = weights.sum()
    assert weights[kept].sum() >= top_p * total * (1 - 1e-12)
    assert weights[kept[:-1]].sum() < top_p * total
    assert (np.diff(weights[kept]) <= 0).all()
    others = np.delete(weights, kept)
    assert not len(others) or others.max() <= weights[kept].min()


def test_equal_tokens_at_the_cut_of_top_k_all_stay():
    chances = full(np.array([1, 2, 2, 2, 0], np.float32), Sampling(top_k=2))
    np.testing.assert_allclose(chances, [0, 1 / 3, 1 / 3, 1 / 3, 0])


def test_tokens_come_as_often_as_their_probability_says():
    scores = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    sampler = Sampler(Sampling(seed=9), 4)
    counts = np.bincount([sampler.choose(scores) for _ in range(20_000)], minlength=4)
    np.testing.assert_allclose(counts / 20_000, [0.1, 0.2, 0.3, 0.4], atol=0.012)


def test_temperature_zero_takes_the_best_and_the_first_of_equals():
    sampler = Sampler(GREEDY, 4)
    assert sampler.choose(np.array([0, 3, 3, 1], np.float32)) == 1


def choices(sampling, count, prompt=(), row=0):
    random = np.random.default_rng(0)
    sampler = Sampler(sampling, 50, prompt, row)
    skipped = random.normal(size=(len(prompt), 50))
    assert len(skipped) == len(prompt)
    return [
        sampler.choose(random.normal(size=50).astype(np.float32)) for _ in range(count)
    ]


def test_a_seed_gives_the_same_tokens_again():
    assert choices(Sampling(seed=5), 600) == choices(Sampling(seed=5), 600)
    assert choices(Sampling(seed=5), 20) != choices(Sampling(seed=6), 20)


def test_rows_of_one_seed_are_drawn_apart():
    assert choices(Sampling(seed=5), 20) != choices(Sampling(seed=5), 20, row=1)


def test_a_text_given_back_as_a_prompt_goes_on_as_it_would_have():
    whole = choices(Sampling(seed=5), 300)
    again = choices(Sampling(seed=5), 260, prompt=whole[:40])
    assert again == whole[40:]


def test_scores_are_left_as_they_are():
    scores = np.array([1, 2, 3], np.float32)
    Sampler(Sampling(top_k=2, repetition_penalty=2.0), 3, [2]).choose(scores)
    assert scores.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("sampling", "prompt", "scores", "expected"),
    [
        # Seen scores are halved when positive and doubled when negative.
        (Sampling(0, repetition_penalty=2.0), [1], [2, 3, 1], [0, 1, 1]),
        (Sampling(0, repetition_penalty=2.0), [0, 1], [-1, -1.5, -2.5], [0, 0, 0]),
        # Presence and frequency count what was generated, not the prompt.
        (Sampling(0, presence_penalty=1.5), [1], [2, 3, 1], [1, 0, 1]),
        (Sampling(0, frequency_penalty=0.6), [], [2, 3, 0], [1, 1, 0]),
    ],
)
def test_penalties(sampling, prompt, scores, expected):
    sampler = Sampler(sampling, 3, prompt)
    scores = np.array(scores, np.float32)
    assert [sampler.choose(scores) for _ in expected] == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", -0.1),
        ("repetition_penalty", 0.0),
        ("seed", -1),
        ("seed", 2**64),
    ],
)
def test_values_that_make_no_sense_are_named(name, value):
    with pytest.raises(ConfigError, match=f"{name} = {value}"):
        Sampling(**{name: value})
