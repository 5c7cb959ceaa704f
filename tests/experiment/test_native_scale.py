"""Images of three sizes at native scale, from training to prediction."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
import tifffile
from support import runs

import jaxseg
from jaxseg import errors
from jaxseg.click import rounds
from jaxseg.config import check
from jaxseg.data import prepared, slot_file, sparse_labels
from jaxseg.experiment import build, finished_run, from_config, score_again
from jaxseg.inference import tiled_split
from jaxseg.labels import IGNORE
from jaxseg.sweep import vmap_step
from jaxseg.train import loop, stop

SIZES = [(40, 52), (64, 36), (20, 24)]  # one is smaller than a window
SPLITS = ("train", "train", "validation", "test")
SMALL = {
    "epochs": 2,
    "batch_size": 8,
    "data.image_size": (32, 32),
    "model.name": "support.tiny",
    "data.options.mask_format": "class_ids",
    "eval.every_epochs": 1,
}


def example(k, factor=1):
    """Image and mask number k: a bright square of class 1 or a dark one of class 2."""
    rng = np.random.default_rng(k)
    height, width = (factor * n for n in SIZES[k % 3])
    mask = np.zeros((height, width), np.uint8)
    for label in (1, 2):
        y, x = rng.integers(0, height - 9 * factor), rng.integers(0, width - 9 * factor)
        mask[y : y + 8 * factor, x : x + 8 * factor] = label
    image = rng.integers(90, 130, (height, width)).astype(np.uint8)
    image[mask == 1] += 100
    image[mask == 2] -= 80
    return image, mask


def folder(root, *, count=24, tiff=False):
    """A folder; with `tiff` every second image is twice as fine, as ImageJ saves it."""
    rows = []
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for k in range(count):
        factor = 1 + (tiff and k % 2)
        image, mask = example(k, factor)
        if tiff:
            size = 0.5 / factor
            tifffile.imwrite(
                root / f"images/a{k:02d}.tif",
                image,
                imagej=True,
                resolution=(1 / size, 1 / size),
                metadata={"unit": "um"},
            )
        else:
            cv2.imwrite(str(root / f"images/a{k:02d}.png"), image)
        cv2.imwrite(str(root / f"masks/a{k:02d}.png"), mask)
        rows.append((f"a{k:02d}", SPLITS[k % 4]))
    with open(root / "splits.csv", "w", newline="") as file:
        csv.writer(file).writerows([("stem", "split"), *rows])
    return root


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("sizes") / "my_images")


@pytest.fixture(scope="module")
def config(images):
    return runs.config("folder", **SMALL, **{"data.dir": str(images)})


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("native") / "run"
    loop.train_and_evaluate(config, workdir)
    return workdir


def test_several_sizes_are_used_at_native_scale_and_the_run_says_so(run):
    record = json.loads((run / "run.json").read_text())
    assert record["fit"] == "crop"
    assert json.loads((run / "config.json").read_text())["data"]["fit"] == "auto"
    card = record["dataset"]
    assert card["sizes"]["distinct"] == 3
    result = json.loads((run / "eval/test.json").read_text())
    sizes = [SIZES[k % 3] for k in range(24) if k % 4 == 3]
    assert result["pixels"] == sum(h * w for h, w in sizes)
    for entry in json.loads((run / "eval/test_examples.json").read_text()):
        shown = cv2.imread(str(run / "eval/test_examples" / entry["prediction"]), -1)
        assert shown.shape == SIZES[int(entry["id"][1:]) % 3]


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_a_fit_that_is_named_is_used(config, fit):
    named = config.copy_and_resolve_references()
    named.data.fit = fit
    experiment = build.load(named, batch_size=8)
    assert experiment.parts.view.fit == fit == build.describe(experiment)["fit"]
    assert (experiment.windows() is not None) == (fit == "crop")


def test_stopping_and_going_on_changes_no_bit(config, run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(stop.Stop, "by", lambda self, manager, step: step == 2)
        with pytest.raises(errors.Preempted):
            loop.train_and_evaluate(config, tmp_path / "run")
    uncached = config.copy_and_resolve_references()
    uncached.data.cache_gib = 0.0  # what was decoded once before is decoded again
    loop.train_and_evaluate(uncached, tmp_path / "run")
    assert runs.history(tmp_path / "run") == runs.history(run)
    assert runs.scores(tmp_path / "run") == runs.scores(run)


def test_the_cache_of_a_config_feeds_training_and_scoring(
    config, tmp_path, monkeypatch
):
    """The tiles of validation come out of it too; with 0 nothing is kept."""
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(slot_file, "RESERVE", 0)  # any disk will do
    reads = []
    decode = prepared.Split.__getitem__

    def counted(self, index):
        reads.append(index)
        return decode(self, index)

    monkeypatch.setattr(prepared.Split, "__getitem__", counted)
    for gib, again in ((0.0, True), (1.0, False)):
        changed = config.copy_and_resolve_references()
        changed.data.cache_gib = gib
        experiment = build.load(changed, batch_size=8)
        split, view = experiment.splits["validation"], experiment.scorer.view
        rows = [(index, 0) for index in range(len(split))]
        for _ in range(2):
            reads.clear()
            list(build.train_batches(experiment, steps=3))
            list(tiled_split.batches(split, view, rows, batch_size=2))
        assert bool(reads) == again
    assert len(list((tmp_path / "fitted").glob("*.slots"))) == 2


def test_a_prediction_is_what_was_scored(run):
    finished = jaxseg.load(run)
    with open(run / "eval/test_per_image.csv", newline="") as file:
        scored = {
            row["id"]: int(row["predicted_pixels"]) for row in csv.DictReader(file)
        }
    assert len(scored) == 6
    for name, pixels in scored.items():
        image, mask = example(int(name[1:]))
        answer = finished.predict(image)
        assert answer.classes.shape == mask.shape
        assert np.count_nonzero(answer.classes) == pixels  # in blocks as it was scored
    assert finished_run.weights(finished).facts["fit"] == "crop"


def test_scoring_again_gives_the_same(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    assert score_again.score_again(tmp_path / "run", "test").same == "yes"
    # what "auto" became is kept with the run, and not found again
    runs.edit_record(tmp_path / "run", fit="stretch")
    assert score_again.score_again(tmp_path / "run", "test").same == "no"
    assert jaxseg.load(tmp_path / "run").parts.view.fit == "stretch"


def test_clicks_are_of_native_pixels_from_drawing_to_the_next_round(config, tmp_path):
    sparse = config.copy_and_resolve_references()
    sparse.update_from_flattened_dict(
        {
            "supervision.name": "clicks",
            "supervision.positive": 3,
            "supervision.negative": 4,
            "loss.partial_cross_entropy.weight": 1.0,
            "loss.cross_entropy.weight": 0.0,
            "loss.dice_batch.weight": 0.0,
        }
    )
    loop.train_and_evaluate(sparse, tmp_path / "first")
    labels = sparse_labels.read(tmp_path / "first" / sparse_labels.FILE)
    assert labels.size is None
    for i, name in enumerate(labels.ids):
        truth, mask = example(int(name[1:]))[1], labels.mask(i)
        assert mask.shape == truth.shape
        at = mask != IGNORE
        np.testing.assert_array_equal(mask[at], truth[at])
        assert np.bincount(mask[at], minlength=3).tolist() == [4, 3, 3]
    batch = next(build.train_batches(build.load(sparse, batch_size=8), steps=1))
    assert (batch["mask"] != IGNORE).any((1, 2)).all()
    record = json.loads((tmp_path / "first/run.json").read_text())
    budget = record["supervision"]
    assert budget["labelled_pixels"] == 12 * 10
    area = sum(np.prod(SIZES[k % 3]) for k in range(24) if k % 4 < 2)
    assert budget["share"] == pytest.approx(120 / area)
    assert (tmp_path / "first/supervision_examples/index.json").exists()

    more = rounds.click(tmp_path / "first", positive=2, negative=2)
    assert f"of {area:,} (" in rounds.describe(more)
    for i, name in enumerate(labels.ids):
        truth, mask = example(int(name[1:]))[1], more.labels.mask(i)
        at = mask != IGNORE
        np.testing.assert_array_equal(mask[at], truth[at])
    assert sum(more.spent) > 0
    sparse_labels.store(tmp_path / "clicks.npz", more.labels)
    stored = sparse.copy_and_resolve_references()
    stored.supervision.name = "stored"
    stored.supervision.paths = (str(tmp_path / "clicks.npz"),)
    used = build.load(stored, batch_size=8).labels()
    for name in ("image", "y", "x", "label", "sizes"):
        np.testing.assert_array_equal(getattr(used, name), getattr(more.labels, name))
    stored.data.fit = "stretch"
    with pytest.raises(errors.DataError, match="native size.*use the same"):
        build.load(stored, batch_size=8).labels()


def test_members_whose_windows_differ_do_not_train_together(config):
    named = config.copy_and_resolve_references()
    named.sampler.seed = 0
    assert vmap_step.key(named)
    named.supervision.name = "clicks"
    named.loss.cross_entropy.class_weights = None
    assert not vmap_step.key(named)
    named.data.fit = "stretch"
    assert vmap_step.key(named)


def test_labels_of_images_need_whole_images(config):
    named = config.copy_and_resolve_references()
    named.supervision.name = "mixed"
    card = {"sizes": {"distinct": 3, "min": [1, 1], "max": [2, 2]}}
    card |= {"dtype": "uint8", "channels": 1, "classes": ["a", "b"]}
    assert from_config.parts(named, card).view.fit == "stretch"
    named.supervision.name = "image_level"
    assert from_config.parts(named, card).view.fit == "stretch"
    named.data.fit = "crop"
    with pytest.raises(errors.ConfigError, match="says nothing of a window"):
        check.check(named)


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"data.foreground_share": 1.5}, "a share is from 0 to 1"),
        ({"data.overlap": 1.0}, "from 0 to 0.9"),
        ({"data.pixel_size": -1.0}, "must be at least 0"),
        ({"data.pixel_size": 2.0, "data.fit": "pad"}, "brings all images to one size"),
        ({"data.pixel_size": 2.0, "supervision.name": "clicks"}, "needs full masks"),
        ({"data.fit": "corp"}, "did you mean 'crop'"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(config, changes, said):
    wrong = config.copy_and_resolve_references()
    wrong.update_from_flattened_dict(changes)
    with pytest.raises(errors.ConfigError, match=said):
        check.check(wrong)


# a common pixel size


def test_images_of_two_pixel_sizes_are_seen_at_one_and_answered_at_their_own(tmp_path):
    fine = folder(tmp_path / "my_images", count=12, tiff=True)
    changes = {"data.dir": str(fine), "data.pixel_size": 0.5, "epochs": 1}
    both = runs.config("folder", **SMALL | changes, **{"eval.surface": False})
    experiment = build.load(both, batch_size=8)
    split, view = experiment.splits["train"], experiment.parts.view
    assert view.fit == "crop"
    numbers = [int(name[1:]) for name in split.ids]
    assert split.pixel_sizes.tolist() == [0.25 if k % 2 else 0.5 for k in numbers]
    assert view.sizes(split).tolist() == [[*SIZES[k % 3]] for k in numbers]
    for i, k in enumerate(numbers):
        seen = view(split, i)
        assert seen["image"].shape == (*SIZES[k % 3], 1)
        counts = np.bincount(seen["mask"].ravel(), minlength=3)[1:]
        assert (abs(counts - np.bincount(example(k)[1].ravel())[1:]) <= 34).all()
    loop.train_and_evaluate(both, tmp_path / "run")
    result = json.loads((tmp_path / "run/eval/test.json").read_text())
    assert result["pixels"] == sum(example(k, 2)[1].size for k in (3, 7, 11))
    finished = jaxseg.load(tmp_path / "run")
    image, _ = example(3, 2)
    assert finished.predict(image, pixel_size=0.25).classes.shape == image.shape
    with pytest.raises(errors.DataError, match="give it in micrometres"):
        finished.predict(image)


def test_images_that_do_not_say_their_pixel_size_are_named(config):
    wanted = config.copy_and_resolve_references()
    wanted.data.pixel_size = 0.5
    with pytest.raises(errors.DataError, match="12 of 12 images of train do not say"):
        build.load(wanted, batch_size=8)
