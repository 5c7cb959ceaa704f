"""The benchmark of members together runs; what it measures is never judged here."""

import importlib.util
import logging
import sys

import numpy as np
import runs

from jaxseg import unrolled


def test_the_table_has_every_side(monkeypatch):
    path = runs.ROOT / "benchmarks" / "together.py"
    spec = importlib.util.spec_from_file_location("together_benchmark", path)
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(benchmark)
    unroll = unrolled.in_training
    tiny = {
        "data.image_size": (16, 16),
        "data.demo.images": 20,
        "data.demo.size": 32,
        "model.unet.widths": (4, 6),
    }
    options = {"naive": True, "turns": 2, "seconds": 0.0}
    lines = benchmark.rows(2, **options, **tiny)
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert [c[0] for c in cells] == [
        "2 one by one",
        "2 together",
        "2 together, grouped convolutions",
    ]
    assert np.all(np.array([c[1:3] for c in cells], float) > 0) and cells[0][3] == "1"
    assert unrolled.in_training is unroll
    assert logging.root.manager.disable == 0
    seeds = [(c.seed, c.supervision.positive) for c in benchmark.configs(3)]
    assert seeds == [(0, 5), (1, 6), (2, 7)]
