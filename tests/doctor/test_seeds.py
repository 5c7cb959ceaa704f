"""A small copy of what went wrong in each seed: caught by name, its twin passes.

The seeds are five experiments whose reports looked fine: weak supervision by clicks
(000), cracks (001), pneumothorax (002), microbeads (003) and lungs (004).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import doctored

from jaxseg import errors
from jaxseg.data import augment, pipeline
from jaxseg.types import IGNORE


def test_a_misspelt_mask_folder_is_an_error_that_names_it(tmp_path):
    """Seed 004 looked in a folder that was not there and passed over every image."""
    directory = doctored.folder(tmp_path / "my_images", masks="maks")
    with pytest.raises(errors.DataError, match="masks"):
        doctored.case(doctored.folder_config(directory))


def test_masks_that_were_lost_and_read_as_empty(phantoms):
    """Seed 004: the class never occurred, and its IoU was 1."""
    split = phantoms.experiment.splits["validation"]
    lost = doctored.picked(split, range(len(split)))
    lost.pixels[:, 0] += lost.pixels[:, 1]
    lost.pixels[:, 1] = 0
    names = ("class_support", "label_values")
    found = doctored.found(doctored.splitting(phantoms, validation=lost), *names)
    assert [found[name].level for name in names] == ["error", "error"]
    assert "no foreground at all in validation" in found["class_support"].observed
    assert "contradict the label" in found["label_values"].observed
    assert doctored.levels(phantoms, *names) == dict.fromkeys(names, "ok")


def _through_8_bits(image, mask, key, **_):
    """Brightness as Keras does it: images in [0, 1] through 8 bits, not rescaled."""
    del key
    return jnp.floor(image * 0.9), mask


def test_images_that_augmentation_blackens(phantoms):
    """Seed 003 trained on images of mean 0 and validated on real ones."""
    found = doctored.found(
        doctored.stepping(phantoms, augment=_through_8_bits), "value_range"
    )
    assert found["value_range"].level == "error"
    assert "32 of 32 images lose their contrast" in found["value_range"].observed
    assert doctored.levels(phantoms, "value_range") == {"value_range": "ok"}


def _image_only(image, mask, key, **settings):
    return augment.augment(image, mask, key, **settings)[0], mask


def _apart(image, mask, key, **settings):
    other = augment.augment(image, mask, jax.random.fold_in(key, 1), **settings)
    return augment.augment(image, mask, key, **settings)[0], other[1]


@pytest.mark.parametrize("mistaken", [_image_only, _apart])
def test_masks_that_are_not_moved_with_their_images(phantoms, mistaken):
    """Seed 003 flipped and turned the images only, or with numbers of their own."""
    twin = doctored.stepping(phantoms, augment=mistaken)
    level = doctored.levels(twin, "co_transform")
    assert level == {"co_transform": "error"}
    assert doctored.levels(phantoms, "co_transform") == {"co_transform": "ok"}


def test_negatives_left_out_before_the_split(phantoms):
    """Seed 002 kept 15 % of the negatives, then split: 66 % positive, not 22 %."""
    positive = phantoms.experiment.splits["validation"].positive
    yes, no = np.flatnonzero(positive), np.flatnonzero(~positive)
    parts = {"mistaken": (476, 249), "healthy": (181, 544)}  # of 725
    found = {}
    for name, (p, n) in parts.items():
        index = [*np.resize(yes, p), *np.resize(no, n)]
        split = doctored.picked(phantoms.experiment.splits["validation"], index)
        twin = doctored.splitting(phantoms, validation=split)
        found[name] = doctored.found(twin, "prevalence")["prevalence"]
    assert found["mistaken"].level == "error" and "65.7 %" in found["mistaken"].observed
    assert found["healthy"].level == "ok"


@pytest.mark.parametrize("home", ["validation", "test"])
def test_a_patient_in_two_splits(phantoms, home):
    """Seeds 002 and 004 split by image, and shuffled again to evaluate."""
    train, split = phantoms.experiment.splits["train"], phantoms.experiment.splits[home]
    leak = doctored.picked(split, range(len(split)))
    leak.groups[0] = train.groups[3]
    found = doctored.found(doctored.splitting(phantoms, **{home: leak}), "group_leak")
    assert found["group_leak"].level == "error"
    assert f"{train.groups[3]} in {home} and train" in found[
        "group_leak"
    ].observed.replace(f"train and {home}", f"{home} and train")
    assert doctored.levels(phantoms, "group_leak") == {"group_leak": "ok"}


def test_a_threshold_chosen_on_the_images_that_are_reported(phantoms):
    """Seeds 001 and 002 tuned it on the very set of the report."""
    same = {"test": phantoms.experiment.splits["validation"]}
    found = doctored.found(doctored.splitting(phantoms, **same), "group_leak")
    assert found["group_leak"].level == "error"
    assert "6 image(s) in two splits" in found["group_leak"].observed


def _clicks(split, view, rng_of, example, index):
    """Five labelled pixels in an image."""
    found = view(example, index)
    chosen = rng_of(index).permutation(found["mask"].size)[:5]
    mask = np.full_like(found["mask"], IGNORE)
    mask.flat[chosen] = found["mask"].flat[chosen]
    return found | {"mask": mask}


@pytest.mark.parametrize("redrawn", [True, False])
def test_clicks_that_are_drawn_again_in_every_epoch(phantoms, redrawn):
    """Seed 000 said 10 clicks an image and showed up to 400 in 40 epochs."""
    experiment, fresh = phantoms.experiment, np.random.default_rng(0)
    rng_of = (lambda i: fresh) if redrawn else np.random.default_rng
    train = experiment.splits["train"]
    view = functools.partial(_clicks, train, experiment.parts.view, rng_of)
    twin = doctored.spoiled(phantoms, parts=experiment.parts._replace(view=view))
    found = doctored.found(twin, "supervision")["supervision"]
    assert found.level == ("error" if redrawn else "ok")
    assert "5 of 4,096 pixels labelled" in found.observed
    assert ("at most 10: other labels" in found.observed) == redrawn


def _without_sampler(split, view, order, *, processes=1, process=0, **kwargs):
    """Several processes each shuffle all images, as if there were no sampler."""
    if processes > 1:
        rng = np.random.default_rng(process)
        size = kwargs["epoch_size"]
        plain = np.resize(rng.permutation(len(split)), size)
        order = functools.partial(_fixed, plain)
    return _REAL(split, view, order, processes=processes, process=process, **kwargs)


_REAL = pipeline.train_batches


def _fixed(order, *, epoch):
    return order


def test_a_sampler_that_several_processes_drop(phantoms, monkeypatch):
    """Seed 002 left its weighted sampler out under data parallelism."""
    assert doctored.levels(phantoms, "sampling_share") == {"sampling_share": "ok"}
    monkeypatch.setattr(pipeline, "train_batches", _without_sampler)
    found = doctored.found(phantoms, "sampling_share")["sampling_share"]
    assert found.level == "error" and "read by 2 processes" in found.observed


def test_a_sampler_without_effect(phantoms):
    plan = phantoms.experiment.plan
    everyone = np.arange(plan.epoch_size) % len(phantoms.experiment.splits["train"])
    plain = plan._replace(order=functools.partial(_fixed, everyone))
    twin = doctored.spoiled(phantoms, plan=plain._replace(shares=(0.9,) * 200))
    assert doctored.levels(twin, "sampling_share") == {"sampling_share": "error"}


def test_an_auxiliary_head_without_a_loss(phantoms):
    """Seed 002 computed one and never used it."""
    config = phantoms.config.copy_and_resolve_references()
    config.aux_weight = 0.0
    with pytest.raises(errors.ConfigError, match="the auxiliary head would never"):
        doctored.case(config)
    # a model that always has one passes there
    twin = doctored.small(phantoms, aux_weight=0.0)._replace(config=config)
    found = doctored.found(twin, "loss_weights", "gradients")
    for finding in found.values():
        assert finding.level == "error"
        assert "aux/kernel" in finding.observed + finding.why
    healthy = doctored.levels(doctored.small(phantoms), *found)
    assert healthy == dict.fromkeys(found, "ok")


@pytest.mark.parametrize("per_epoch,steps,level", [(1, 63, "warning"), (2, 800, "ok")])
def test_63_steps_in_all(phantoms, per_epoch, steps, level):
    """Seed 003: 62 images in batches of 32, the last one dropped, for 63 epochs."""
    plan = phantoms.experiment.plan._replace(
        steps_per_epoch=per_epoch, total_steps=steps
    )
    twin = doctored.spoiled(phantoms, plan=plan)
    found = doctored.found(twin, "total_steps")["total_steps"]
    assert found.level == level and f"{steps} in all" in found.observed
