"""Measures what one prediction costs on this machine: latency, throughput, weights.

Times differ from machine to machine and from run to run, so they never stand among the
scores, which are equal bit for bit.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxseg import cores

PASSES, WARMUP = 50, 5
DETAIL = (
    "forward pass of one image at a time at the size that the network sees, from "
    "pixels in memory to probabilities in memory, after {warmup} passes that are not "
    "counted; reading, resizing and decision rules are left out"
)


def measure(
    predict: Callable[[Any, dict[str, np.ndarray]], Any],
    variables: Any,
    shape: tuple[int, int, int],
    *,
    dtype: str = "uint8",
    passes: int = PASSES,
    warmup: int = WARMUP,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """cost_schemas.Cost of `predict(variables, {"image": [1, height, width, c]})`.

    `shape` is (height, width, c) of the image, whose pixels are noise of `dtype`;
    `clock` tells seconds. Percentiles are of `passes` times, in milliseconds.
    """
    variables = jax.device_put(variables, jax.local_devices()[0])
    high = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, high, (1, *shape)).astype(dtype)
    times = []
    for number in range(warmup + passes):
        start = clock()
        np.asarray(predict(variables, {"image": pixels}))
        seconds = clock() - start
        if number >= warmup:
            times.append(seconds)
    p50, p95 = np.percentile(times, [50, 95])
    leaves = jax.tree.leaves(variables)
    return {
        "detail": DETAIL.format(warmup=warmup),
        "size": [*shape],
        "batch": 1,
        "passes": passes,
        "latency_ms_p50": 1e3 * float(p50),
        "latency_ms_p95": 1e3 * float(p95),
        "images_per_second": passes / float(np.sum(times)),
        "weights_mib": sum(leaf.nbytes for leaf in leaves) / 2**20,
        "device": jax.local_devices()[0].device_kind,
        "cpus": cores.usable(),
    }
