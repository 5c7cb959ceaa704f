"""The short form of fuzzing: the corpus of what once failed, and some new inputs.

`python tests/fuzz/run.py` is the long form; tests/endurance/README.md says more.
"""

import random

import pytest

from fuzz import corpus, counts, run, targets, worker
from jaxseg.errors import DataError

INPUTS = 60  # new ones of each target
NAMES = list(targets.TARGETS)


def _faults(out) -> list[str]:
    return [line[:300] for line in run.faults(out)]


def test_new_inputs_are_accepted_or_refused_in_words(tmp_path):
    run.fuzz(dict.fromkeys(NAMES, INPUTS), "drawn", tmp_path)
    assert not _faults(tmp_path)
    for name in NAMES:
        board = counts.Board(tmp_path / f"{name}-drawn.board")
        accepted, refused = board["accepted"], board["refused"]
        assert accepted + refused == INPUTS
        # what is refused at once, or never, tries no reader; history.csv has any column
        assert INPUTS / 20 < accepted and (refused or name == "csv"), name


def test_what_once_failed_is_refused_in_words(tmp_path):
    stops = {name: len(corpus.drawers(name)) for name in NAMES}
    run.fuzz(stops, "corpus", tmp_path)
    assert not _faults(tmp_path)


def test_the_harness_notices_every_kind_of_fault(tmp_path):
    stop = len(corpus.drawers("none"))
    run.fuzz({"none": stop}, "corpus", tmp_path)
    board = counts.Board(tmp_path / "none-corpus.board")
    told = {name: board[name] for name in counts.FIELDS}
    expected = {"inputs": stop, "accepted": 1, "refused": 1, "untyped": 1}
    assert told == expected | {"above_cap": 2, "slow": 1, "ended": 1}
    faults = {f.data: f for f in counts.faults(tmp_path / "none.faults")}
    assert faults[b"abort"].signature == "SIGABRT" and b"slow" in faults
    assert "KeyError" in faults[b"raise"].text


@pytest.mark.parametrize("name", targets.TARGETS)
def test_a_seed_draws_the_same_input_again(name):
    draw = targets.TARGETS[name].draw
    inputs = [draw(random.Random(seed)) for seed in range(40)]
    assert inputs == [draw(random.Random(seed)) for seed in range(40)]
    assert len(set(inputs)) > 20
    assert all(isinstance(draw(worker.Fed(bytes([k] * 90))), bytes) for k in range(9))


def test_fed_numbers_come_from_the_bytes_and_go_on_behind_them():
    bits = worker.Fed(b"\x01\x02\x03")
    assert [bits.getrandbits(8) for _ in range(3)] == [1, 2, 3]
    more = [bits.random() for _ in range(50)]
    assert len(set(more)) > 40 and all(0 <= each < 1 for each in more)


def test_a_refusal_that_hides_missing_memory_is_above_the_cap():
    target = targets.TARGETS["rle"]

    def read(data, folder):
        try:
            raise MemoryError
        except MemoryError as error:
            raise DataError("damaged.") from error

    verdict, faults = worker.one(target, "rle", b"", (read,), [None])
    assert verdict == "refused" and [f.kind for f in faults] == ["above_cap"]
