"""A run directory comes back from a bucket whole, whenever its sender was killed.

The bucket is a folder, file://, on which uploads are no more atomic than they must be;
`tests/endurance/bucket.py` does the same with an S3 server.
"""

import json
import os
import pathlib
import shutil

import fsspec
import pytest

from jaxseg.errors import ConfigError, DataError
from jaxseg.run_directory import bucket, manifest, markers, mirror


class Killed(BaseException):
    """Stands for the end of the process: no handler of errors catches it."""


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "cache"))
    return f"file://{tmp_path}/my-bucket/runs/x"


def _write(folder: pathlib.Path, step: int, *, words: str = "") -> None:
    """What a run at `step` leaves: an immutable step, and files that change."""
    saved = folder / "checkpoints" / str(step)
    (saved / "d").mkdir(parents=True)
    (saved / "d" / "array").write_bytes(bytes([step]) * 999)
    manifest.seal(saved, {"step": step})
    (folder / "config.json").write_text("{}")
    (folder / "history.csv").write_text(f"step\n{step}\n{words}")
    (folder / "tb").mkdir(exist_ok=True)
    with (folder / "tb" / "events").open("a") as file:
        file.write(f"point of {step}\n")


def _tree(folder: pathlib.Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def _send(copy: mirror.Copy) -> mirror.Copy:
    return mirror.send(copy, mirror.stage(copy.folder))


def _elsewhere(url: str) -> dict[str, bytes]:
    """What a machine that holds nothing gets from the bucket."""
    folder = mirror.local_copy(url)
    for place in (folder, mirror.beside(folder)):
        shutil.rmtree(place, ignore_errors=True)
    mirror.open_copy(url)
    return _tree(folder) if folder.exists() else {}


def test_a_run_comes_back_byte_for_byte(url):
    copy = mirror.open_copy(url)
    assert copy.marker is None and not copy.folder.exists()
    for step in (1, 2):
        _write(copy.folder, step)
        copy = _send(copy)
        sent = _tree(copy.folder)
    assert _elsewhere(url) == sent


def test_only_what_changed_is_sent_and_what_is_old_is_removed(url):
    copy, sent = mirror.open_copy(url), []
    copy.bucket.files.put_file = _noting(copy.bucket.files.put_file, sent)
    for step in (1, 2, 3, 4):
        if step > 2:
            shutil.rmtree(copy.folder / "checkpoints" / str(step - 2))
        _write(copy.folder, step)
        copy = _send(copy)
    assert sum("checkpoints/1/d/array@" in name for name in sent) == 1
    assert _send(copy).number == 4  # nothing changed, nothing is sent
    assert markers.numbers(copy.bucket) == [3, 4]
    there = " ".join(bucket.names(copy.bucket, "objects"))
    assert "checkpoints/1/" not in there and "checkpoints/2/" in there


def _noting(function, names):
    def noted(path, name):
        names.append(name)
        function(path, name)

    return noted


def test_what_is_half_written_stays(url):
    copy = mirror.open_copy(url)
    _write(copy.folder, 1)
    wanted = _tree(copy.folder)
    for name in (
        "run.lock",
        "history.csv.123.tmp",
        "checkpoints/2/d/array",  # a step without its manifest
        "checkpoints/3.orbax-checkpoint-tmp-7/manifest.json",
    ):
        path = copy.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    _send(copy)
    assert _elsewhere(url) == wanted


def test_a_step_that_is_removed_meanwhile_and_a_newer_one_stay(url, monkeypatch):
    """Orbax removes an old step in another thread; a new one becomes whole just now."""
    copy = mirror.open_copy(url)
    for step in (1, 2, 3):
        _write(copy.folder, step)
    link = os.link

    def remove_then_link(path, target):
        if path.parts[-3:-1] == ("1", "d"):
            path.unlink()
        link(path, target)

    monkeypatch.setattr(os, "link", remove_then_link)
    mirror.send(copy, mirror.stage(copy.folder, newest=2))
    steps = {name.split("/")[1] for name in _elsewhere(url) if "checkpoints" in name}
    assert steps == {"2"}


def test_a_kill_at_any_moment_leaves_the_state_before_or_the_new_one(url, tmp_path):
    copy = mirror.open_copy(url)
    for step in (1, 2):  # so that the third marker has something to remove
        _write(copy.folder, step)
        copy = _send(copy)
    before = _tree(copy.folder)
    _write(copy.folder, 3, words="third")
    after = _tree(copy.folder)
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "my-bucket", kept / "bucket")
    shutil.copytree(tmp_path / "cache", kept / "cache")
    came, moment = [], 0
    while True:
        for place, name in (("my-bucket", "bucket"), ("cache", "cache")):
            shutil.rmtree(tmp_path / place)
            shutil.copytree(kept / name, tmp_path / place)
        try:
            _send(_killed_at(mirror.open_copy(url), moment))
            break
        except Killed:
            pass
        came.append(_elsewhere(url))
        assert came[-1] in (before, after), f"after {moment} writes"
        # and the machine that takes over goes on as if nothing had been
        copy = mirror.open_copy(url)
        shutil.rmtree(copy.folder)
        shutil.copytree(kept / "cache", tmp_path / "cache", dirs_exist_ok=True)
        _send(copy)
        assert _elsewhere(url) == after
        moment += 1
    assert before in came and after in came and moment > 6


def _killed_at(copy: mirror.Copy, moment: int) -> mirror.Copy:
    """The copy whose bucket ends the process in the middle of a later write."""
    files, count = copy.bucket.files, iter(range(999))

    def dying(function, half):
        def write(*arguments):
            if next(count) == moment:
                half(*arguments)
                raise Killed
            function(*arguments)

        return write

    def half_file(path, name):
        pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(name).write_bytes(pathlib.Path(path).read_bytes()[:-1])

    def half_bytes(name, content):
        pathlib.Path(name).write_bytes(content[:-1])

    files.put_file = dying(files.put_file, half_file)
    files.pipe_file = dying(files.pipe_file, half_bytes)
    files.rm_file = dying(files.rm_file, lambda name: None)
    return copy


def test_a_damaged_object_is_named_and_the_state_before_is_taken(url, caplog):
    copy = mirror.open_copy(url)
    _write(copy.folder, 1)
    copy = _send(copy)
    before = _tree(copy.folder)
    _write(copy.folder, 2)
    copy = _send(copy)
    name = copy.marker.files["checkpoints/2/d/array"].name
    (pathlib.Path(copy.bucket.root) / name).write_bytes(b"other")
    assert _elsewhere(url) == before
    assert f"{name} is damaged" in caplog.text
    # the next marker gets a number of its own
    copy = mirror.open_copy(url)
    _write(copy.folder, 2)
    assert _send(copy).number == 3
    for path in pathlib.Path(copy.bucket.root).rglob("array*"):
        path.write_bytes(b"other")
    with pytest.raises(DataError, match="nothing is whole"):
        _elsewhere(url)


def test_the_folder_here_is_kept_where_it_is_ahead_and_not_where_it_is_behind(
    url, tmp_path, monkeypatch
):
    here = mirror.open_copy(url)
    _write(here.folder, 1)
    here = _send(here)
    _write(here.folder, 2)  # not sent: the process was killed
    ahead = _tree(here.folder)
    assert mirror.open_copy(url).marker.number == 1 and _tree(here.folder) == ahead
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "another machine"))
    there = mirror.open_copy(url)
    _write(there.folder, 2)
    _write(there.folder, 3)
    _send(there)
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "cache"))
    mirror.open_copy(url)
    assert _tree(here.folder) == _tree(there.folder)
    assert _tree(here.folder.with_name("x.behind")) == ahead


def test_a_second_run_at_the_same_place_is_refused(url, tmp_path, monkeypatch):
    here = mirror.open_copy(url)
    _write(here.folder, 1)
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "another machine"))
    there = mirror.open_copy(url)
    _write(there.folder, 1)
    _send(there)
    with pytest.raises(ConfigError, match="another run has sent marker 1 .*stop one"):
        _send(here)


def test_a_bucket_that_answers_with_an_error_is_one_sentence(url, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError("Access\nDenied.")

    copy = mirror.open_copy(url)
    _write(copy.folder, 1)
    copy.bucket.files.put_file = refused
    with pytest.raises(
        bucket.Fault, match="write objects/checkpoints.*: Access Denied"
    ):
        _send(copy)
    error = mirror.not_sent(copy, bucket.Fault("gone"))
    assert error.exit_code == 74 and str(copy.folder) in str(error)
    local = type(copy.bucket.files)
    monkeypatch.setattr(local, "pipe_file", refused)
    with pytest.raises(ConfigError, match="write opened.json: Access Denied. Look "):
        mirror.open_copy(url)


@pytest.mark.parametrize(
    "wrong,message",
    [
        ("ftp://host/runs/x", "ftp:// is not supported"),
        ("s3://bucket", "name the bucket and the run"),
        ("s3://bucket/../x", "name the bucket and the run"),
        ("s3://bucket/x*", "name the bucket and the run"),
    ],
)
def test_another_url_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        mirror.local_copy(wrong)


def test_a_missing_package_is_named(monkeypatch):
    def missing(*arguments, **options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(ConfigError, match=r"pip install 'jaxseg\[s3\]'"):
        mirror.open_copy("s3://bucket/runs/x")


def test_the_config_of_a_run_is_read_without_the_run(url):
    assert mirror.stored_config(url) is None
    copy = mirror.open_copy(url)
    _write(copy.folder, 1)
    (copy.folder / "config.json").write_text(json.dumps({"name": "mine"}))
    _send(copy)
    shutil.rmtree(copy.folder)
    folder = mirror.stored_config(url)
    assert json.loads((folder / "config.json").read_text()) == {"name": "mine"}
    assert not copy.folder.exists()


def test_a_bucket_elsewhere_on_the_command_line_is_refused():
    with pytest.raises(ConfigError, match="--run=s3://b/x: a bucket .*aws s3 sync"):
        bucket.refuse("--run", "s3://b/x")
    bucket.refuse("--run", "runs/x")
