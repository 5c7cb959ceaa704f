"""A config becomes a target, and what does not fit to it is said before training."""

import types

import numpy as np
import pytest
from support import runs

from jaxseg import errors
from jaxseg.experiment import check_splits, from_config, targets

OFF = {f"loss.{term}.weight": 0.0 for term in ("cross_entropy", "dice_batch")}


def made(name, weights, **changes):
    """(target, losses) of a config with these weights of losses."""
    changes |= OFF | {f"loss.{term}.weight": 1.0 for term in weights}
    config = runs.config("folder", **changes | {"target.name": name})
    losses = from_config.losses(config, np.ones((1, 2), int))
    return targets.of(config, 2), losses


@pytest.mark.parametrize(
    "name, weights, instances",
    [
        ("classes", ["dice_batch"], False),
        ("classes", ["dice_batch", "border_cross_entropy"], True),
        ("border", ["dice_batch"], True),
        ("distance", ["dice_batch", "distance"], True),
        ("star", ["dice_batch", "object_probability", "star_rays"], True),
        ("star", ["object_probability", "star_rays"], True),
    ],
)
def test_what_a_batch_must_have_follows_from_target_and_losses(
    name, weights, instances
):
    target, losses = made(name, weights)
    targets.check_losses(target, losses)
    assert targets.needs_instances(target, losses) is instances
    assert target.channels == {"classes": 2, "star": 35}.get(name, 3)
    assert (targets.beside_classes(target) is None) == (name == "classes")


@pytest.mark.parametrize(
    "name, weights, words",
    [
        ("classes", ["distance"], "loss.distance asks for distance and true_distance"),
        ("distance", ["star_rays"], "asks for rays and true_rays, which the target 'd"),
        (
            "distance",
            ["dice_batch"],
            "no loss learns its distance: .*loss.distance.wei",
        ),
        (
            "star",
            ["dice_batch"],
            "object_logits and rays: .*object_probability.weight and config.loss.star",
        ),
    ],
)
def test_a_loss_and_a_target_that_do_not_fit_are_named(name, weights, words):
    with pytest.raises(errors.ConfigError, match=words):
        targets.check_losses(*made(name, weights))


@pytest.mark.parametrize("kind", ["cutmix", "mixup"])
def test_images_of_whole_objects_are_not_blended(kind):
    config = runs.config("folder", **{f"mix.{kind}": 0.5})
    from_config.mix(config, *made("classes", ["dice_batch"])[::-1])
    for name, weights in (("border", []), ("classes", ["border_cross_entropy"])):
        target, losses = made(name, ["dice_batch", *weights])
        with pytest.raises(errors.ConfigError, match="blend two images, but this run"):
            from_config.mix(config, losses, target)


OWN = """
from jaxseg.targets.distance import *


def channels(num_classes, *, reach):
    return num_classes + 1
"""


def test_a_target_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "target_lab").mkdir()
    (tmp_path / "target_lab" / "mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    fields = {"target.fields": {"reach": 3}}
    target, losses = made("target_lab.mine", ["dice_batch", "distance"], **fields)
    targets.check_losses(target, losses)
    assert target.names == ("distance",) and target.ray_length == 0
    with pytest.raises(errors.ConfigError, match="config.target.fields: target_lab.mi"):
        made("target_lab.mine", ["dice_batch"])


def test_rays_need_images_that_keep_their_shape():
    target, _ = made("star", ["star_rays"])
    split = types.SimpleNamespace(sizes=np.array([[8, 8], [8, 9]]), ids=["a", "b"])
    view = types.SimpleNamespace(size=(8, 8), fit="stretch")
    with pytest.raises(errors.ConfigError, match="brings 'b' of 8x9 pixels to 8x8"):
        check_splits.rays(target, [split], view)
    check_splits.rays(target, [split], types.SimpleNamespace(fit="crop"))
    split.sizes[1] = 8
    check_splits.rays(target, [split], view)
    check_splits.rays(made("distance", ["distance"])[0], [split], view)
