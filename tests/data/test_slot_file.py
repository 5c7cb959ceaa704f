"""Slots hold what was written or nothing, and their files stay below a limit."""

import errno
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from jaxseg.data import slot_file

ROOT = pathlib.Path(__file__).parents[2]
SIZES = np.array([700, 512, 3000, 512, 1, 6000])  # the last is compared once
WRITES = """
import pathlib, sys
import numpy as np
from jaxseg.data import slot_file

path, seed, wait = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
slot_file.RESERVE = 0
file = slot_file.open_file(path, holds=b"x", sizes=np.full(400, 4096), limit=2**30)
print("open", flush=True)
sys.stdin.readline()
for index in np.random.default_rng(seed).permutation(400).tolist():
    content = np.random.default_rng(index).integers(0, 256, 4096).astype(np.uint8)
    stored = file.read(index)
    assert stored is None or (stored == content).all(), index
    file.write(index, content)
    assert (file.read(index) == content).all(), index
print("written", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def small_disk(monkeypatch):
    monkeypatch.setattr(slot_file, "RESERVE", 0)
    monkeypatch.setattr(slot_file, "_ALWAYS", 5000)


def _open(path, *, holds=b"x", sizes=SIZES, limit=2**30, family=""):
    return slot_file.open_file(
        path, holds=holds, sizes=sizes, limit=limit, family=family
    )


def _content(index):
    length = -(-SIZES[index] // slot_file.BLOCK) * slot_file.BLOCK
    return np.random.default_rng(index).integers(0, 256, length).astype(np.uint8)


def _filled(path, **options):
    file = _open(path, **options)
    for index in range(len(SIZES)):
        file.write(index, _content(index))
    return file


def test_a_slot_is_empty_until_it_is_written_and_then_stays(tmp_path):
    file = _open(tmp_path / "a.slots")
    assert [file.read(i) for i in range(len(SIZES))] == [None] * len(SIZES)
    file = _filled(tmp_path / "a.slots")
    zeros = np.zeros(len(_content(1)), np.uint8)
    file.write(1, zeros)
    for again in (file, _open(tmp_path / "a.slots")):
        for index in (0, 2, 3, 4, 5):
            np.testing.assert_array_equal(again.read(index), _content(index))
        np.testing.assert_array_equal(again.read(1), zeros)
        assert not again.read(0).flags.writeable


def test_every_damage_is_noticed_and_mended(tmp_path, caplog):
    path = tmp_path / "a.slots"
    _filled(path)
    whole = path.read_bytes()
    table = slice(4096, 4096 + 16 * len(SIZES))
    places = np.random.default_rng(0).integers(4096 + 512, len(whole), 40).tolist()
    for place in [*range(table.start, table.stop, 5), *places]:
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << place % 8
        path.write_bytes(spoilt)
        file = _open(path)
        lost = [i for i in range(len(SIZES)) if file.read(i) is None]
        in_a_slot = place >= table.stop
        assert len(lost) == 1 or in_a_slot, place
        for index in lost:
            file.write(index, _content(index))
        for index in range(len(SIZES)):
            np.testing.assert_array_equal(file.read(index), _content(index))
    assert "is damaged in places; those images are decoded again" in caplog.text


def test_a_slot_that_stands_in_anothers_place_is_noticed(tmp_path):
    path = tmp_path / "a.slots"
    _filled(path)
    whole = bytearray(path.read_bytes())
    starts = _open(path)._starts
    whole[starts[1] : starts[2]] = whole[starts[3] : starts[4]]
    whole[4096 + 16 : 4096 + 32] = whole[4096 + 48 : 4096 + 64]
    path.write_bytes(whole)
    assert _open(path).read(1) is None and _open(path).read(3) is not None


@pytest.mark.parametrize("length", [0, 100, 4096, 4200])
def test_a_file_that_was_cut_off_or_holds_something_else_is_begun_anew(
    tmp_path, length
):
    path = tmp_path / "a.slots"
    _filled(path)
    os.truncate(path, length)
    assert _open(path).read(0) is None
    _filled(path)
    assert _open(path, holds=b"y").read(0) is None
    file = _open(path, holds=b"y")
    with pytest.raises(OSError, match="another process uses it otherwise"):
        _open(path)
    assert file.read(0) is None


def test_what_a_killed_process_wrote_is_valid_or_empty(tmp_path):
    """And two that write the same slots at once leave them whole."""
    path = tmp_path / "a.slots"
    both = [_writer(path, seed) for seed in (1, 2)]
    third = _writer(path, 3)
    for process in (*both, third):
        assert process.stdout.readline() == "open\n"
    for process in (*both, third):
        process.stdin.write("go\n")
        process.stdin.flush()
    third.send_signal(signal.SIGKILL)
    for process in both:
        assert process.stdout.readline() == "written\n"
        process.communicate("end\n")
        assert process.returncode == 0
    third.communicate()
    file = _open(path, sizes=np.full(400, 4096))
    assert all(file.read(index) is not None for index in range(400))


def _writer(path, seed):
    return subprocess.Popen(
        [sys.executable, "-c", WRITES, str(path), str(seed)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_files_stay_below_the_limit_and_the_oldest_goes(tmp_path):
    whole = _filled(tmp_path / "a.slots").path.stat().st_size
    os.utime(tmp_path / "a.slots", (1, 1))
    _filled(tmp_path / "b.slots")
    in_use = _filled(tmp_path / "c.slots")
    os.utime(tmp_path / "c.slots", (2, 2))
    os.utime(tmp_path / "b.slots", (3, 3))
    # two and a half of them fit: a is the oldest, c is older than b but open
    _filled(tmp_path / "d.slots", limit=whole * 5 // 2)
    assert sorted(p.name for p in tmp_path.glob("*.slots")) == ["c.slots", "d.slots"]
    assert in_use.read(0) is not None
    # those of its own family are not removed for a file: it gets what is left
    file = _filled(tmp_path / "d2.slots", limit=whole * 5 // 2, family="d")
    assert [file.read(i) is None for i in range(6)] == [False] * 2 + [True] * 4
    total = sum(p.stat().st_size for p in tmp_path.glob("*.slots"))
    assert total <= whole * 5 // 2


def test_a_file_grows_and_shrinks_with_the_limit(tmp_path):
    path = tmp_path / "a.slots"
    assert _filled(path, limit=9000).count == 2
    assert path.stat().st_size <= 9000
    grown = _filled(path)
    assert grown.count == len(SIZES)
    assert _open(path, limit=9000).count == 2  # the other one has it open: no cut
    np.testing.assert_array_equal(grown.read(5), _content(5))
    del grown
    assert _open(path, limit=9000).count == 2
    assert path.stat().st_size <= 9000
    assert _open(path, limit=10).count == 0


def test_a_full_disk_is_said_once_and_tried_again_by_the_next_run(
    tmp_path, monkeypatch, caplog
):
    path, real = tmp_path / "a.slots", os.pwrite
    file, other = _open(path), _open(path)
    file.write(0, _content(0))

    def full(fd, content, at):
        if len(content) > 16:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, content, at)

    with monkeypatch.context() as patch:
        patch.setattr(slot_file.os, "pwrite", full)
        for _ in range(2):
            file.write(1, _content(1))
            other.write(1, _content(1))
    assert len(caplog.messages) == 1
    assert "No space left on device" in caplog.text
    other.write(1, _content(1))
    assert file.read(0) is not None and file.read(1) is other.read(1) is None
    del file, other
    assert _filled(path).read(1) is not None


def test_the_last_of_a_disk_is_left_free(tmp_path, monkeypatch, caplog):
    file = _open(tmp_path / "a.slots")
    monkeypatch.setattr(slot_file, "RESERVE", 2**62)
    file.write(0, _content(0))
    assert file.read(0) is None
    assert len(caplog.messages) == 1 and "a cache leaves" in caplog.text
    del file
    _open(tmp_path / "a.slots")  # what is there may be read
    with pytest.raises(OSError, match="GB are free, a cache leaves"):
        _open(tmp_path / "b.slots")
    assert not (tmp_path / "b.slots").exists()


def test_a_table_has_no_holes(tmp_path):
    """A page of one would be made when it is read, and a full tmpfs has none."""
    file = _open(tmp_path / "a.slots", sizes=np.full(2000, 5000))
    assert os.lseek(file._fd, 0, os.SEEK_HOLE) >= 4096 + 16 * 2000
    assert (tmp_path / "a.slots").stat().st_blocks * 512 < 10**6


def test_a_folder_that_another_process_holds_is_not_waited_for_long(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(slot_file, "_WAIT", 0.1)
    with slot_file._alone(tmp_path):
        with pytest.raises(OSError, match="another process holds .*lock"):
            _open(tmp_path / "a.slots")
