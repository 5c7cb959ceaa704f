"""Automatic splits of a folder agree in what they are told to agree in."""

import collections

import numpy as np
import pytest
from test_image_folder import SPLITS, folder, stored

from jaxseg.data import prepared
from jaxseg.data.datasets import image_folder
from jaxseg.errors import ConfigError


def splits_of(tmp_path, masks, name, **options):
    source = tmp_path / "in"
    if not source.exists():
        folder(source, masks, classes=options.pop("classes", None))
    options.pop("classes", None)
    directory = image_folder.prepare(source, tmp_path, progress=False, **options)
    rule = prepared.read_card(directory)["split_rule"]
    split_of = {k: example["split"] for k, example in stored(directory).items()}
    return rule, split_of


def test_a_rare_class_of_a_folder_is_in_every_split(tmp_path, caplog):
    masks = {f"a{k:02}": np.full((6, 5), 1, np.uint8) for k in range(30)}
    for k, mask in enumerate(masks.values()):
        mask[0], mask[1, :4] = 0, 2 * (k % 2)
        mask[2, 0] = 3 if k in (4, 11, 17) else mask[2, 0]
    classes = ["rest", "most", "half", "rare"]
    rule, split_of = splits_of(
        tmp_path, masks, "auto", stratify="auto", classes=classes
    )
    assert "stratified by the rarest class shown, seed 0" in rule
    assert {split_of["a04"], split_of["a11"], split_of["a17"]} == {*SPLITS}
    assert not [m for m in caplog.messages if "stratified" in m]
    # as every earlier version did
    options = {"stratify": "foreground", "classes": classes}
    rule, before = splits_of(tmp_path, masks, "before", **options)
    assert "stratified by foreground, seed 0" in rule and before != split_of
    masks.popitem()
    two = {k: m % 2 for k, m in masks.items()}
    by_foreground = splits_of(tmp_path / "two", two, "two", stratify="foreground")
    assert by_foreground == splits_of(tmp_path / "two", two, "two", stratify="auto")


@pytest.mark.parametrize("mask_format", ["binary", "instances"])
def test_a_folder_by_objects_an_image(tmp_path, mask_format, caplog):
    """Touching objects are one in a mask, and apart where they are numbered."""
    masks = {}
    for k in range(20):
        mask = np.zeros((9, 21), np.uint8)
        for n in range(k % 4 * 3):
            mask[2 * (n // 4) : 2 * (n // 4) + 2, 5 * (n % 4) : 5 * (n % 4) + 4] = n + 1
        masks[f"a{k:02}"] = mask
    if mask_format == "binary":
        masks = {k: 255 * (mask > 0).astype(np.uint8) for k, mask in masks.items()}
    bins = "1,5"  # 0, 3, 6 or 9 objects; in columns of 2, 2 and 3 they touch
    rule, split_of = splits_of(
        tmp_path,
        masks,
        "objects",
        mask_format=mask_format,
        stratify="objects",
        object_bins=bins,
    )
    assert "stratified by objects an image (0, 1-4, 5 and more), seed 0" in rule
    by_bin = collections.defaultdict(set)
    for name, split in split_of.items():
        k = int(name[1:])
        count = k % 4 * 3 if mask_format == "instances" else min(k % 4 * 3, 4)
        by_bin[np.digitize(count, [1, 5])].add(split)
    assert all(splits_here == set(SPLITS) for splits_here in by_bin.values())
    assert len(by_bin) == (3 if mask_format == "instances" else 2)
    assert not [m for m in caplog.messages if "stratified" in m]


def test_a_stratum_that_is_none_gets_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="stratify 'object' is unknown; did you mean"):
        image_folder.prepare(tmp_path, tmp_path / "x", stratify="object")
