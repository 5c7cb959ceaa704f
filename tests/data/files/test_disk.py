"""A full disk is one sentence, whoever notices it."""

import errno

import pytest

from jaxseg.data.datasets import image_folder, siim_acr
from jaxseg.data.files import disk
from jaxseg.data.phantoms import tissue_tree
from jaxseg.data.preparation import card, tfds_builder
from jaxseg.errors import DataError, NotWritten

FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    RuntimeError("write() failed: No space left on device; writing file"),
]


@pytest.mark.parametrize("error", FULL, ids=["disk", "quota", "library"])
def test_a_full_disk_is_one_sentence(tmp_path, error):
    what = r"is full: the set needs up to 2.5 MB, but [\d.]+ .B are free; make room"
    with pytest.raises(NotWritten, match=what):
        with disk.room(tmp_path / "not" / "there", what="the set", need=2_500_000):
            raise error
    with pytest.raises(NotWritten, match="the set does not fit, and"):
        with disk.room(tmp_path, what="the set"):
            raise error


def test_other_errors_stay_as_they_are(tmp_path):
    for error in (
        OSError(errno.EACCES, "denied"),
        KeyError("a"),
        DataError("wrong"),
        NotWritten(errno.ENOSPC, "No space left on device"),
    ):
        with pytest.raises(type(error)) as raised, disk.room(tmp_path, what="the set"):
            raise error
        assert raised.value is error


def test_sizes_in_words():
    sizes = [0, 4_000, 999_999, 2_500_000, 1.26e9]
    words = ["0 kB", "4 kB", "1000 kB", "2.5 MB", "1.3 GB"]
    assert [disk.amount(size) for size in sizes] == words


def _full(*_, **__):
    raise FULL[2]


@pytest.mark.parametrize("module, name", [(tfds_builder, "store"), (card, "finish")])
def test_a_preparation_that_fills_the_disk(tmp_path, monkeypatch, module, name):
    """And nothing of it is left where it cannot be resumed."""
    tissue_tree.write(tmp_path / "tissue", images=8, size=48)
    siim_acr.write_demo(tmp_path / "films", images=16, size=64)
    monkeypatch.setattr(module, name, _full)
    for data, source in ((image_folder, "tissue"), (siim_acr, "films")):
        out = tmp_path / f"out-{source}"
        with pytest.raises(NotWritten, match="is full: the prepared data set"):
            data.prepare(tmp_path / source, out, progress=False)
    assert list((tmp_path / "out-tissue/image_folder").iterdir()) == []


def test_phantoms_that_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("cv2.imwrite", _full)
    monkeypatch.setattr("PIL.Image.Image.save", _full)
    with pytest.raises(NotWritten, match="is full"):
        tissue_tree.write(tmp_path / "tissue", images=8, size=48)
    assert list(tmp_path.iterdir()) == []
