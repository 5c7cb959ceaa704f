"""The sides of the benchmark of the input read the same; none is judged by a clock."""

import importlib.util
import pathlib
import sys

import numpy as np

from jaxseg.experiment import build

ROOT = pathlib.Path(__file__).parents[2]


def test_all_sides_of_the_input_read_the_same(tmp_path, monkeypatch):
    path = ROOT / "tests" / "benchmarks" / "input.py"
    spec = importlib.util.spec_from_file_location("input_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "cache"))
    folder = module.draw(tmp_path / "images", 48, count=24)
    files = {path.stem: k for k, path in enumerate(module.Files(folder, ()).paths)}
    data = module.Files(folder, (32, 32))
    config = module.config(folder, (32, 32), 1.0)
    split = build.load(config, batch_size=8).splits["train"]
    for gib in (0.0, 1.0):
        stream = module.batches(folder, (32, 32), 0, gib)
        batch = next(stream)
        for k, index in enumerate(batch["index"]):
            other = data[files[split.ids[index]]]
            for name, array in other.items():
                np.testing.assert_array_equal(batch[name][k], array)
        row = module.measured(stream, 0, 0.02)
        assert row["rate"] > 0 and row["cost"] > 0
    monkeypatch.setattr(module, "start", lambda side, *_: side)
    costs = {"png": {"rate": 50.0, "cost": 8.0}, "cache": {"rate": 500.0, "cost": 0.4}}
    monkeypatch.setattr(module, "ask", lambda side, *_: costs[side])
    monkeypatch.setattr(module, "end", lambda side: None)
    *_, line = module.table(tmp_path, ["256x256"], [2], 1, 1.0, ["png", "cache"])
    assert line == (
        "| 256x256 -> 256x256 | 2 | 50 (8.00) | 500 (0.40) | 10.0 | - | 20.0 |"
    )
