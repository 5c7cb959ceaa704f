"""A file is replaced whole or not at all; what killed processes left goes away."""

import errno
import os
import pathlib
import subprocess
import sys

import pytest

from jaxseg import atomic, errors


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(
    tmp_path, monkeypatch, call
):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.json"
    atomic.replace(path, b"old")
    if call == "write":
        monkeypatch.setattr(pathlib.Path, "open", full)
    else:
        monkeypatch.setattr(os, call, full)
    with pytest.raises(errors.NotWritten, match="No space left .* needs 1,234") as told:
        atomic.replace(path, b"x" * 1234)
    monkeypatch.undo()
    assert str(path) in str(told.value) and told.value.exit_code == 74
    assert path.read_bytes() == b"old" and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.EROFS, "mount that file system for writing"),
        (errno.EACCES, "ask for the right to write there"),
        (errno.EIO, "the disk failed"),
        (errno.ESTALE, "name another place"),
    ],
)
def test_room_is_no_advice_where_it_would_not_help(tmp_path, monkeypatch, code, advice):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(errors.NotWritten, match=advice) as told:
        atomic.replace(tmp_path / "a.json", b"new")
    text = str(told.value)
    assert told.value.exit_code == 2 and told.value.errno == code
    assert os.strerror(code) in text and "make room" not in text
    assert not [*tmp_path.iterdir()]


def test_only_what_ended_processes_left_is_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = [f"run.json.{ended.pid}.tmp", f"eval/a.csv.{os.getpid()}.tmp"]
    others = [f"run.json.{os.getppid()}.tmp", "notes.tmp", "run.json"]
    for name in [*mine, *others]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    folder = tmp_path / f"eval_again.{ended.pid}.tmp"
    folder.mkdir()
    (folder / "test.json").write_text("")
    assert atomic.clean(tmp_path) == [tmp_path / mine[1], folder, tmp_path / mine[0]]
    left = [p.name for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(left) == sorted(others)


def test_folders_that_others_hold_are_left_alone(tmp_path):
    (tmp_path / "member").mkdir()
    mine, theirs = (tmp_path / f"{at}a.{os.getpid()}.tmp" for at in ("", "member/"))
    for path in (mine, theirs):
        path.write_text("")
    assert atomic.clean(tmp_path, deep=False) == [mine] and theirs.exists()


def test_a_place_is_tried_and_left_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    for name in ("there", "new/a/b", ""):
        atomic.check_folder(tmp_path / name)
    assert [*tmp_path.rglob("*")] == [tmp_path / "there"]

    def full(*arguments, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pathlib.Path, "mkdir", full)  # room may come before it is used
    atomic.check_folder(tmp_path / "new")
