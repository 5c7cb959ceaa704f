"""The table of models: names, counts, operations and strides, by hand."""

import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxseg import lookup, model_table
from jaxseg.errors import ConfigError
from jaxseg.train import tensorboard


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (2, 2), (2, 2))(x)
        return [x, nn.Conv(8, (2, 2), (2, 2))(x)]


class Model(nn.Module):
    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.Dense(3)(Encoder(name="encoder")(image)[-1])
        return {"logits": x}


def test_parameters_operations_and_strides_by_hand():
    found = model_table.measure(Model(), (1, 8, 16, 3))
    assert found["parameters"] == 52 + 136 + 27
    # a multiplication and an addition: taps x inputs x outputs x pixels; and the biases
    products = 12 * 4 * 32 + 16 * 8 * 8 + 8 * 3 * 8
    biases = 4 * 32 + 8 * 8 + 3 * 8
    assert found["gflops"] == pytest.approx((2 * products + biases) / 1e9)
    assert found["strides"] == (2, 4)


def test_every_published_model_has_a_reference():
    for name in lookup.names("models"):
        assert model_table.references(lookup.find("models", name).__doc__), name


def test_references_are_read_across_lines():
    text = "By Tan and Le, 2019,\nhttps://arxiv.org/abs/1905.11946 (x); He et\nal., "
    text += "2015, https://arxiv.org/abs/1512.03385."
    expected = ["Tan and Le 2019 (1905.11946)", "He et al. 2015 (1512.03385)"]
    assert model_table.references(text) == expected


def test_a_row_for_each_depth_and_a_column_for_each_fact():
    options = dict(size=(32, 64), channels=1, classes=2)
    found = model_table.rows(**options, names=["efficientnet_unet"])
    lines = model_table.table(found).splitlines()
    assert len(lines) == 3 and lines[0].count("|") == lines[2].count("|") == 6
    assert "| 2, 4, 8, 16, 32 |" in lines[2]
    assert f"| {found[0]['parameters']:,} |" in lines[2]
    with pytest.raises(ConfigError, match="did you mean 'unet'"):
        model_table.rows(**options, names=["unett"])


@pytest.mark.parametrize("text", ["512", "512x", "0x4", "axb", "4x4x4"])
def test_a_size_that_is_none(text):
    with pytest.raises(ConfigError, match="give height x width"):
        model_table.parse_size(text)


def test_the_command():
    command = [sys.executable, "-m", "jaxseg.model_table", "--models=unet"]
    done = subprocess.run(
        [*command, "--size=16x32"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "16x32x3, 2 classes" in done.stdout and "31,037,698" in done.stdout
    wrong = subprocess.run(
        [*command, "--classes=0"], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2 and "--classes 0" in wrong.stderr


def test_the_overview_of_parameters_is_in_the_log():
    params = {"head": {"kernel": jnp.zeros((3, 4)), "bias": jnp.zeros(4)}}
    shapes = jax.eval_shape(lambda: params)
    for tree in (params, shapes):
        text = tensorboard.parameter_table(tree)
        assert "head/kernel" in text and "(3, 4)" in text and "Total: 16" in text
