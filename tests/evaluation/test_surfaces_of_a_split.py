"""Surfaces and objects of a split: the counted masks, any share, the same bytes."""

import csv
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import runs, scored, toy

from jaxseg.config import check
from jaxseg.data import pipeline
from jaxseg.errors import ConfigError
from jaxseg.evaluation import (
    count,
    operating_point,
    score_split,
    surfaces,
)
from jaxseg.inference import whole_split
from jaxseg.metrics import froc, surface_distance

FIELD = {name: i for i, name in enumerate(surface_distance.FIELDS)}


def _decided(split, predictions, **options):
    tally = count.count_split(predictions, split, to_native=scored.keep)
    point = None
    if len(split.classes) == 2:
        point = operating_point.choose(tally, scored.VALIDATION, **options)
    return operating_point.apply(tally, point, split)


def _measure(split, predictions, point, **options):
    options = {"tolerance": 2.0, "to_native": scored.keep} | options
    return surfaces.measure(predictions, split, point=point, **options)


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("rule", ["threshold", "triplet", "gate"])
def test_the_masks_are_those_that_were_counted(k, rule):
    """At a point that empties images: its rule is that of the counts and pictures."""
    split, predictions = scored.make(12, k=k)
    decided = _decided(split, predictions, rule=rule, min_areas=(0.2,))
    found = _measure(split, predictions, decided.point)["surface"]
    for name in ("truth", "predicted"):
        counted = getattr(decided.tally, name)[:, 1:]
        np.testing.assert_array_equal(found[..., FIELD[name]], counted)
    if k == 2:
        assert 0 < (found[..., FIELD["predicted"]] == 0).sum() < 12


@pytest.mark.parametrize("k", [2, 3])
def test_any_order_threads_and_processes_give_the_same_bits(k):
    split, predictions = scored.make(9, k=k)
    point = _decided(split, predictions).point
    one = _measure(split, predictions, point, threads=1)
    shares = [predictions[5:][::-1], [], predictions[:5]]
    parts = [_measure(split, share, point, threads=3) for share in shares]
    many = surfaces.join(parts)
    assert list(many) == list(one)
    for name, array in one.items():
        assert array.dtype == many[name].dtype
        np.testing.assert_array_equal(array, many[name], name)
    options = {"tolerance": 2.0, "resamples": 30}
    reports = [json.dumps(surfaces.assemble(m, split, **options)) for m in (one, many)]
    assert reports[0] == reports[1]


def test_pixels_without_a_label_are_background_in_both():
    split, predictions = scored.make(8)
    point = _decided(split, predictions).point
    before = _measure(split, predictions, point)
    hidden = 0
    for (_, probability), example in zip(predictions, split.examples, strict=True):
        unknown = example["mask"] == 255
        probability[unknown] = [0.0, 1.0]
        hidden += unknown.sum()
    after = _measure(split, predictions, point)
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], name)
    assert hidden > 0
    split.examples[1]["mask"][:] = 255  # one of the images with an object
    options = {"tolerance": 2.0, "resamples": 10}
    found = surfaces.assemble(_measure(split, predictions, point), split, **options)
    assert found["froc"]["classes"][0]["support_images"] == 7
    whole = surfaces.assemble(before, split, **options)
    supports = [f["surface"][0]["support_images"] for f in (found, whole)]
    assert supports[0] == supports[1] - 1


@pytest.mark.parametrize("k", [2, 4])
def test_report_has_the_documented_keys(k):
    split, predictions = scored.make(12, k=k)
    measured = _measure(split, predictions, _decided(split, predictions).point)
    found = surfaces.assemble(measured, split, tolerance=2.0, resamples=30)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    keys = "name class value median low high support_images missed invented policy"
    names = [(row["class"], row["name"]) for row in found["surface"]]
    foreground = split.classes[1:]
    assert names == [(c, n) for c in foreground for n in surfaces.METRICS]
    assert all(set(row) == set(keys.split()) for row in found["surface"])
    assert found["froc"]["false_positives_per_image"] == list(froc.RATES)
    assert [row["class"] for row in found["froc"]["classes"]] == list(foreground)
    for c, row in enumerate(found["froc"]["classes"], start=1):
        masks = [e["mask"] == c for e in split.examples]
        assert row["support_components"] == sum(m.any() for m in masks)
        assert row["support_images"] == 12 and len(row["sensitivity"]) == 7
    assert (surfaces.columns(measured) == {}) == (k > 2)


def _predict(variables, batch):
    """The square of the toy data, moved; a spot in one image, nothing in another."""
    image = batch["image"][..., 0].astype(jnp.float32)
    p = jax.nn.sigmoid((jnp.roll(image, 1, axis=2) - 60) / 10)
    number = batch["image"][:, -1:, -1:, 0]  # the background says which image it is
    p = jnp.where(number == 8, 0.1, p)
    p = p.at[:, 15:17, 2:5].set(jnp.where(number == 5, 1.0, p[:, 15:17, 2:5]))
    return jnp.stack([1 - p, p], axis=-1)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return toy.split(tmp_path_factory.mktemp("toy"), "test")


def _scorer(per_device_batch):
    return whole_split.Scorer(
        predict=jax.jit(_predict),
        mesh=jax.make_mesh(
            (4, 1), ("data", "fsdp"), axis_types=(jax.sharding.AxisType.Auto,) * 2
        ),
        view=pipeline.View((20, 16), "stretch", "none", 0, 0),
        per_device_batch=per_device_batch,
        workers=0,
        timeout=60.0,
    )


def _score(workdir, split, *, per_device_batch=1, tolerance):
    scorer = _scorer(per_device_batch)
    tally = score_split.tally_split(scorer, None, split)
    frozen = score_split.choose_point(
        tally, split, step=3, objective="dice_pooled", min_areas=(0.0,)
    )
    scoring = score_split.Scoring(
        workdir, scorer, None, step=3, seed=0, resamples=40, tolerance=tolerance
    )
    found = score_split.score_split(scoring, split, frozen)
    return found, runs.scores(workdir)


def test_two_batch_sizes_give_the_same_bytes_and_the_switch_only_adds(split, tmp_path):
    found, files = _score(tmp_path / "one", split, tolerance=2.0)
    assert json.loads(files["test.json"]) == found
    again = _score(tmp_path / "two", split, per_device_batch=3, tolerance=2.0)[1]
    assert again == files
    plain, without = _score(tmp_path / "off", split, tolerance=None)
    more = {"surface", "froc", "by_threshold_dilated", "region_overlap"}
    assert plain == {k: v for k, v in found.items() if k not in more}
    assert set(without) == set(files)
    changed = {name for name in files if files[name] != without[name]}
    assert changed == {"test.json", "test_per_image.csv"}


def test_a_toy_split_end_to_end(split, tmp_path):
    """Squares one pixel to the right of the truth; one missed, one invented."""
    found, files = _score(tmp_path, split, tolerance=2.0)
    rows = {row["name"]: row for row in found["surface"]}
    diagonal = math.hypot(20, 16)
    hd = rows["hd_image_skip_empty"]
    assert hd["support_images"] == 5 and (hd["missed"], hd["invented"]) == (1, 1)
    assert hd["value"] == pytest.approx((1 + 1 + 1 + 2 * diagonal) / 5)
    assert hd["median"] == 1
    assert rows["nsd_image_skip_empty"]["value"] == 3 / 5
    assert rows["f1_tolerant_image_skip_empty"]["value"] == 3 / 5
    (detection,) = found["froc"]["classes"]
    assert detection["support_components"] == 4 and detection["found"] == 3
    assert detection["sensitivity"] == [0.75] * 7
    assert detection["false_positives"] == 1 / 13
    lines = files["test_per_image.csv"].decode().splitlines()
    table = {row["id"]: row for row in csv.DictReader(lines)}
    at = [table[f"test{i:03d}"] for i in (1, 4, 5, 8)]
    assert at[0]["assd"] == at[0]["f1_tolerant"] == "" and float(at[1]["nsd"]) == 1
    assert [float(row["hd95"]) for row in at[2:]] == [diagonal] * 2
    assert set(surfaces.COLUMNS) <= set(at[0])


@pytest.mark.parametrize("name", ["folder", "pneumothorax"])
def test_recipes_measure_surfaces_and_a_negative_tolerance_is_refused(name):
    config = runs.config(name)
    assert config.eval.surface and config.eval.tolerance == 2.0
    config.eval.tolerance = -1.0
    with pytest.raises(ConfigError, match="eval.tolerance is -1.0; .* at least 0"):
        check.check(config)
