"""What answers on whole images rest on: scored without the object, and where they look.

The classifiers here read known pixels, so what must come out is known too.
"""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn
from support import small_films

from jaxseg.data import pipeline, prepared
from jaxseg.devices import sharding
from jaxseg.errors import NotFinite
from jaxseg.evaluation.evidence import (
    cases,
    covered,
    localisation,
    score,
    shortcut,
    whole_scores,
)
from jaxseg.inference import whole_split
from jaxseg.run_directory import evidence_schemas, files, schemas

SIDE, LUNG, PATCH = small_films.SIDE, 1, 2
BOTH = (LUNG, PATCH)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """30 films of which those of covid19 have a letter in the corner."""
    root = tmp_path_factory.mktemp("films")
    directory = small_films.prepare(root, 30, planted="covid19")
    return prepared.open_split(directory, "validation")


def _scorer(say):
    """A scorer whose head says the probabilities `say` of an image f32 [b, h, w]."""

    def predict(variables, batch):
        image = batch["image"][..., 0].astype(jnp.float32) / 255
        said = say(image)[:, None, None]
        shape = (*image.shape, 3)
        whole = jnp.broadcast_to(said, (*image.shape, said.shape[-1]))
        return jnp.concatenate([jnp.zeros(shape), whole], -1)

    return whole_split.Scorer(
        predict=predict,
        mesh=sharding.make_mesh(data=0, fsdp=1),
        view=pipeline.View((SIDE, SIDE), "stretch", "none", 0, 0),
        per_device_batch=4,
        workers=0,
        timeout=60.0,
        classes=3,
        maps=3,
        exclusive=True,
    )


def _corner(image):
    """Reads the letter: how bright the brightest pixels of a corner are."""
    corner = jnp.sort(image[:, :14, :14].reshape(len(image), -1))[:, -12:].mean(1)
    return jnp.stack([1 - corner, corner, 1 - corner], -1) / 2


def _patches(image):
    """Reads the inner part of the lungs: how much in it is as bright as the rest."""
    inner = jnp.concatenate([image[:, 24:46, 14:26], image[:, 24:46, 38:50]], 2)
    bright = jnp.mean(inner > 0.8 * jnp.mean(image, (1, 2), keepdims=True), (1, 2))
    return jnp.stack([1 - bright, bright, bright], -1)


def _nothing(image):
    """Reads the last digits of one pixel."""
    chance = (image[:, 40, 30] * 255 * 7) % 1.7
    return jnp.stack([chance, -chance, chance], -1)


def _block(say, split):
    block = shortcut.score(_scorer(say), {}, split, BOTH, width=3, resamples=200)
    schemas.check(files.plain(block), evidence_schemas.Shortcut, "x")
    return block


def test_a_classifier_that_reads_a_letter_keeps_its_score_without_lungs(split):
    block = _block(_corner, split)
    values = {row["input"]: row for row in block["rows"]}
    auc = {c["name"]: c["roc_auc"] for c in values["erased"]["classes"]}
    assert auc["covid19"] == 1.0
    assert values["erased"]["roc_auc_mean"] == values["as_is"]["roc_auc_mean"] > 0.7
    assert values["only"]["roc_auc_mean"] < values["as_is"]["roc_auc_mean"] - 0.1
    assert block["verdict"] == "kept" and block["erased"] == ["lung", "patch"]
    assert (block["images"], block["left_out"], block["groups"]) == (30, 0, 30)


def test_a_classifier_that_reads_the_lungs_loses_it(split):
    block = _block(_patches, split)
    whole, without, only = (row["roc_auc_mean"] for row in block["rows"])
    assert whole > 0.7 and only > 0.6 and without == 0.5  # one grey for all
    assert block["verdict"] == "lost"


def test_the_mean_area_is_that_of_scikit_learn(split):
    said = whole_scores.scores(_scorer(_patches), {}, split, 3)
    truth = split.image_classes
    each = [sklearn.roc_auc_score(truth[:, k], said[:, k]) for k in range(3)]
    row = _block(_patches, split)["rows"][0]
    assert row["roc_auc_mean"] == pytest.approx(np.mean(each))
    assert [c["roc_auc"] for c in row["classes"]] == pytest.approx(each)


@pytest.mark.parametrize(
    "whole, without, verdict",
    [
        ((0.9, 0.85, 0.95), (0.85, 0.8, 0.9), "kept"),
        ((0.9, 0.85, 0.95), (0.60, 0.51, 0.69), "lost"),  # less than half is left
        ((0.6, 0.55, 0.65), (0.52, 0.49, 0.55), "lost"),  # no more than the margin
        ((0.9, 0.85, 0.95), (0.68, 0.55, 0.80), "unclear"),
        ((0.9, 0.85, 0.95), (0.72, 0.54, 0.85), "unclear"),
        ((0.55, 0.48, 0.62), (0.9, 0.8, 0.95), "no_score"),
        ((0.9, None, None), (0.9, None, None), "undefined"),
    ],
)
def test_the_verdict_follows_its_rule(whole, without, verdict):
    rows = [
        dict(zip(("roc_auc_mean", "low", "high"), values, strict=True))
        for values in (whole, without)
    ]
    assert shortcut.verdict(*rows) == verdict


def test_what_is_covered_leaves_no_trace_of_itself(split):
    example = split[0]
    brighter = example["image"].copy()
    hidden = covered.area(example["mask"], BOTH)
    brighter[hidden] = 255
    plain = covered.cover(example["image"], hidden)
    np.testing.assert_array_equal(plain, covered.cover(brighter, hidden))
    np.testing.assert_array_equal(plain[~hidden], example["image"][~hidden])
    assert len(np.unique(plain[hidden])) == 1
    marked = np.isin(example["mask"], BOTH)
    assert hidden[marked].all() and hidden.sum() > marked.sum()


def test_all_but_the_object_is_covered_in_turn(split):
    view = covered.of(split, BOTH, only=True)
    hidden = ~covered.area(split[0]["mask"], BOTH)
    image = view[0]["image"]
    assert len(np.unique(image[hidden])) == 1
    np.testing.assert_array_equal(image[~hidden], split[0]["image"][~hidden])
    np.testing.assert_array_equal(view[0]["mask"], split[0]["mask"])


def test_unlabelled_pixels_are_covered_too():
    mask = np.zeros((40, 40), np.uint8)
    mask[30, 30] = 255
    assert covered.area(mask, (1,))[30, 30] and not covered.area(mask, (1,))[0, 0]


def test_images_in_which_nothing_is_covered_are_left_out(split):
    shown = split.pixels[:, PATCH] > 0
    block = shortcut.score(_scorer(_corner), {}, split, (PATCH,), width=3, resamples=20)
    assert block["images"] == shown.sum() == 20 and block["left_out"] == 10
    normal = block["rows"][0]["classes"][0]
    assert normal == {"name": "normal", "roc_auc": None}  # none of them is left


def test_a_head_of_foreground_alone_is_scored(split):
    say = lambda image: _patches(image)[:, 1:2]  # noqa: E731
    block = shortcut.score(_scorer(say), {}, split, BOTH, width=1, resamples=50)
    (only,) = block["rows"][0]["classes"]
    said = whole_scores.scores(_scorer(say), {}, split, 1)[:, 0]
    assert only["name"] == "foreground"
    auc = sklearn.roc_auc_score(split.labels > 0, said)
    assert only["roc_auc"] == pytest.approx(auc) and auc > 0.7


def test_a_head_that_says_no_number_is_an_error(split):
    with pytest.raises(NotFinite, match="validation0.*learning rate"):
        whole_scores.scores(_scorer(lambda x: _patches(x) * jnp.nan), {}, split, 3)


def test_chance_has_no_score_to_keep(split):
    assert _block(_nothing, split)["verdict"] in ("no_score", "unclear")


def _pointed(attention, tolerance=0.0):
    mask = np.zeros((20, 20), bool)
    mask[5:10, 5:10] = True
    labelled = np.ones((20, 20), bool)
    labelled[0] = False
    return localisation.pointed(attention, mask, labelled, tolerance)


def test_the_pointing_game_by_hand():
    attention = np.zeros((20, 20), np.float32)
    attention[7, 7] = 1
    hit, flat, share = _pointed(attention)
    assert (hit, flat) == (True, False) and share == pytest.approx(25 / 380)
    attention[7, 12] = 2
    assert _pointed(attention)[0] is False
    assert _pointed(attention, tolerance=3.0)[0] is True
    assert _pointed(attention, tolerance=2.9)[0] is False
    attention[0, 7] = 9  # not labelled: the maximum is looked for elsewhere
    assert _pointed(attention, tolerance=3.0)[0] is True
    assert _pointed(np.zeros((20, 20), np.float32))[:2] == (False, True)


def _maps(split, where):
    """(index, maps [h, w, 3]): the map of covid19 is the mask `where` of an image."""
    for i in range(len(split)):
        row = np.zeros((SIDE, SIDE, 3), np.float32)
        row[..., 1] = where(split[i])
        yield i, row


def _game(split, where, indices):
    maps = [(i, row) for i, row in _maps(split, where) if i in indices]
    block = localisation.score(
        iter(maps),
        split,
        output=1,
        width=3,
        mask_class=PATCH,
        tolerance=0.0,
        to_native=lambda p, shape: p,
    )
    schemas.check(files.plain(block), evidence_schemas.Localisation, "x")
    return block


def test_maps_on_the_patches_win_and_maps_in_the_corner_lose(split):
    indices = localisation.wanted(split, 1, 3, PATCH)
    assert len(indices) == 10
    block = _game(split, lambda e: e["mask"] == PATCH, indices)
    assert (block["images"], block["hits"], block["flat"]) == (10, 10, 0)
    assert block["value"] == 1.0 and block["low"] == pytest.approx(0.7225, abs=1e-4)
    assert 0 < block["chance"] < 0.05
    letter = np.zeros((SIDE, SIDE))
    letter[5, 5] = 1
    assert _game(split, lambda e: letter, indices)["hits"] == 0
    empty = _game(split, lambda e: letter, set())
    assert (empty["images"], empty["value"], empty["chance"]) == (0, None, None)


NAMES = ["a", "b", "c"]


def test_the_surest_errors_of_exclusive_classes_come_first():
    truth = np.eye(3, dtype=int)[[0, 0, 1, 2, 2]]
    probability = np.array(
        [
            [0.8, 0.1, 0.1],
            [0.1, 0.8, 0.1],  # wrong by 0.7
            [0.0, 0.6, 0.4],
            [0.5, 0.1, 0.4],  # wrong by 0.1
            [0.0, 0.1, 0.9],
        ]
    )
    rows = cases.choose(probability, truth, [*"vwxyz"], NAMES)
    assert [(r["id"], r["role"]) for r in rows] == [
        ("w", "error"),
        ("y", "error"),
        ("v", "right"),
        ("x", "right"),
        ("z", "right"),
    ]
    first = rows[0]
    assert (first["truth"], first["predicted"]) == (["a"], ["b"])
    assert first["image_class"] == "b" and first["probability"] == 0.8
    assert first["margin"] == pytest.approx(0.7)
    truth[1] = -1
    assert cases.choose(probability, truth, [*"vwxyz"], NAMES)[0]["id"] == "y"


def test_classes_that_stand_together_are_judged_at_their_thresholds():
    truth = np.array([[1, 0, -1], [0, 1, 1], [0, 0, 1]])
    probability = np.array([[0.4, 0.2, 0.9], [0.1, 0.1, 0.9], [0.8, 0.1, 0.95]])
    rows = cases.choose(
        probability, truth, [*"xyz"], NAMES, thresholds=[0.5, 0.5, None]
    )
    said = [(r["id"], r["role"], r["image_class"], r["predicted"]) for r in rows]
    # y misses b by 0.4, z has a in vain by 0.3, x misses a by 0.1; c has no threshold
    assert said == [
        ("y", "error", "b", []),
        ("z", "error", "a", ["a"]),
        ("x", "error", "a", []),
    ]


def test_pictures_of_cases_are_drawn_with_their_maps(split, tmp_path):
    def look(variables, batch):
        image = batch["image"][..., 0].astype(jnp.float32)
        return jnp.stack([image, image * 0, image], -1)

    asked = score.Asked(3, (), look, output=0, mask_class=PATCH)
    said = whole_scores.scores(_scorer(_corner), {}, split, 3)
    rows, drawn = score.examples(
        _scorer(_corner), {}, split, asked, said, thresholds=None
    )
    schemas.check(files.plain(rows), list[evidence_schemas.ClassExample], "x")
    assert {row["attention"] for row in rows} | {row["image"] for row in rows} == {
        *drawn
    }
    assert all(content[:4] == b"\x89PNG" for content in drawn.values())
    asked = asked._replace(attention=None)
    rows, drawn = score.examples(
        _scorer(_corner), {}, split, asked, said, thresholds=None
    )
    assert "attention" not in rows[0] and len(drawn) == len(rows)


def test_nothing_is_asked_and_nothing_is_done(split, tmp_path):
    parts = tmp_path, _scorer(_corner), {}, split
    options = {"seed": 0, "resamples": 10}
    assert score.score(*parts, None, None, {}, **options) == {}
    assert score.score(*parts, score.Asked(1), None, {}, **options) == {}
    assert not any(tmp_path.iterdir())


def test_both_blocks_are_made_where_they_are_asked_for(split):
    look = functools.partial(lambda v, batch: jnp.tile(1.0 * batch["image"], 3))
    asked = score.Asked(3, BOTH, look, output=1, mask_class=PATCH, tolerance=1.0)
    made = score.blocks(_scorer(_corner), {}, split, asked, seed=0, resamples=20)
    assert made.keys() == {"shortcut", "localisation"}
    assert made["localisation"]["images"] == 10
    # the brightest pixel is the letter
    assert made["localisation"]["hits"] == 0
