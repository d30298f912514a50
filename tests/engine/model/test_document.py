"""docs/models.md says what there is."""

import re
from pathlib import Path

import pytest

from engine.cli.flags import flag
from engine.config import PRESETS, ModelConfig, OptimConfig, config_fields
from engine.model import activations, parameters
from engine.optim import make_optimizer, optimizers
from tests.engine.model.options import OPTIONS, small

TEXT = (Path(__file__).parents[3] / "docs" / "models.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("name", [flag(item) for item in config_fields([ModelConfig])])
def test_every_option_of_a_model_is_there(name):
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("name", [*activations, *optimizers, *PRESETS])
def test_everything_that_can_be_named_is_there(name):
    assert f"`{name}`" in TEXT


def test_the_table_has_every_parameter_and_no_other():
    told = set()
    for cell in re.findall(r"^\| (`[a-z]\S*\.(?:weight|gain)`.*?) \|", TEXT, re.M):
        names = re.findall(r"`([^`]+)`", cell)
        stem = names[0].rpartition(".")[0]
        told |= {stem + name if name.startswith(".") else name for name in names}
    found = {p.name for option in OPTIONS for p in parameters(small(option))}
    assert told == {re.sub(r"\.\d+\.", ".N.", name) for name in found}


@pytest.mark.parametrize(
    "row",
    re.findall(r"^\| (\d+) x (\d+) \((\d+), (\d+), (\d+)\) \|(.*)\|$", TEXT, re.M),
)
def test_parameter_counts_are_right(row):
    layers, width, heads, block, vocabulary = map(int, row[:5])
    found = [int(cell.replace(",", "")) for cell in row[5].split("|")]
    fields = {item.name for item in config_fields([ModelConfig])}
    for count, preset in zip(found, ("gpt2", "modern"), strict=True):
        changes = {k: v for k, v in PRESETS[preset].items() if k in fields}
        model = ModelConfig(
            vocab_size=vocabulary,
            block_size=block,
            n_layer=layers,
            n_head=heads,
            n_embd=width,
            **changes,
        )
        assert sum(p.size for p in parameters(model)) == count


def test_what_a_third_party_would_write_works():
    for block in BLOCKS:
        exec(compile(block, "docs/models.md", "exec"), {})
    try:
        assert not activations.get("tanh").gated
        assert make_optimizer(OptimConfig(optimizer="signsgd")).elementwise
    finally:
        activations.unregister("tanh")
        optimizers.unregister("signsgd")
