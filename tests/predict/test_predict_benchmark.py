"""The benchmark of predictions runs and prints; no clock judges it."""

import importlib.util
import json

import pytest
from support import predicting, runs


@pytest.fixture
def benchmark(monkeypatch):
    path = runs.ROOT / "tests/benchmarks/predict.py"
    spec = importlib.util.spec_from_file_location("predict_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.sys, "path", [*module.sys.path])
    return module


def test_both_ways_predict_one_image(benchmark, tmp_path, tmp_path_factory):
    (tmp_path / "run").symlink_to(predicting.shared(tmp_path_factory) / "run")
    benchmark.draw(tmp_path / "large.tif", (50, 40))
    benchmark.draw(tmp_path / "small.tif", (40, 40))
    for side in ("command", "array"):
        row = benchmark.measured(side, tmp_path, 0)
        assert row["seconds"] > 0 and row["cpu"] > 0 and row["bytes"] >= 0
    assert row["parameters"] > 0
    assert len([*tmp_path.glob("out-*-large/masks/large.png")]) == 1


def test_the_table_has_every_side_and_the_ratio_of_their_times(benchmark, monkeypatch):
    seconds = {"command": 2.0, "array": 4.0, "monai": 8.0}

    def apart(*words):
        side = words[0].removeprefix("--only=")
        row = {"seconds": seconds.get(side), "cpu": 6.0, "bytes": 5e6}
        return json.dumps({**row, "parameters": None if side == "command" else 7})

    monkeypatch.setattr(benchmark, "apart", apart)
    text = benchmark.table((1000, 2000), "4,4,4,4,4", [*seconds], turns=2)
    assert "| command |  | 2.0 | 1,000,000 | 3.00 | 5 |" in text
    assert "| monai | 7 | 8.0 | 250,000 | 3.00 | 5 |" in text
    assert "MONAI's time / that of command: 4.00 (4.00 to 4.00)" in text
    assert "MONAI's time / that of array: 2.00 (2.00 to 2.00)" in text
