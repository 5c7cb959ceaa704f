"""What a prediction costs: percentiles of the passes that count, and the weights."""

import numpy as np
import pytest

from jaxseg.evaluation import cost

WEIGHTS = {"a": np.zeros((256, 1024), np.float32), "b": np.zeros(1024, np.float16)}


def test_percentiles_are_of_the_passes_after_the_first():
    """A clock that is read before and after each pass: the first two are slow."""
    lengths = [9.0, 9.0, *np.arange(1, 101) / 1000]
    ticks = iter(np.repeat(np.cumsum([0, *lengths]), 2)[1:-1])
    shapes = []

    def predict(weights, batch):
        shapes.append((batch["image"].shape, batch["image"].dtype))
        return weights["b"]

    options = {"dtype": "uint16", "passes": 100, "warmup": 2}
    row = cost.measure(
        predict, WEIGHTS, (32, 24, 3), clock=lambda: next(ticks), **options
    )
    assert row["latency_ms_p50"] == pytest.approx(50.5)
    assert row["latency_ms_p95"] == pytest.approx(95.05)
    assert row["images_per_second"] == pytest.approx(100 / 5.05)
    assert row["weights_mib"] == 1 + 2 / 1024
    assert shapes == [((1, 32, 24, 3), np.uint16)] * 102
    assert (row["passes"], row["batch"], row["size"]) == (100, 1, [32, 24, 3])
