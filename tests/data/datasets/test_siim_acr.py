"""SIIM-ACR from both raw forms: what is stored, resumed, repeated, never mixed up."""

import collections
import concurrent.futures
import fcntl
import json
import os
import shutil

import numpy as np
import pytest
from support import dicom_files, in_process

from jaxseg.data import prepared
from jaxseg.data.datasets import siim_acr
from jaxseg.data.files import dicom
from jaxseg.data.preparation import build_once, card, convert, tfds_builder
from jaxseg.errors import ConfigError, DataError, NotWritable, NotWritten

FILMS = 24
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return dicom_files.siim_tree(tmp_path_factory.mktemp("raw") / "siim", films=FILMS)


@pytest.fixture
def tree(raw, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(raw, tmp_path / "siim")


@pytest.fixture(scope="module")
def done(raw, tmp_path_factory):
    return siim_acr.prepare(raw, tmp_path_factory.mktemp("done"), progress=False)


def _examples(directory):
    for name in SPLITS:
        split = prepared.open_split(directory, name)
        yield from ((name, split[i]) for i in range(len(split)))


def test_every_image_and_mask_comes_back(done):
    found = {example["id"]: example for _, example in _examples(done)}
    assert sorted(found) == sorted(f"1.2.3.{i}" for i in range(FILMS))
    for i in range(FILMS):
        image, mask = dicom_files.film(i)
        example = found[f"1.2.3.{i}"]
        np.testing.assert_array_equal(example["image"][..., 0], image)
        np.testing.assert_array_equal(example["mask"], mask)
        assert example["label"] == int(i % 3 == 0)
        assert example["group"] == f"patient{i % 16}"


def test_the_png_form_holds_the_same(done, tmp_path):
    root = dicom_files.png_tree(tmp_path / "png", films=FILMS)
    directory = siim_acr.prepare(root, tmp_path / "out", progress=False)
    dicoms = {example["id"]: example for _, example in _examples(done)}
    for _, example in _examples(directory):
        same = dicoms[example["group"]]  # ImageId, for there is no patient
        np.testing.assert_array_equal(example["image"], same["image"])
        np.testing.assert_array_equal(example["mask"], same["mask"])
    assert prepared.read_card(directory)["extra"]["options"]["form"] == "png"


def test_the_card_counts_what_is_stored(done):
    found = prepared.read_card(done)
    pixels, sides = collections.Counter(), {}
    for split, example in _examples(done):
        if split == "train":
            pixels.update(example["mask"].ravel().tolist())
        assert sides.setdefault(example["group"], split) == split
    split = found["splits"]
    assert split["train"]["pixels"] == [pixels[0], pixels[1]]
    total = pixels[0] + pixels[1]
    weights = [total / (2 * pixels[0]), total / (2 * pixels[1])]
    np.testing.assert_allclose(found["class_weights"], weights)
    assert [split[s]["images"] for s in SPLITS] == pytest.approx([17, 4, 3], abs=2)
    assert all(split[s]["positives"] >= 1 for s in SPLITS)
    assert sum(split[s]["positives"] for s in SPLITS) == FILMS // 3
    assert found["refused"] == [] and found["dtype"] == "uint8"
    lines = (done / "splits.csv").read_text().splitlines()
    assert lines[0] == "id,group,split" and len(lines) == FILMS + 1


def _stat(directory):
    return {p.name: p.stat().st_mtime_ns for p in directory.iterdir()}


def test_the_same_again_touches_nothing(tree, tmp_path, monkeypatch):
    directory = siim_acr.prepare(tree, tmp_path / "out", progress=False)
    before, hashes = _stat(directory), prepared.read_card(directory)["split_hash"]
    monkeypatch.setattr(dicom, "read", None)
    path = next(tree.rglob("*.dcm"))
    os.utime(path, (1, 1))  # a copy has other times but the same content
    moved = shutil.move(tree, tmp_path / "elsewhere")
    assert siim_acr.prepare(moved, tmp_path / "out") == directory
    assert _stat(directory) == before
    assert build_once.locate("siim_acr", tmp_path / "out") == directory
    assert build_once.locate("siim_acr", tmp_path) is None
    monkeypatch.undo()
    again = siim_acr.prepare(moved, tmp_path / "other", progress=False)
    assert prepared.read_card(again)["split_hash"] == hashes
    assert (again / "splits.csv").read_text() == (directory / "splits.csv").read_text()


def test_another_source_or_option_is_refused(tree, tmp_path):
    directory = siim_acr.prepare(tree, tmp_path / "out", progress=False)
    before = _stat(directory)
    for options, why in (
        ({"seed": 1}, r"seed=0 \(now 1\)"),
        ({"test": 0.2}, r"test=0.15 \(now 0.2\)"),
    ):
        with pytest.raises(DataError, match=why):
            siim_acr.prepare(tree, tmp_path / "out", progress=False, **options)
    files = sorted(tree.rglob("*.dcm"))
    content = bytearray(files[0].read_bytes())
    content[-1] ^= 1
    files[0].write_bytes(content)
    with pytest.raises(DataError, match=f"1 source files are changed.*{files[0].name}"):
        siim_acr.prepare(tree, tmp_path / "out", progress=False)
    files[1].unlink()
    with pytest.raises(DataError, match=f"1 source files are gone.*{files[1].name}"):
        siim_acr.prepare(tree, tmp_path / "out", progress=False)
    assert _stat(directory) == before


@pytest.fixture
def reads(monkeypatch):
    """Counts the films decoded; the one after `limit` is a crash."""
    in_process.use(monkeypatch)
    seen, read = {"names": [], "limit": FILMS}, dicom.read

    def counted(path):
        if len(seen["names"]) >= seen["limit"]:
            raise KeyboardInterrupt
        seen["names"].append(path)
        return read(path)

    monkeypatch.setattr(dicom, "read", counted)
    return seen


def test_goes_on_where_it_was_killed(raw, done, tmp_path, reads, monkeypatch):
    reads["limit"] = 10
    with pytest.raises(KeyboardInterrupt):
        siim_acr.prepare(raw, tmp_path / "out", progress=False)
    assert not (tmp_path / "out/siim_acr").exists()
    torn = next((tmp_path / "out").rglob("*.entry"))
    torn.write_bytes(torn.read_bytes()[:-1])  # as a full disk or a power cut leaves it
    reads["limit"] = 99
    finish = card.finish
    monkeypatch.setattr(card, "finish", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        siim_acr.prepare(raw, tmp_path / "out", progress=False)
    assert len(reads["names"]) == FILMS + 1
    monkeypatch.setattr(card, "finish", finish)
    directory = siim_acr.prepare(raw, tmp_path / "out", progress=False)
    assert len(reads["names"]) == FILMS + 1
    new, old = (prepared.read_card(d)["split_hash"] for d in (directory, done))
    assert new == old
    left = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert left == [".siim_acr-1.0.0.lock", "siim_acr"]


def test_what_a_kill_left_beside_the_finished_set_goes_once_nobody_is_at_it(
    raw, tmp_path
):
    siim_acr.prepare(raw, tmp_path, progress=False)
    part = tmp_path / ".siim_acr-1.0.0.part"
    part.mkdir()
    with open(part.with_suffix(".lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        siim_acr.prepare(raw, tmp_path, progress=False)
        assert part.exists()
    siim_acr.prepare(raw, tmp_path, progress=False)
    assert not part.exists()


def test_what_changed_while_it_lay_killed_is_converted_again(tree, tmp_path, reads):
    reads["limit"] = 20
    with pytest.raises(KeyboardInterrupt):
        siim_acr.prepare(tree, tmp_path / "out", progress=False)
    reads["limit"] = 99
    new = dicom_files.film(90)[0]
    film, other = (next(tree.rglob(name)) for name in ("1.2.3.0.dcm", "1.2.3.1.dcm"))
    dicom_files.write(film, new, SOPInstanceUID="1.2.3.0", PatientID="patient0")
    table = (tree / "train-rle.csv").read_text()
    assert "1.2.3.1, -1" in table and other in reads["names"]
    (tree / "train-rle.csv").write_text(table.replace("1.2.3.1, -1", "1.2.3.1, 7 5"))
    directory = siim_acr.prepare(tree, tmp_path / "out", progress=False)
    found = {example["id"]: example for _, example in _examples(directory)}
    np.testing.assert_array_equal(found["1.2.3.0"]["image"][..., 0], new)
    assert found["1.2.3.1"]["mask"].sum() == 5 and found["1.2.3.1"]["label"] == 1


def test_two_at_once_prepare_once(raw, tmp_path, reads):
    reads["limit"] = 99
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(siim_acr.prepare, raw, tmp_path, progress=False)
            for _ in range(2)
        ]
        assert runs[0].result() == runs[1].result()
    assert len(reads["names"]) == FILMS


def test_never_over_another_folder(raw, tmp_path):
    (tmp_path / "siim_acr/1.0.0").mkdir(parents=True)
    with pytest.raises(DataError, match="no finished data set"):
        siim_acr.prepare(raw, tmp_path, progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable, match="a file lies where a folder is needed"):
        siim_acr.prepare(raw, tmp_path / "file", progress=False)


def test_a_full_disk_is_seen_before_the_work(raw, tmp_path, monkeypatch, reads):
    usage = collections.namedtuple("usage", "free")(1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(NotWritten, match="needs about .* but 1 kB are free"):
        siim_acr.prepare(raw, tmp_path, progress=False)
    assert len(reads["names"]) < FILMS


def test_many_shards_hold_the_same(raw, done, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "_SHARD_BYTES", 1500)
    directory = siim_acr.prepare(raw, tmp_path, progress=False)
    assert len(list(directory.glob("siim_acr-train.array_record-*"))) >= 4
    new, old = (prepared.read_card(d)["split_hash"] for d in (directory, done))
    assert new == old


def test_shares_and_the_builder_alone(raw, tmp_path):
    with pytest.raises(ConfigError, match="above 0"):
        siim_acr.prepare(raw, tmp_path, validation=0.0)
    with pytest.raises(DataError, match="jaxseg.prepare"):
        tfds_builder.store(siim_acr.Builder, tmp_path)


def test_progress_comes_in_ten_lines(raw, tmp_path, capfd):
    siim_acr.prepare(raw, tmp_path, progress=True)
    captured = capfd.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == "" and len(lines) == 10
    assert lines[-1] == f"Converting: {FILMS} of {FILMS}"


def test_options_are_stored(done):
    extra = json.loads((done / "card.json").read_text())["extra"]
    expected = {"form": "dicom", "csv": "train-rle.csv", "seed": 0}
    assert extra["options"] == {**expected, "validation": 0.15, "test": 0.15}
