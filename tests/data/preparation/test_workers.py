"""Worker processes: results in order, and one sentence for what ended a worker."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from support import worker_tasks

from jaxseg.data.preparation import worker, workers
from jaxseg.errors import ConfigError, DataError, NotWritten

SMALL = worker.Limits(seconds=1, memory=256 * 2**20)


def _run(items, *, function=worker_tasks.task, **options):
    options = {"name": lambda item: f"number {item[1]}", "limits": SMALL} | options
    return list(workers.in_order(function, items, **options))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_order_whatever_the_number_of_workers(monkeypatch, count):
    monkeypatch.setattr(workers, "_WORKER_ITEMS", 8)
    items = [("prints" if n % 7 == 0 else "counts", n) for n in range(100)]
    found = _run(items, workers=count)
    assert [tuple(row[:2]) for row in found] == items
    assert len({row[2] for row in found}) in range(1, count + 1)


def test_arrays_and_bytes_come_back_as_they_were():
    found = _run([0, 3], function=worker_tasks.arrays)[1]
    np.testing.assert_array_equal(found["image"], np.full((2, 3), 3))
    assert found["image"].dtype == np.uint16 and found["empty"].shape == (0, 2)
    assert found["parts"] == [b"bytes" * 3, {"flag": True, "half": 0.5}]
    assert found["pair"] == [1, None]
    found["image"][0] = 7  # may be written to


BROKEN = {
    "crashes": r"\(SIGSEGV\): it crashed, or needed more than 0.25 GiB of memory",
    "leaves": r"\(code 5\)",
    "never ends": "took more than 1 s of processor time",
}


@pytest.mark.parametrize("word", BROKEN)
def test_what_ends_a_worker_is_named_and_the_others_go_on(word):
    items = [("counts", 1), ("counts", 2), (word, 5), ("counts", 8)]
    found = _run(items, broken=lambda item, error: [str(error), item[1]])
    assert [row[1] for row in found] == [1, 2, 5, 8]
    assert re.search(f"^number 5: reading it .*{BROKEN[word]}", found[2][0])
    assert "the file is damaged" in found[2][0]


def test_what_ends_a_worker_is_an_error_where_nothing_takes_its_place():
    with pytest.raises(DataError, match="^number 5: reading it ended .*code 5"):
        _run([("counts", 1), ("leaves", 5), ("counts", 2)])


def test_memory_has_an_end_and_the_worker_survives():
    found = _run([("counts", 1)] + [("swells", 10)])
    assert found[1][1] == 10
    with pytest.raises(RuntimeError, match="MemoryError"):
        _run([("swells", 1000)])


def test_no_answer_at_all_ends_the_wait(monkeypatch):
    monkeypatch.setattr(worker, "_PATIENCE", 1)
    with pytest.raises(DataError, match="number 60: .* no answer for 1 s"):
        _run([("sleeps", 60)])


def test_what_a_function_raises_is_raised_here():
    with pytest.raises(DataError, match="^number 2 is wrong.$"):
        _run([("counts", 1), ("fails", 2), ("crashes", 3)])
    with pytest.raises(ConfigError, match="the setting"):
        _run([("is set wrongly", 2)])
    with pytest.raises(NotWritten, match="^the disk is full.$"):
        _run([("fills the disk", 2)])
    with pytest.raises(RuntimeError, match="(?s)worker_tasks.py.*KeyError: 7"):
        _run([("has a mistake", 7)])


def test_a_function_that_no_other_process_can_import():
    with pytest.raises(ConfigError, match="make it a function of a module"):
        _run([1], function=lambda item: item)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_rests_and_is_used_again_or_ends(monkeypatch):
    first, second = (_run([("counts", 1)])[0][2] for _ in range(2))
    assert first == second and _alive(first)
    worker._dismiss_all()
    assert not _alive(first)
    rows = workers.in_order(
        worker_tasks.task, [("counts", 1), ("sleeps", 60)], name=str, limits=SMALL
    )
    monkeypatch.setattr(workers, "_CHUNK", 1)
    pid = next(rows)[2]
    rows.close()  # whoever asked went away
    worker._dismiss_all()
    assert not _alive(pid)


def test_workers_end_with_their_parent(tmp_path):
    program = """
        from support import worker_tasks
        from jaxseg.data.preparation import workers
        items = [("counts", 0)] * 16 + [("never ends", 0)]
        for row in workers.in_order(worker_tasks.task, items, name=str):
            print(row[2], flush=True)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(pid)
