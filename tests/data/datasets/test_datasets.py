"""Every data set has a TFDS builder and a way to prepare it; a new one is tested."""

import inspect

import pytest
import tensorflow_datasets as tfds
from support import defect_trees, real_images

from jaxseg import lookup
from jaxseg.data.phantoms import (
    beads_tree,
    covid_tree,
    cracks_tree,
    phc_tree,
    siim_tree,
)
from jaxseg.data.prepared import open_split


def _raw(name, folder):
    """A small raw data set for every builder."""
    if name == "siim_acr":
        siim_tree.write(folder, images=40, size=64, seed=0)
    elif name == "phc":
        phc_tree.write(folder, images=24, size=48, seed=0)
    elif name == "microbeads":
        beads_tree.write(folder, images=12, size=64, seed=0)
    elif name == "image_folder":
        real_images.bbbc007(folder)
    elif name == "sccdnet":
        cracks_tree.write(folder, images=32, size=48, seed=0)
    elif name == "covid_qu_ex":
        covid_tree.write(folder, images=24, size=64, seed=0)
    elif hasattr(defect_trees, name):
        getattr(defect_trees, name)(folder)
    else:
        pytest.fail(f"give tests/data/datasets/test_datasets.py raw files for {name}")
    return folder


@pytest.mark.parametrize("name", lookup.names("data/datasets"))
def test_every_data_set_prepares_reads_back_and_is_prepared_once(name, tmp_path):
    module = lookup.find("data/datasets", name)
    assert issubclass(module.Builder, tfds.core.DatasetBuilder)
    assert module.Builder.name == name
    for option in list(inspect.signature(module.prepare).parameters.values())[2:]:
        assert option.kind is option.KEYWORD_ONLY and option.default is not option.empty
    raw = _raw(name, tmp_path / "raw")
    directory = module.prepare(raw, tmp_path / "data", progress=False)
    ids, groups = set(), {}
    for split in ("train", "validation", "test"):
        opened = open_split(directory, split)
        assert len(opened) > 0 and opened.positive.any()
        for i in range(len(opened)):
            example = opened[i]
            assert example["image"].shape[:2] == example["mask"].shape
            assert tuple(opened.sizes[i]) == example["mask"].shape
            assert (opened.pixels[i, 1:].sum() > 0) == bool(
                ((example["mask"] > 0) & (example["mask"] < 255)).any()
            )
            assert groups.setdefault(example["group"], split) == split
            ids.add(example["id"])
    assert len(ids) == sum(s["images"] for s in opened.card["splits"].values())
    before = {p: p.stat().st_mtime_ns for p in directory.rglob("*")}
    assert module.prepare(raw, tmp_path / "data", progress=False) == directory
    assert before == {p: p.stat().st_mtime_ns for p in directory.rglob("*")}
