import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import ModelConfig
from engine.errors import ConfigError
from engine.model import Kind, initial_values, parameter_layout, parameters
from engine.model.parameters import DECAY, PLAIN, inner_width
from tests.engine.model.options import OPTIONS, small


def shapes(config):
    return {p.name: p.shape for p in parameters(config)}


def test_gpt2_has_these_parameters():
    assert shapes(small(n_layer=1)) == {
        "wte.weight": (11, 8),
        "wpe.weight": (8, 8),
        "blocks.0.attn_norm.gain": (8,),
        "blocks.0.attn_norm.bias": (8,),
        "blocks.0.attn.qkv.weight": (8, 24),
        "blocks.0.attn.qkv.bias": (24,),
        "blocks.0.attn.out.weight": (8, 8),
        "blocks.0.attn.out.bias": (8,),
        "blocks.0.mlp_norm.gain": (8,),
        "blocks.0.mlp_norm.bias": (8,),
        "blocks.0.mlp.in.weight": (8, 32),
        "blocks.0.mlp.in.bias": (32,),
        "blocks.0.mlp.out.weight": (32, 8),
        "blocks.0.mlp.out.bias": (8,),
        "norm.gain": (8,),
        "norm.bias": (8,),
    }


def test_a_modern_model_has_these_parameters():
    config = small("modern", n_layer=1, n_head=4, n_kv_head=2, tie=False)
    assert shapes(config) == {
        "wte.weight": (11, 8),
        "head.weight": (8, 11),
        "blocks.0.attn_norm.gain": (8,),
        "blocks.0.attn.qkv.weight": (8, 16),
        "blocks.0.attn.q_norm.gain": (2,),
        "blocks.0.attn.k_norm.gain": (2,),
        "blocks.0.attn.out.weight": (8, 8),
        "blocks.0.mlp_norm.gain": (8,),
        "blocks.0.mlp.in.weight": (8, 32),
        "blocks.0.mlp.out.weight": (16, 8),
        "norm.gain": (8,),
    }


def test_gpt2_small_has_124_million_parameters():
    config = ModelConfig(
        vocab_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768
    )
    assert sum(p.size for p in parameters(config)) == 124_439_808


@pytest.mark.parametrize(
    ("changes", "inner"),
    [
        ({"n_embd": 128}, 512),
        ({"n_embd": 128, "activation": "swiglu"}, 336),
        ({"n_embd": 384, "activation": "geglu"}, 1024),
        ({"n_embd": 4, "activation": "swiglu"}, 10),
        ({"n_embd": 128, "activation": "swiglu", "n_inner": 100}, 100),
    ],
)
def test_width_inside_the_mlp(changes, inner):
    assert inner_width(small(**changes)) == inner


@pytest.mark.parametrize("name", OPTIONS)
def test_all_with_two_axes_decay_and_nothing_else(name):
    for parameter in parameters(small(name)):
        assert parameter.kind.decays == (len(parameter.shape) == 2)


@pytest.mark.parametrize("name", OPTIONS)
def test_parts_of_a_fused_matrix_add_up(name):
    for parameter in parameters(small(name)):
        fused = parameter.kind is Kind.MATRIX
        assert sum(parameter.parts) == (parameter.shape[1] if fused else 0)


def test_the_parts_are_queries_keys_values_and_gate_up():
    found = {p.name: p.parts for p in parameters(small("modern, all"))}
    assert found["blocks.1.attn.qkv.weight"] == (8, 4, 4)
    assert found["blocks.1.mlp.in.weight"] == (16, 16)
    assert found["blocks.1.mlp.out.weight"] == (8,)


@pytest.mark.parametrize(("width", "wider"), [(768, 1.0), (48, 4.0)])
def test_first_values_have_the_deviations_of_gpt2(width, wider):
    """At its width; narrower, matrices begin larger by the root of the ratio."""
    config = small(n_embd=width, n_layer=2, vocab_size=100)
    values = initial_values(config, 3)
    for parameter in parameters(config):
        value = values[parameter.name]
        assert (value.dtype, value.shape) == (np.float32, parameter.shape)
        if parameter.kind is Kind.GAIN:
            assert (value == 1).all()
        elif parameter.kind is Kind.BIAS:
            assert (value == 0).all()
        else:
            residual = parameter.name.endswith((".attn.out.weight", ".mlp.out.weight"))
            matrix = parameter.kind is Kind.MATRIX
            std = 0.02 * (wider if matrix else 1.0) / (2 if residual else 1)
            assert value.std() == pytest.approx(std, rel=0.1)
            assert abs(value.mean()) < 5 * std / value.size**0.5


def test_first_values_depend_on_seed_and_name_alone():
    before = initial_values(small(), 3)
    deeper = initial_values(small(n_layer=3, tie=False), 3)
    for name, value in before.items():
        scale = (3 / 2) ** 0.5 if name.endswith("out.weight") else 1.0
        np.testing.assert_allclose(deeper[name] * scale, value, rtol=1e-6)
    other = initial_values(small(), 4)
    assert not np.array_equal(other["wte.weight"], before["wte.weight"])
    drawn = [v for v in before.values() if v.std() > 0]
    firsts = {float(v.flat[0] / v.std()) for v in drawn}
    assert len(firsts) == len(drawn)


@given(
    st.sampled_from(sorted(OPTIONS)),
    st.integers(1, 40),
    st.integers(1, 5).map(lambda n: 8 * n),
)
def test_parameters_lie_apart_and_aligned(name, vocab, width):
    config = small(name, vocab_size=vocab, n_embd=width)
    layout = parameter_layout(config)
    assert list(layout.buffers) == [DECAY, PLAIN]
    ends = dict.fromkeys(layout.buffers, 0)
    for parameter in parameters(config):
        piece = layout.pieces[parameter.name]
        assert piece.shape == parameter.shape
        assert piece.buffer == (DECAY if parameter.kind.decays else PLAIN)
        assert piece.offset % 16 == 0
        assert ends[piece.buffer] <= piece.offset < ends[piece.buffer] + 16
        ends[piece.buffer] = piece.stop
    for buffer, spec in layout.buffers.items():
        assert 0 <= spec.size - ends[buffer] < 16


def test_a_vocabulary_must_be_known():
    with pytest.raises(ConfigError, match="vocab_size = 0"):
        parameters(small(vocab_size=0))


def test_an_unknown_activation_is_named():
    with pytest.raises(ConfigError, match=r"activation = 'gulu'.*gelu, relu"):
        parameters(small(activation="gulu"))
