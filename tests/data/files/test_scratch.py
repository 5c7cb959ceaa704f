"""Hidden folders go when their process is dead, and never while it lives."""

import os
import signal
import subprocess
import sys

import pytest

from jaxseg.data.files import scratch

HOLD = """
import pathlib, sys, time
from jaxseg.data.files import scratch
with scratch.folder(pathlib.Path(sys.argv[1]), "set") as path:
    (path / "half").write_text("half")
    print(path, flush=True)
    time.sleep(600)
"""


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_lasts_as_long_as_it_is_needed(tmp_path):
    with scratch.folder(tmp_path, "set") as path:
        (path / "file").touch()
        with scratch.folder(tmp_path, "set") as other:
            assert other != path and (path / "file").exists()
        assert path.name.startswith(f".set.partial-{os.getpid()}-")
    assert _names(tmp_path) == []
    with pytest.raises(KeyError), scratch.folder(tmp_path, "set") as path:
        raise KeyError
    assert _names(tmp_path) == []
    with scratch.folder(tmp_path, "set") as path:
        path.rename(tmp_path / "set")
    assert _names(tmp_path) == ["set"]


def test_only_what_a_dead_process_left_is_removed(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for _ in range(2)
    ]
    paths = [holder.stdout.readline().strip() for holder in holders]
    holders[0].send_signal(signal.SIGKILL)
    holders[0].wait()
    (tmp_path / ".other.partial-1").mkdir()
    assert len(_names(tmp_path)) == 5
    scratch.remove_abandoned(tmp_path, ".set")
    assert not os.path.exists(paths[0]) and os.path.exists(paths[1] + "/half")
    assert len(_names(tmp_path)) == 3
    holders[1].kill()
    holders[1].wait()
    with scratch.folder(tmp_path, "set"):
        assert len(_names(tmp_path)) == 3
    assert _names(tmp_path) == [".other.partial-1"]
    for holder in holders:
        holder.stdout.close()


def test_what_an_earlier_version_left_goes_after_a_day(tmp_path, monkeypatch):
    for name in (".1.0.0-abc-xyz", ".1.0.0-abc-new", "1.0.0-abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    long_ago = os.stat(tmp_path).st_mtime - 25 * 3600
    for path in (".1.0.0-abc-xyz/file", ".1.0.0-abc-xyz", ".1.0.0-abc-new"):
        os.utime(tmp_path / path, (long_ago, long_ago))
    scratch.remove_abandoned(tmp_path, ".1.0.0")
    assert _names(tmp_path) == [".1.0.0-abc-new", "1.0.0-abc"]
    scratch.remove_abandoned(tmp_path / "nowhere", ".1.0.0")
