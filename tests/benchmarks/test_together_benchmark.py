"""The benchmark of members together measures what it says; nothing judges a clock."""

import importlib.util
import sys

import jax
import numpy as np
import pytest
from support import programs, runs

from jaxseg.sweep import vmap_convolution

TINY = {
    "data.image_size": (16, 16),
    "data.demo.images": 20,
    "data.demo.size": 32,
    "model.unet.widths": (4, 6),
}


@pytest.fixture
def benchmark(monkeypatch):
    path = runs.ROOT / "tests" / "benchmarks" / "together.py"
    spec = importlib.util.spec_from_file_location("together_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    return module


def test_the_table_has_every_side(benchmark, monkeypatch):
    found, before = [], vmap_convolution.in_training

    def traced(step, *arguments):
        found.append(programs.convolutions(step, *arguments))
        return 1.5, lambda: None

    monkeypatch.setattr(benchmark, "compiled", traced)
    lines = benchmark.rows(3, naive=True, turns=2, seconds=0.0, **TINY)
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert [c[0] for c in cells] == [
        "3 one by one",
        "3 together",
        "3 together, grouped convolutions",
    ]
    assert [c[1] for c in cells] == ["1.5"] * 3 and cells[0][3] == "1"
    one, many, grouped = found
    assert len(grouped) == len(one) and len(many) > 2 * len(one)
    assert 3 in grouped and 3 not in many and vmap_convolution.in_training is before


def test_members_differ_and_a_program_takes_steps(benchmark):
    found = benchmark.configs(3, epochs=2)
    seeds = [(c.seed, c.supervision.positive, c.epochs) for c in found]
    assert seeds == [(0, 5, 2), (1, 6, 2), (2, 7, 2)]
    step = jax.jit(lambda state, more: (state + more, state), donate_argnums=0)
    seconds, advance = benchmark.compiled(step, np.float32(1), np.float32(2))
    advance()
    assert seconds > 0
    times = benchmark.measure([advance, advance], turns=3, seconds=0.0)
    assert times.shape == (2, 3) and (times > 0).all()
