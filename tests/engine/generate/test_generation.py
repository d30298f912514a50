import pytest

from engine.errors import ConfigError, InputError
from engine.generate import GREEDY, Generation, Limits, Sampling, generate
from tests.engine.generate.models import Truth, decoder_of
from tests.engine.model.options import small

CONFIG = small(block_size=24)
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 1, 2], [10, 0]]


def continued(decoder, prompts, sampling=GREEDY, **limits):
    """prompt number -> (tokens, finish)"""
    found = {}
    for token in generate(decoder, prompts, sampling, Limits(**limits)):
        tokens, _ = found.setdefault(token.row, ([], ""))
        tokens.append(token.token)
        found[token.row] = tokens, token.finish
    return found


@pytest.mark.parametrize("rows", [1, 2, 4, 5])
def test_greedy_takes_the_best_token_however_many_rows_there_are(rows):
    truth = Truth(CONFIG)
    found = continued(decoder_of(CONFIG, rows), PROMPTS, max_tokens=8)
    assert found == {
        number: (truth.greedy(prompt, 8), "length")
        for number, prompt in enumerate(PROMPTS)
    }


def test_texts_are_lively_enough_to_tell_bugs():
    truth = Truth(CONFIG)
    assert all(len(set(truth.greedy(prompt, 8))) > 1 for prompt in PROMPTS)


@pytest.mark.parametrize("rows", [1, 3])
def test_chance_follows_seed_and_prompt_number_not_rows(rows):
    found = continued(decoder_of(CONFIG, rows), PROMPTS, Sampling(seed=3), max_tokens=9)
    again = continued(decoder_of(CONFIG, 2), PROMPTS, Sampling(seed=3), max_tokens=9)
    assert found == again
    other = continued(decoder_of(CONFIG, 2), PROMPTS, Sampling(seed=4), max_tokens=9)
    assert found != other


def test_the_same_prompt_twice_gives_two_texts():
    found = continued(
        decoder_of(CONFIG, 2), [[1, 2]] * 2, Sampling(seed=3), max_tokens=9
    )
    assert found[0] != found[1]


def test_a_stop_token_ends_a_sequence_and_is_its_last():
    free = Truth(CONFIG).greedy([1, 2, 3], 8)
    stop = free[3]
    end = free.index(stop) + 1
    found = continued(
        decoder_of(CONFIG), [[1, 2, 3]], max_tokens=8, stop_ids=frozenset({stop})
    )
    assert found == {0: (free[:end], "stop")}


def test_a_full_context_ends_a_sequence_that_does_not_slide():
    truth = Truth(CONFIG)
    prompt = list(range(10)) * 2
    found = continued(decoder_of(CONFIG), [prompt], max_tokens=50, slide=False)
    # 24 places hold 20 and 4 tokens; the scores after them give one more.
    assert found == {0: (truth.greedy(prompt, 5), "context")}


def test_a_sliding_sequence_goes_on_with_the_later_half():
    truth = Truth(CONFIG)
    prompt = list(range(10)) * 2
    tokens = [*prompt, *truth.greedy(prompt, 5)]
    window = tokens[-12:]
    for _ in range(13):
        window += truth.greedy(window, 1)
    tokens += window[12:]
    window = tokens[-12:]
    tokens += truth.greedy(window, 3)
    found = continued(decoder_of(CONFIG), [prompt], max_tokens=21)
    assert found == {0: (tokens[20:], "length")}


@pytest.mark.parametrize("rows", [1, 2])
def test_rows_slide_each_for_itself(rows):
    alone = [
        continued(decoder_of(CONFIG), [prompt], max_tokens=40)[0] for prompt in PROMPTS
    ]
    together = continued(decoder_of(CONFIG, rows), PROMPTS, max_tokens=40)
    assert [together[number] for number in range(4)] == alone


def test_of_a_long_prompt_a_sliding_sequence_sees_the_end():
    prompt = [token % 11 for token in range(60)]
    whole = continued(decoder_of(CONFIG), [prompt], max_tokens=4)
    end = continued(decoder_of(CONFIG), [prompt[-24:]], max_tokens=4)
    assert whole == end
    with pytest.raises(InputError, match="60 tokens; this model's context holds 24"):
        continued(decoder_of(CONFIG), [prompt], max_tokens=4, slide=False)


def test_sequences_begin_and_end_when_they_like():
    truth = Truth(CONFIG)
    generation = Generation(decoder_of(CONFIG, 2))
    first = generation.start([1, 2, 3], GREEDY, Limits(max_tokens=4))
    tokens = {first: [e.token for e in generation.step()]}
    second = generation.start([4], GREEDY, Limits(max_tokens=2))
    assert generation.free == []
    with pytest.raises(InputError, match="all 2 rows are busy"):
        generation.start([5], GREEDY, Limits())
    for _ in range(2):
        for emitted in generation.step():
            tokens.setdefault(emitted.row, []).append(emitted.token)
    assert generation.active == [first]
    assert tokens[second] == truth.greedy([4], 2)
    generation.cancel(first)
    assert generation.active == []
    assert generation.step() == []
    assert tokens[first] == truth.greedy([1, 2, 3], 3)
    third = generation.start([5, 6], GREEDY, Limits(max_tokens=1))
    assert [(e.row, e.token, e.finish) for e in generation.step()] == [
        (third, *truth.greedy([5, 6], 1), "length")
    ]


def test_tokens_come_one_at_a_time():
    stream = generate(decoder_of(CONFIG), [[1, 2, 3]], GREEDY, Limits(max_tokens=10**9))
    expected = Truth(CONFIG).greedy([1, 2, 3], 3)
    assert [next(stream).token for _ in range(3)] == expected


def test_an_empty_prompt_is_refused():
    with pytest.raises(InputError, match="no tokens"):
        next(generate(decoder_of(CONFIG), [[]], GREEDY))


def test_at_least_one_token_is_generated():
    with pytest.raises(ConfigError, match="max_tokens = 0"):
        Limits(max_tokens=0)
