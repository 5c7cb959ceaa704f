"""KSDD2, Severstal, DAGM and ELPV: small trees of their layouts, and what is wrong."""

import importlib.util
import sys
import types

import numpy as np
import pytest
from support import defect_trees
from support.defect_trees import mask, put

from jaxseg.data import pipeline, prepared, sparse_labels
from jaxseg.data.datasets import dagm, elpv, ksdd2, severstal
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE

MODULES = {"ksdd2": ksdd2, "severstal": severstal, "dagm": dagm, "elpv": elpv}


def ready(name, root, **options):
    if not root.exists():
        getattr(defect_trees, name)(root)
    data = root.parent / "data"
    return MODULES[name].prepare(root, data, progress=False, **options)


def stored(directory):
    out = {}
    for name in ("train", "validation", "test"):
        split = prepared.open_split(directory, name)
        out |= {split.ids[k]: {**split[k], "split": name} for k in range(len(split))}
    return out


def test_ksdd2_keeps_its_test_split_and_its_masks(tmp_path):
    directory = ready("ksdd2", tmp_path / "in", validation=0.2)
    examples = stored(directory)
    inside = {n.split("/")[1] for n, e in examples.items() if e["split"] == "test"}
    assert inside == {f"{20000 + k}" for k in range(6)}
    for name, example in examples.items():
        k = int(name[-2:])
        np.testing.assert_array_equal(example["mask"] > 0, (k % 2) * mask(k) > 0)
        assert example["label"] == k % 2
    assert sum(e["split"] == "validation" for e in examples.values()) == 4


def test_a_list_of_ksdd2_stays_in_train_and_chooses_the_masks(tmp_path):
    path = tmp_path / "n.txt"
    numbers = [10000 + k for k in range(1, 16, 2)]  # eight of ten positives
    path.write_text("# N = 8\n" + "\n".join(map(str, numbers)))
    directory = ready("ksdd2", tmp_path / "in", validation=0.2, stays=str(path))
    train = prepared.open_split(directory, "train")
    view = pipeline.View((16, 24), "stretch", "none", None, None)
    block = {"name": "mixed", "masks": 1.0, "annotators": 1, "seed": 0}
    block |= {"paths": (str(path),)}
    chosen = sparse_labels.options(block, seed=0)
    labels = sparse_labels.draw(train, view, chosen)
    kept = {train.ids[i] for i in np.flatnonzero(labels.whole & train.positive)}
    assert kept == {f"train/{number}" for number in numbers}


KSDD2 = {
    "no mask": (lambda r: (r / "train/10003_GT.png").unlink(), "10003.png has no mask"),
    "no image": (
        lambda r: (r / "test/20001.png").unlink(),
        "20001_GT.png is a mask without an image",
    ),
    "strange": (lambda r: (r / "test/a.png").touch(), "a.png does not belong there"),
    "no test": (lambda r: (r / "test").rename(r / "tst"), "test is not there"),
    "size": (lambda r: put(r / "train/10001.png", mask(1)[:8]), "is 8 x 24 .*16 x 24"),
}


@pytest.mark.parametrize("name", KSDD2)
def test_a_wrong_ksdd2_is_named(tmp_path, name):
    change, words = KSDD2[name]
    root = defect_trees.ksdd2(tmp_path / "in")
    change(root)
    with pytest.raises(DataError, match=words):
        ready("ksdd2", root)


def test_a_list_of_other_samples_is_named(tmp_path):
    path = tmp_path / "n.txt"
    path.write_text("10001\n20001")
    with pytest.raises(DataError, match="names '20001', which"):
        ready("ksdd2", tmp_path / "in", stays=str(path))
    path.write_bytes(b"\x80\x04\x95\x00\x00")  # a pickle is not opened
    with pytest.raises(DataError, match="no text"):
        ready("ksdd2", tmp_path / "in", stays=str(path))


@pytest.mark.parametrize("classes", ["binary", "four"])
def test_severstal_reads_run_lengths(tmp_path, classes):
    directory = ready("severstal", tmp_path / "in", classes=classes, validation=0.2)
    examples = stored(directory)
    assert len(examples) == 24
    for name, example in examples.items():
        k = int(name, 16)
        wanted = np.zeros(defect_trees.SIZE, int)
        if k % 3:
            wanted[mask(k) > 0] = k % 4 + 1 if classes == "four" else 1
        if k % 6 == 1:
            other = 4 if k % 4 != 3 else 3
            wanted[mask(k)[::-1] > 0] = other if classes == "four" else 1
        np.testing.assert_array_equal(example["mask"], wanted)
        assert (example["label"] > 0) == (k % 3 > 0)
        assert example["label"] in wanted
    assert len(prepared.read_card(directory)["classes"]) == (
        5 if classes == "four" else 2
    )


SEVERSTAL = {
    "0001.jpg,5,1 2": "line 2: ClassId is '5'; it is one of 1, 2, 3, 4",
    "0001.jpg,2,": "0001.jpg is of class 2, but marks no pixel",
    "0099.jpg,1,1 2": "names '0099.jpg', which is missing",
    "0001.jpg,1,0 2": "0001.jpg: a run of 2 pixels begins at 0",
    "0001.jpg,1,4 3 6 2": "a run of 2 pixels begins at 6, but the one before ends at 6",
    "0001.jpg,1,4 3 9": "are pairs of .offset, length., but 3 numbers",
    "0001.jpg,1,380 9": "run lengths end at pixel 388, but an image of 16 x 24",
    "0001.jpg,1,a b": "run lengths must be whole numbers, not 'a b'",
}


@pytest.mark.parametrize("row", SEVERSTAL)
def test_a_wrong_table_of_severstal_is_named(tmp_path, row):
    root = defect_trees.severstal(tmp_path / "in")
    (root / "train.csv").write_text(f"ImageId,ClassId,EncodedPixels\n{row}\n")
    with pytest.raises(DataError, match=SEVERSTAL[row]):
        ready("severstal", root)


def test_dagm_has_labels_of_defects_alone(tmp_path):
    directory = ready("dagm", tmp_path / "in")
    examples = stored(directory)
    assert len(examples) == 40
    assert np.count_nonzero(examples["Class2/Train/0003"]["mask"]) == 12
    assert not examples["Class1/Test/0002"]["mask"].any()
    tested = {n.split("/")[1] for n, e in examples.items() if e["split"] == "test"}
    assert tested == {"Test"}
    one = dagm.find(tmp_path / "in", (2,))
    assert {source.id.split("/")[0] for source in one} == {"Class2"}
    put(tmp_path / "in/Class1/Train/Label/0077_label.PNG", mask(1))
    with pytest.raises(DataError, match="0077_label.PNG is a label without an image"):
        dagm.find(tmp_path / "in")
    with pytest.raises(DataError, match="needs the folders Class7"):
        dagm.find(tmp_path / "in", (2, 7))
    with pytest.raises(ConfigError, match="kinds is '0,1'; give numbers from 1 to 10"):
        ready("dagm", tmp_path / "in", kinds="0,1")


@pytest.mark.parametrize("threshold, share", [(0.5, 0.5), (0.3, 0.75), (1.0, 0.25)])
def test_elpv_has_labels_without_masks(tmp_path, threshold, share):
    directory = ready("elpv", tmp_path / "in", threshold=threshold, block=4)
    examples = stored(directory)
    assert len(examples) == 48
    labels = np.array([e["label"] for e in examples.values()])
    assert labels.mean() == share
    for example in examples.values():
        wanted = IGNORE if example["label"] else 0
        assert (example["mask"] == wanted).all()
    splits = {int(name[4:]): e["split"] for name, e in examples.items()}
    for first in range(1, 49, 4):  # no block of four is in two splits
        assert len({splits[k] for k in range(first, first + 4)}) == 1
    assert {*splits.values()} == {"train", "validation", "test"}


def test_elpv_is_cut_where_the_kind_of_cell_changes(tmp_path):
    root = defect_trees.elpv(tmp_path / "in", count=20)
    groups = [source.group for source in elpv.find(root, threshold=0.5, block=3)]
    blocks = "mono-001 mono-002 poly-003 poly-004 mono-005 mono-006 poly-007 poly-008"
    wanted = [name for k, name in enumerate(blocks.split()) for _ in range(3 - k % 2)]
    assert groups == wanted


@pytest.mark.parametrize(
    "line, words",
    [
        ("images/cell0001.png 1.5 mono", "line 2 is .*a probability from 0 to 1"),
        ("images/cell0001.png 0.5 multi", "mono or poly"),
        ("images/cell0001.png 0.5", "it must be a path"),
        ("images/cell0999.png 0.5 mono", "names images/cell0999.png, which is missing"),
    ],
)
def test_a_wrong_table_of_elpv_is_named(tmp_path, line, words):
    root = defect_trees.elpv(tmp_path / "in", count=4)
    (root / "labels.csv").write_text(f"images/cell0001.png 1.0 mono\n{line}\n")
    with pytest.raises(DataError, match=words):
        elpv.find(root, threshold=0.5, block=4)


def test_elpv_is_found_in_its_package_or_asks_for_it(tmp_path, monkeypatch):
    root = defect_trees.elpv(tmp_path / "elpv_dataset" / "data", count=40)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install elpv-dataset==1.0.0.post1"):
        elpv.prepare("package", tmp_path / "data", progress=False)
    there = types.SimpleNamespace(submodule_search_locations=[str(root.parent)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there)
    assert "elpv_dataset" not in sys.modules  # nothing of it is imported
    directory = elpv.prepare("package", tmp_path / "data", progress=False, block=4)
    assert prepared.read_card(directory)["source"] == str(root)


@pytest.mark.parametrize("name", ["ksdd2", "dagm"])
def test_a_share_for_validation_is_between_0_and_1(tmp_path, name):
    with pytest.raises(ConfigError, match="must be a share of .rain between 0 and 1"):
        ready(name, tmp_path / "in", validation=0.0)
