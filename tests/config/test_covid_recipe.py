"""The recipe of COVID-QU-Ex: five ways, each drawn, real and tiny."""

import pytest
from support import runs

from jaxseg.config import check
from jaxseg.run_directory import older_configs
from jaxseg.sweep import members

WAYS = ("segment", "classify", "joint", "regions", "hybrid")
PATH = str(runs.ROOT / "configs" / "covid.py")


def weights(config) -> set[str]:
    return {name for name, block in config.loss.items() if block.weight}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", ["", "_full", "_smoke"])
def test_every_way_is_a_config_that_passes(way, size):
    config = runs.config("covid", f"{way}{size}")
    if size == "_full":
        assert config.model.name.startswith("resnet") and config.batch_size == 128
        assert not config.data.demo.images and config.data.image_size == (256, 256)
        config.data.dir = "COVID-QU-Ex"
    else:
        assert config.data.demo.images and not config.model.name == "resnet_unet"
    check.check(older_configs.complete(config))


def test_each_way_learns_what_it_says():
    pixels = {"cross_entropy", "dice_batch"}
    of = {way: weights(runs.config("covid", way)) for way in WAYS}
    assert of["segment"] == of["hybrid"] == pixels
    assert of["classify"] == {"image_class_cross_entropy"}
    assert of["joint"] == pixels | {"image_class_cross_entropy"}
    assert of["regions"] == {"region_cross_entropy", "region_dice"}
    assert runs.config("covid", "").recipe == "segment"


def test_the_stages_of_the_hybrid():
    config = older_configs.add_missing(runs.config("covid", "hybrid"))
    stages = members.members(config, members.stages(config, PATH))
    classify, segment = stages["classify"], stages["segment"]
    assert weights(classify) == {"image_class_cross_entropy"}
    assert classify.model.name == "resnet_classifier"
    assert classify.data.options.subset == "both"
    assert segment.data.options.labels == "infection" and segment.model.name == "unet"
    assert not classify.two_stage.on and not segment.two_stage.on
    for stage in stages.values():
        check.check(stage)


def test_the_real_tree_is_taken_where_it_lies(tmp_path, monkeypatch):
    (tmp_path / "Infection Segmentation Data").mkdir()
    monkeypatch.setenv("JAXSEG_DATA", str(tmp_path))
    config = runs.config("covid", "")
    assert config.recipe == "segment_full" and config.data.dir == str(tmp_path)
    assert runs.config("covid", "joint").data.dir == ""
