"""A run that was trained on four devices goes on, the same, on one, two or eight.

The order of examples is a pure function of seed and step, so it is the same to the
last one. Numbers are sums of float32 over pixels and images, and devices add them in
another order. A sum of n terms may then differ by a part of n * 2**-24 of the sum of
their absolute values; of 8 * 64 * 64 pixels that is 2e-3 at worst, and errors that are
not all of one sign leave sqrt(n) * 2**-24, about 1e-5. ADAMW divides a gradient by its
own size: where that is no larger than its error, a parameter may move by up to the
learning rate in either direction, a step. Measured on 2026-11-29, after three steps:
losses differ by 2e-6 of themselves, parameters by 2e-5, scores not at all.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from support import elastic, runs

LOSS = 1e-4  # relative, of the mean loss of an epoch
SCORE = 0.02  # of a score of validation: a few pixels near the threshold
GAP = 2e-3  # of a parameter: one step of the recipe's learning rate


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    place = tmp_path_factory.mktemp("elastic")
    flags = os.environ["XLA_FLAGS"].replace("device_count=4", "device_count=8")
    done = subprocess.run(
        [sys.executable, "-m", "support.elastic", str(place)],
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": _path()},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((place / "seen.json").read_text())


def _path() -> str:
    return os.pathsep.join(map(str, (runs.ROOT, runs.ROOT / "tests")))


@pytest.mark.parametrize("case", elastic.CASES)
def test_other_devices_read_the_same_examples_in_the_same_order(case, seen):
    assert seen[case]["step"] == elastic.AT
    rest = {k: v for k, v in seen["4"]["index"].items() if int(k) > elastic.AT}
    assert len(rest) == 3 and seen[case]["index"] == rest


@pytest.mark.parametrize("case", elastic.CASES)
def test_other_devices_have_the_same_numbers(case, seen):
    straight = seen["4"]["history"]
    for mine, its in zip(seen[case]["history"], straight, strict=True):
        for name, value in its.items():
            if "validation/" in name and value:
                assert float(mine[name]) == pytest.approx(float(value), abs=SCORE), name
        for exact in ("step", "images_seen", "share_realised"):
            assert mine[exact] == its[exact]
        np.testing.assert_allclose(float(mine["loss"]), float(its["loss"]), rtol=LOSS)
    assert seen[case]["gap"] <= GAP


@pytest.mark.parametrize("case", elastic.CASES)
def test_state_is_sharded_where_fsdp_is_asked_for(case, seen):
    assert (seen[case]["sharded"] > 0) == ("fsdp" in case)
    assert not seen["4"]["sharded"]
