"""Checks beyond the mistakes of the seeds: each can fail, and healthy runs pass all."""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import doctored

from jaxseg import errors, lookup
from jaxseg.config import doctor_checks
from jaxseg.data import records
from jaxseg.doctor import audit, model, page
from jaxseg.losses import dice


def test_every_name_is_one_check_and_has_a_place_on_the_page():
    assert len(set(doctor_checks.ALL)) == len(doctor_checks.ALL)
    placed = [name for names in page._TITLES.values() for name in names]
    assert sorted(placed) == sorted(doctor_checks.ALL)
    for name in doctor_checks.ALL:
        homes = [m for m in audit._FAMILIES if hasattr(m, name)]
        assert len(homes) == 1 and audit.find(name).__doc__


@pytest.mark.parametrize("healthy", ["phantoms", "folder"])
def test_a_healthy_run_passes_every_check(healthy, request):
    case = doctored.small(request.getfixturevalue(healthy))
    names = doctor_checks.FAST + doctor_checks.FULL
    found = doctored.found(case, *names)
    assert tuple(found) == names
    bad = {n: f for n, f in found.items() if f.level != "ok"}
    assert not bad, bad
    for finding in found.values():
        assert (
            any(c.isdigit() for c in finding.observed) or "no image" in finding.observed
        )


def test_the_quick_part_reads_hardly_an_image_and_compiles_nothing(
    phantoms, monkeypatch, caplog
):
    reads, real = [], records.from_png
    monkeypatch.setattr(
        records, "from_png", lambda *a, **k: (reads.append(a), real(*a, **k))[1]
    )
    scorer = phantoms.experiment.scorer  # without its cache, where all may lie already
    view = dataclasses.replace(scorer.view, cache=None)
    experiment = phantoms.experiment._replace(scorer=scorer._replace(view=view))
    jax.clear_caches()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        audit.fast(phantoms.config, experiment)
        assert not [r for r in caplog.records if r.name.startswith("jax")]
        phantoms.experiment.rate(np.arange(3))
        assert [r for r in caplog.records if r.name.startswith("jax")]
    assert len(reads) == 16  # four images and their masks, in two epochs


def test_real_clicks_are_the_same_ones_in_every_epoch(folder):
    directory = folder.config.data.dir
    changes = {"supervision.name": "clicks", "supervision.positive": 3}
    changes["supervision.negative"] = 2
    case = doctored.case(doctored.folder_config(directory, **changes))
    found = doctored.found(case, "supervision")["supervision"]
    assert found.level == "ok" and "at most 5 (" in found.observed


def test_a_file_that_cannot_be_read(folder, monkeypatch):
    real = records.from_png

    def broken(data, channels, what):
        if "'a03'" in what:
            raise errors.DataError(f"{what} cannot be decoded")
        return real(data, channels, what)

    monkeypatch.setattr(records, "from_png", broken)
    found = doctored.found(doctored.spoiled(folder), "unreadable", "constant_images")
    assert (
        found["unreadable"].level == "error" and "'a03'" in found["unreadable"].observed
    )
    assert found["constant_images"].level == "ok"


def test_images_with_nothing_in_them(tmp_path):
    flat = np.full((48, 40), 7, np.uint8)
    empty, square = np.zeros((48, 40), np.uint8), np.zeros((48, 40), np.uint8)
    square[4:20, 4:20] = 255
    for mask, level in ((empty, "warning"), (square, "error")):
        root = tmp_path / level
        directory = doctored.folder(root, extra=[("flat", "train", flat, mask)])
        twin = doctored.case(doctored.folder_config(directory))
        found = doctored.found(twin, "constant_images")["constant_images"]
        assert found.level == level and "train/flat" in found.observed


def test_a_class_that_one_split_lacks(folder):
    card = folder.experiment.card | {"classes": ["background", "square", "rare"]}
    splits = {}
    for name, one in folder.experiment.splits.items():
        three = doctored.picked(one, range(len(one)))
        more = np.ones((len(one), 1), int) * (name != "validation")
        three.__dict__.update(
            card=card, pixels=np.concatenate([one.pixels, more], axis=1)
        )
        splits[name] = three
    found = doctored.found(doctored.splitting(folder, **splits), "class_support")
    assert found["class_support"].level == "warning"
    assert "validation: no rare" in found["class_support"].observed
    splits["train"].pixels[:, 2] = 0
    found = doctored.found(doctored.splitting(folder, **splits), "class_support")
    assert found["class_support"].level == "error"
    assert "no rare in train" in found["class_support"].observed
    for three in splits.values():  # nobody expects it anywhere
        three.pixels[:, 2] = 0
        three.__dict__.update(card=card | {"absent": ["rare"]})
    found = doctored.found(doctored.splitting(folder, **splits), "class_support")
    assert found["class_support"].level == "ok"
    assert "declared absent: rare" in found["class_support"].observed


def test_classes_of_images_without_a_labelled_pixel(folder):
    splits = {}
    for name, one in folder.experiment.splits.items():
        bare = doctored.picked(one, range(len(one)))
        bare.pixels[:], bare.labels[:] = 0, -1
        bare.__dict__.update(image_classes=np.ones((len(one), 2), np.int8))
        splits[name] = bare
    found = doctored.found(doctored.splitting(folder, **splits), "class_support")
    assert found["class_support"].level == "warning"
    assert "only classes of whole images are" in found["class_support"].observed


def test_images_without_labels_in_what_is_scored(folder):
    split = doctored.picked(folder.experiment.splits["test"], range(6))
    split.pixels[2] = 0
    twin = doctored.splitting(folder, test=split)
    assert doctored.levels(twin, "unlabelled") == {"unlabelled": "warning"}


@pytest.mark.parametrize(
    "changes,name,level,said",
    [
        ({"optim.warmup_epochs": 150.0}, "learning_rate", "warning", "500 of 500"),
        ({"optim.warmup_epochs": 80.0}, "learning_rate", "warning", "400 of 500"),
        ({"loss.dice_batch.weight": -1.0}, "loss_weights", "error", "dice_batch -1"),
        ({"batch_size": 16, "optim.accumulate": 4}, "batch_size", "warning", "of 12"),
        ({"optim.accumulate": 4}, "batch_size", "warning", "1 at a time"),
    ],
)
def test_settings_that_do_not_go_together(folder, changes, name, level, said):
    config = folder.config.copy_and_resolve_references()
    changes = {"batch_size": 4, "optim.accumulate": 1} | changes
    config.update_from_flattened_dict(changes)
    plan = folder.experiment.plan._replace(
        batch_size=config.batch_size, steps_per_epoch=5, total_steps=500
    )
    twin = doctored.spoiled(folder, plan=plan)._replace(config=config)
    if config.optim.warmup_epochs == 150:
        said = "750 of 500"
    found = doctored.found(twin, name)[name]
    assert found.level == level and said in found.observed, found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "a network of random weights may learn"),
        ({"parent": "runs/a"}, "begins with the weights of runs/a may learn"),
        ({"parent": "runs/a", "parent_step": "none"}, "a network of random weights"),
        ({"pretrained.path": "w.safetensors"}, "weights of w.safetensors may learn"),
    ],
)
def test_a_short_run_is_told_what_it_begins_with(folder, changes, words):
    config = folder.config.copy_and_resolve_references()
    config.update_from_flattened_dict(changes)
    plan = folder.experiment.plan._replace(steps_per_epoch=5, total_steps=5)
    twin = doctored.spoiled(folder, plan=plan)._replace(config=config)
    finding = doctored.found(twin, "total_steps")["total_steps"]
    assert finding.level == "warning" and words in finding.why


def test_a_batch_of_windows_may_be_larger_than_the_set(folder):
    parts, plan = folder.experiment.parts, folder.experiment.plan
    view = dataclasses.replace(parts.view, fit="crop")
    large = plan._replace(batch_size=16)
    twin = doctored.spoiled(folder, plan=large, parts=parts._replace(view=view))
    assert doctored.levels(twin, "batch_size") == {"batch_size": "ok"}


def _constant(logits, mask):
    return jnp.ones(len(mask))


def _not_a_number(logits, mask):
    return jnp.full(len(mask), jnp.nan) * logits[:, 0, 0, 0]


def _upside_down(logits, mask):
    return -dice.loss(logits, mask)


@pytest.mark.parametrize(
    "loss,said",
    [
        (_constant, "is 1 whatever is predicted"),
        (_not_a_number, "is not finite"),
        (_upside_down, "costs more when right"),
    ],
)
def test_a_loss_that_does_not_answer_to_the_prediction(folder, loss, said):
    terms = {"good": (dice.loss, 1.0), "bad": (loss, 1.0)}
    twin = doctored.stepping(folder, losses=terms)
    found = doctored.found(twin, "loss_terms")["loss_terms"]
    assert found.level == "error" and found.observed == f"bad {said}"


# those of objects, regions and classes of images: test_losses_of_targets.py
OBJECTS = {"border_cross_entropy", "distance", "object_probability", "star_rays"}
OBJECTS |= {"region_cross_entropy", "region_dice"}
OBJECTS |= {"image_class_cross_entropy", "image_class_binary_cross_entropy"}


@pytest.mark.parametrize("name", sorted({*lookup.names("losses")} - OBJECTS))
def test_every_loss_there_is_passes(folder, name):
    terms = {name: (lookup.find("losses", name).loss, 1.0)}
    twin = doctored.stepping(folder, losses=terms)
    assert doctored.levels(twin, "loss_terms") == {"loss_terms": "ok"}


def test_a_scale_that_evaluation_does_not_share(folder):
    def darker(image):
        return folder.experiment.parts.normalise(image / 255)

    twin = doctored.stepping(folder, normalise=darker)
    assert doctored.levels(twin, "value_range") == {"value_range": "error"}


def test_one_batch_is_learned_by_heart_or_not(folder):
    learns = doctored.small(folder)
    learns = learns._replace(options=learns.options | {"steps": 60})
    stuck = learns._replace(config=learns.config.copy_and_resolve_references())
    stuck.config.optim.learning_rate = 1e-9
    learns.config.optim.learning_rate = 3e-2
    found = doctored.found(learns, "overfit_one_batch")["overfit_one_batch"]
    assert found.level == "ok" and "in 60 steps" in found.observed, found
    assert doctored.levels(stuck, "overfit_one_batch") == {"overfit_one_batch": "error"}


def test_memory_that_is_not_there(folder, monkeypatch):
    known = model.Trained(1, [1.0], [], _Memory())
    twin = folder._replace(trained=lambda: known)
    assert doctored.levels(twin, "memory") == {"memory": "ok"}
    monkeypatch.setattr("jax.devices", lambda: [_Device()])
    assert doctored.levels(twin, "memory") == {"memory": "warning"}


class _Memory:
    argument_size_in_bytes = temp_size_in_bytes = 2**30


class _Device:
    def memory_stats(self):
        return {"bytes_limit": 2**31}


def test_an_error_within_a_check_is_its_finding(folder):
    config = folder.config.copy_and_resolve_references()
    config.transfer.freeze = ("nothing/*",)
    found = doctored.found(folder._replace(config=config), "loss_weights")
    assert found["loss_weights"].level == "error"
    assert "could not be done" in found["loss_weights"].observed
