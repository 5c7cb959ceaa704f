"""A preparation that was killed leaves nothing behind once the next one ends."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jaxseg.data import prepared
from jaxseg.data.datasets import image_folder, siim_acr

PROGRAM = """
import sys
from jaxseg import lookup
module = lookup.find("data/datasets", sys.argv[1])
module.prepare(sys.argv[2], sys.argv[3], progress=False)
"""


def _entries(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    "module, place", [(image_folder, "image_folder"), (siim_acr, "")]
)
def test_the_next_one_cleans_up(tmp_path, module, place):
    module.write_demo(tmp_path / "raw", images=24, size=64, seed=0)
    root = tmp_path / "out" / place
    name = module.Builder.name
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name, tmp_path / "raw", tmp_path / "out"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while process.poll() is None and not any(e[-5:] != ".lock" for e in _entries(root)):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert any(entry.startswith(".") for entry in _entries(root))
    for path in root.glob(".*.lock"):  # workers end a moment after their parent
        with open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
    final = module.prepare(tmp_path / "raw", tmp_path / "out", progress=False)
    fresh = module.prepare(tmp_path / "raw", tmp_path / "fresh", progress=False)
    cards = [prepared.read_card(folder) for folder in (final, fresh)]
    assert cards[0]["content"] == cards[1]["content"]
    left = [entry for entry in _entries(root) if entry.startswith(".")]
    assert left == ([] if place else [f".{name}-{module.Builder.VERSION}.lock"])


def test_a_finished_set_is_cleaned_around_as_well(tmp_path):
    image_folder.write_demo(tmp_path / "raw", images=16, size=48, seed=0)
    final = image_folder.prepare(tmp_path / "raw", tmp_path / "out", progress=False)
    left = final.with_name(f".{image_folder.Builder.VERSION}.partial-1-abc")
    left.mkdir()
    left.with_name(left.name + ".lock").touch()
    again = image_folder.prepare(tmp_path / "raw", tmp_path / "out", progress=False)
    assert again == final and _entries(final.parent) == [final.name]


def test_two_at_once_give_one_data_set(tmp_path):
    image_folder.write_demo(tmp_path / "raw", images=16, size=48, seed=0)
    with ThreadPoolExecutor() as pool:
        made = [
            pool.submit(
                image_folder.prepare, tmp_path / "raw", tmp_path / "out", progress=False
            )
            for _ in range(2)
        ]
        first, second = (each.result() for each in made)
    assert first == second and _entries(first.parent) == [first.name]
