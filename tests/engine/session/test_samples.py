import numpy as np
import pytest

from engine.backends import backends
from engine.config import ModelConfig, TrainConfig
from engine.data import TokenStore
from engine.model import initial_values
from engine.session.samples import PromptSampler, prompt_ids, usable_prompts
from engine.tokenizers import CHAT_SPECIALS, CharTokenizer, tokenizers

TEXT = "abcdefgh \n" * 3


@pytest.fixture
def tokenizer() -> CharTokenizer:
    built = tokenizers.get("char").build([TEXT], 0)
    assert isinstance(built, CharTokenizer)
    return built


def sampler(tokenizer: CharTokenizer, seed: int = 1, tokens: int = 20) -> PromptSampler:
    model = ModelConfig(
        vocab_size=tokenizer.vocab_size, block_size=8, n_layer=1, n_head=1, n_embd=4
    )
    train = TrainConfig(seed=seed, sample_tokens=tokens)
    backend = backends.get("numpy")(1)
    return PromptSampler(
        model, train, tokenizer, backend, lambda: initial_values(model, 3)
    )


def test_a_sample_has_as_many_tokens_as_asked_for(tokenizer: CharTokenizer) -> None:
    assert len(sampler(tokenizer)("abc", 10, 0)) == 20


def test_the_same_seed_step_and_prompt_give_the_same_text(
    tokenizer: CharTokenizer,
) -> None:
    one, two = sampler(tokenizer), sampler(tokenizer)
    assert one("abc", 10, 1) == two("abc", 10, 1)
    assert one("abc", 20, 1) != two("abc", 10, 1)
    assert one("abc", 10, 1) != one("abc", 10, 2)
    assert one("abc", 10, 1) != sampler(tokenizer, seed=2)("abc", 10, 1)


def test_weights_are_taken_anew_at_each_step_that_samples(
    tokenizer: CharTokenizer,
) -> None:
    made = sampler(tokenizer)
    values, calls = made._weights, 0

    def counted() -> object:
        nonlocal calls
        calls += 1
        return values()

    made._weights = counted  # type: ignore[assignment]
    for step, index in ((10, 0), (10, 1), (20, 0)):
        made("a", step, index)
    assert calls == 2


def test_prompts_that_cannot_be_encoded_are_told_apart(
    tokenizer: CharTokenizer,
) -> None:
    store = TokenStore.of(tokenizer.encode(TEXT))
    assert usable_prompts(["abc", "xyz", ""], tokenizer, store) == (
        ["abc"],
        ["xyz", ""],
    )


def test_without_a_usable_prompt_the_validation_text_begins_the_sample(
    tokenizer: CharTokenizer,
) -> None:
    store = TokenStore.of(tokenizer.encode(TEXT))
    assert usable_prompts([], tokenizer, store) == ([TEXT[:16]], [])
    assert usable_prompts(["xyz"], tokenizer, store) == ([TEXT[:16]], ["xyz"])


def test_where_the_tokenizer_knows_roles_a_prompt_is_a_message() -> None:
    chat = tokenizers.get("char").build([TEXT], 0, specials=CHAT_SPECIALS)
    spelled = chat.decode(np.array(prompt_ids(chat, "abc")))
    assert spelled == "<|user|>abc<|assistant|>"
