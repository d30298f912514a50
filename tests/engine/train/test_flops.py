from engine.config import ModelConfig
from engine.train.flops import forward_flops_per_token, training_flops_per_token

MODEL = ModelConfig(
    vocab_size=100, block_size=15, n_layer=2, n_head=2, n_embd=8, bias=False
)


def test_products_are_counted_from_the_shape() -> None:
    block = 8 * 24 + 8 * 8 + 2 * 8 * 32
    attention = 2 * (4 * 8 * 8)
    assert forward_flops_per_token(MODEL) == 2 * (2 * block + 100 * 8) + attention


def test_training_costs_three_times_the_forward_pass() -> None:
    assert training_flops_per_token(MODEL) == 3 * forward_flops_per_token(MODEL)


def test_the_count_agrees_with_the_rule_of_six_flops_a_parameter() -> None:
    model = ModelConfig(vocab_size=65, block_size=64, n_layer=6, n_head=6, n_embd=384)
    rule = 6 * 12 * 6 * 384**2
    assert 1.0 < training_flops_per_token(model) / rule < 1.05
