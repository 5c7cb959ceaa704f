"""A trace holds the steps that were asked for, and its faults stop no training."""

import gzip
import json
import logging as standard_logging
import re

import jax
import jax.numpy as jnp
import pytest

from jaxseg.config.profiled_steps import Steps
from jaxseg.train import step_trace


@pytest.fixture
def lines(caplog):
    caplog.set_level(standard_logging.INFO, logger="absl")
    return lambda: [record.getMessage() for record in caplog.records]


def _train(trace, *, start=0, total=6):
    """What the loop does around a step, with the smallest of steps."""
    step = jax.jit(lambda x: x + 1)
    state = step(jnp.zeros(3))
    trace.announce(start, total)
    try:
        for done in range(start + 1, total + 1):
            trace.begin(done, state)
            with trace.named(done):
                state = step(state)
            trace.end(done, state)
    finally:
        trace.close()


def _recorded(folder) -> set[int]:
    """The steps that the trace names."""
    (path,) = folder.rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    numbers = [e["args"]["step_num"] for e in events if e.get("name") == "train"]
    return set(map(int, numbers))


def test_the_steps_from_first_to_last_are_recorded(tmp_path, lines):
    _train(step_trace.StepTrace(Steps(3, 4), tmp_path))
    assert _recorded(tmp_path / "profile") == {3, 4}
    (line,) = lines()
    assert "steps 3 to 4" in line and f"xprof --logdir {tmp_path}/profile" in line


def test_steps_that_do_not_all_come_are_said(tmp_path, lines):
    _train(step_trace.StepTrace(Steps(2, 9), tmp_path), start=4)
    assert _recorded(tmp_path / "profile") == {5, 6}
    assert "steps 5 to 6 come" in lines()[0] and "steps 5 to 6" in lines()[1]


@pytest.mark.parametrize(
    "steps,message",
    [((7, 9), "ends with step 6, before step 7"), ((1, 4), "goes on after step 4")],
)
def test_steps_of_which_none_comes_are_said(steps, message, tmp_path, lines):
    _train(step_trace.StepTrace(Steps(*steps), tmp_path), start=4)
    assert re.search(message, "\n".join(lines())) and not list(tmp_path.iterdir())


def test_a_trace_that_cannot_be_written_does_not_stop_the_training(tmp_path, lines):
    (tmp_path / "profile").write_text("in the way")
    _train(step_trace.StepTrace(Steps(1, 2), tmp_path))
    assert any("training goes on" in line for line in lines())


def test_other_processes_record_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    _train(step_trace.StepTrace(Steps(1, 2), tmp_path))
    assert not list(tmp_path.iterdir())
