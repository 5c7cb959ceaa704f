"""A resumed history equals an unbroken one; what was lost since is said and mended."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import errors
from jaxseg.run_directory import history


def _epoch(epoch):
    row = {"epoch": epoch, "step": 10 * epoch, "loss": np.float32(1) / (epoch + 3)}
    return row | ({"validation/dice": 0.1 * epoch} if epoch % 2 == 0 else {})


def test_a_resumed_history_equals_an_unbroken_one(tmp_path):
    whole, resumed = (history.History(tmp_path / name) for name in "ab")
    for epoch in range(1, 7):
        whole.append(_epoch(epoch))
    for epoch in (1, 2, 3):
        resumed.append(_epoch(epoch))
    for step, epochs in [(20, (3, 4)), (0, (1, 2, 3)), (30, (4, 5, 6))]:
        resumed.restore(step)
        for epoch in epochs:
            resumed.append(_epoch(epoch))
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert resumed.path.read_text().splitlines()[:3] == [
        "epoch,step,loss,validation/dice",
        "1,10,0.25,",
        "2,20,0.20000000298023224,0.2",
    ]


def test_history_writes_what_it_was_given(tmp_path):
    log = history.History(tmp_path)
    log.restore(3)
    assert log.rows() == [] and not log.path.exists()
    log.append({"step": 1, "a": None, "b": jnp.int32(4), "c": float("nan")})
    log.append({"step": 2, "name": "x,y", "a": True})
    assert log.rows() == [
        {"step": "1", "a": "", "b": "4", "c": "nan", "name": ""},
        {"step": "2", "a": "True", "b": "", "c": "", "name": "x,y"},
    ]
    with pytest.raises(ValueError, match="step"):
        log.append({"epoch": 3})
    with log.path.open("a") as file:
        file.write("3,1\n")
    with pytest.raises(errors.DataError, match=r"history.csv, line 4"):
        log.rows()


@pytest.fixture
def log(tmp_path):
    """Four epochs; the third was checkpointed, and its text noted."""
    log = history.History(tmp_path)
    for epoch in (1, 2, 3):
        log.append(_epoch(epoch))
    log.noted = log.text()
    log.append(_epoch(4))
    return log


def test_what_comes_after_the_checkpoint_is_dropped_without_a_word(log, caplog):
    log.restore(30, log.noted)
    assert log.text() == log.noted and not caplog.records


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("2,20,", "2,2O,"), "step is '2O', which is no number"),
        (lambda t: t.replace(",0.25,", ",0.26,"), "loss of step 10 is '0.26' instead"),
        (lambda t: "".join(t.splitlines(True)[:1]), "the row of step 10 is missing"),
        (lambda t: "".join(t.splitlines(True)[::2]), "the row of step 10 is missing"),
        (lambda t: t + t.splitlines(True)[1], "a row is there twice"),
        (lambda t: t + "9,7,0.1,\n", "the row of step 7 is new"),
        (lambda t: t.replace("loss", "lost"), "loss of step 10 is '' instead"),
        (lambda t: t + "5\n", "line 6, does not have the 4 fields"),
        (lambda t: t + "\x00", "line 6, does not have the 4 fields"),
        (lambda t: "", "the row of step 10 is missing; the row of step 20"),
    ],
)
def test_what_was_lost_or_changed_is_said_and_written_again(log, caplog, change, words):
    log.path.write_text(change(log.text()))
    log.restore(30, log.noted)
    assert log.text() == log.noted
    (record,) = caplog.records
    assert words in record.getMessage() and str(log.path) in record.getMessage()


def test_a_history_that_is_gone_or_no_text_is_written_again(log, caplog):
    log.path.unlink()
    log.restore(30, log.noted)
    assert log.text() == log.noted
    log.path.write_bytes(b"\xff\xfe")
    log.restore(30, log.noted)
    assert log.text() == log.noted
    assert "cannot be read" in caplog.records[-1].getMessage()
