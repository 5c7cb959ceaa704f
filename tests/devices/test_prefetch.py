"""Batches come one ahead; what goes wrong with the source is said, not waited for."""

import threading
import time

import jax
import numpy as np
import pytest

from jaxseg import errors
from jaxseg.devices import prefetch


def _mesh():
    return jax.make_mesh(
        (4, 1), ("data", "fsdp"), axis_types=(jax.sharding.AxisType.Auto,) * 2
    )


def _batch(k: int) -> dict:
    return {"index": np.arange(4, dtype=np.int32) + 4 * k}


def _ahead(source, timeout=20.0):
    return prefetch.ahead(source, _mesh(), timeout=timeout, name=lambda k: f"batch {k}")


def test_every_batch_comes_once_and_in_order():
    got = [(np.asarray(b["index"]), h) for b, h in _ahead(_batch(k) for k in range(5))]
    for k, (device, host) in enumerate(got):
        np.testing.assert_array_equal(device, _batch(k)["index"])
        np.testing.assert_array_equal(device, host["index"])
    assert len(got) == 5


def test_an_error_of_the_source_is_raised_where_the_batch_is_needed():
    def source():
        yield _batch(0)
        raise errors.DataError("scan7.dcm is truncated")

    stream = _ahead(source())
    next(stream)
    with pytest.raises(errors.DataError, match="scan7.dcm is truncated"):
        next(stream)


def test_a_source_that_hangs_is_named():
    release = threading.Event()

    def source():
        yield _batch(0)
        release.wait(30)

    stream = _ahead(source(), timeout=0.3)
    next(stream)
    try:
        with pytest.raises(errors.DataError, match="0.3 s while reading batch 1"):
            next(stream)
    finally:
        release.set()


def test_closing_early_closes_the_source():
    closed = []

    def source():
        try:
            for k in range(1000):
                yield _batch(k)
        finally:
            closed.append(True)

    stream = _ahead(source())
    next(stream)
    stream.close()
    deadline = time.monotonic() + 10
    while not closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert closed
