"""Masks of another tool are scored like a run, and stand beside runs in a table."""

import dataclasses
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image
from sklearn import metrics
from support import older_runs

from jaxseg.data import mask_folder, prepared
from jaxseg.data.datasets import image_folder
from jaxseg.data.files import orientation
from jaxseg.errors import ConfigError, DataError
from jaxseg.evaluation import agreement
from jaxseg.experiment import score_masks
from jaxseg.report.comparison import build as comparison
from jaxseg.report.comparison import claims, group_runs
from jaxseg.report.run import build
from jaxseg.run_directory import files, seal


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished run, its prepared images, and masks moved by a row."""
    folder = older_runs.unpack(tmp_path_factory.mktemp("masks"))
    image_folder.prepare(folder / "my_images", folder / "data", progress=False)
    (folder / "tool").mkdir()
    for path in (folder / "my_images/masks").iterdir():
        moved = np.roll(np.asarray(Image.open(path)), 1, axis=0)
        Image.fromarray(moved).save(folder / "tool" / path.name)
    return folder


@pytest.fixture(scope="module")
def scored(place):
    score_masks.score_masks(
        place / "tool", place / "data", name="nnunet", output=place / "nnunet"
    )
    return place / "nnunet"


def _split(place):
    return prepared.open_split(next((place / "data/image_folder").iterdir()), "test")


def _truth_and_tool(place):
    """Every pixel of the test split: in the data, and of the tool."""
    split = _split(place)
    masks = mask_folder.MaskFolder(place / "tool", split)
    pairs = [(split[i]["mask"].ravel(), masks[i].ravel()) for i in range(len(split))]
    return [np.concatenate(side) for side in zip(*pairs, strict=True)]


def test_masks_are_scored_by_their_pixels_alone(place, scored):
    truth, tool = _truth_and_tool(place)
    result = files.read_json(scored / "eval/test.json")
    rows = {(r["name"], r["class"]): r for r in result["metrics"]}
    dice = rows["dice_pooled", "foreground"]
    assert dice["value"] == pytest.approx(metrics.f1_score(truth, tool))
    assert dice["low"] is not None and result["surface"]
    assert result["operating_point"] is None and result["curves"] == {}
    assert not (scored / "eval/test_pr.csv").exists()
    assert any((scored / "eval/test_examples").iterdir())
    (row,) = result["agreement"]["classes"]
    assert row["kappa"] == pytest.approx(metrics.cohen_kappa_score(truth, tool))
    assert row["objects"] == row["other_objects"] > 0
    seal.check(scored, seal.read(scored))


def test_a_comparison_tests_masks_and_runs_on_the_same_images(place, scored):
    written = comparison.build([scored, place / "finished"], place / "report")
    text = written["markdown"].read_text()
    assert "All runs were judged on the same 3 images of test" in text
    assert "nnunet \u2212 finished" in text or "finished \u2212 nnunet" in text
    assert "Agreement with the masks of the data" in text and "Cohen's kappa" in text
    units = group_runs.units([scored, place / "finished"])
    told = " ".join(claim["text"] for claim in claims.equal_means(units))
    assert "trained on the same" not in told  # of one run alone, or of masks


def test_masks_are_no_run_and_are_not_scored_twice(place, scored):
    with pytest.raises(ConfigError, match="holds scores of masks and no run"):
        build.build(scored)
    with pytest.raises(ConfigError, match="is there already"):
        score_masks.score_masks(
            place / "tool", place / "data", name="nnunet", output=scored
        )


def test_everything_wrong_with_a_folder_of_masks_is_said_at_once(place, tmp_path):
    bad = shutil.copytree(place / "tool", tmp_path / "bad")
    names = _split(place).ids
    (bad / f"{names[0]}.png").unlink()
    Image.fromarray(np.zeros((5, 4), np.uint8)).save(bad / f"{names[1]}.png")
    odd = np.zeros(_split(place).sizes[2], np.uint8)
    odd[0, 0] = 7
    Image.fromarray(odd).save(bad / f"{names[2]}.png")
    with pytest.raises(DataError, match="3 problem") as told:
        mask_folder.MaskFolder(bad, _split(place))
    for words in ("1 of 3 images of test have no mask", "5x4 pixels", "holds [7]"):
        assert words in str(told.value)


def _turned(path, array, tag):
    """A TIFF with an orientation tag; 0 writes none."""
    tags = [(orientation.TAG, "H", 1, tag, True)] if tag else []
    tifffile.imwrite(path, array, photometric="minisblack", extratags=tags)


@pytest.fixture(params=[(40, 40), (40, 48)], ids=["square", "wide"])
def half_tagged(request, tmp_path):
    """(size, prepared images and masks of which im0 to im4 have the orientation 6)."""
    size = request.param
    for folder in ("set/images", "set/masks", "tool"):
        (tmp_path / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(12):
        image, mask = rng.integers(0, 255, size, np.uint8), np.zeros(size, np.uint8)
        mask[5 : 15 + k, 4:20] = 1
        for name, array in (("images", image), ("masks", mask)):
            _turned(tmp_path / f"set/{name}/im{k}.tif", array, 6 * (k < 5))
    return size, image_folder.prepare(tmp_path / "set", tmp_path, progress=False)


TAGS = [6, 0, 3]  # of the masks of a tool


@pytest.mark.parametrize("tag", TAGS)
def test_masks_turned_by_a_tag_are_checked_as_those_of_the_data(
    half_tagged, tmp_path, tag
):
    size, directory = half_tagged
    split = prepared.open_split(directory, "train")
    tagged = np.array([int(name[2:]) < 5 for name in split.ids])
    assert 0 < tagged.sum() < len(split)
    assert [each == 6 for each in split.orientations] == tagged.tolist()
    rng, drawn = np.random.default_rng(0), []
    for name, upright in zip(split.ids, split.sizes, strict=True):
        drawn.append(rng.integers(0, 2, upright, np.uint8))
        stored = orientation.turned_back(drawn[-1], tag or 1)
        _turned(tmp_path / f"tool/{name}.tif", np.ascontiguousarray(stored), tag)
    square = size[0] == size[1]
    right = {6: tagged, 0: ~tagged, 3: tagged & False}[tag] | (tag != 3 and not square)
    forgotten = dataclasses.replace(split, orientations=None)
    for images, passes, words in (
        (split, right, f"has the orientation .*, but .*.tif has {tag or 1}, so it can"),
        (
            forgotten,
            np.full(len(split), tag == 0 or (tag == 6 and not square)),
            f".tif has the orientation {tag} .* was prepared without its own",
        ),
    ):
        if passes.all():
            masks = mask_folder.MaskFolder(tmp_path / "tool", images)
            for k, expected in enumerate(drawn):
                np.testing.assert_array_equal(masks[k], expected)
            continue
        with pytest.raises(DataError, match=words) as told:
            mask_folder.MaskFolder(tmp_path / "tool", images)
        assert f"{(~passes).sum()} problem(s)" in str(told.value)


def test_agreement_counts_objects_of_each_class_and_forgets_unlabelled_pixels():
    class Split:
        classes = ("background", "a", "b")

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return {"mask": truth}

    truth, other = np.zeros((2, 12, 12), np.uint8)
    truth[1:4, 1:4], other[1:4, 1:4] = 1, 1  # the same
    truth[6:9, 1:4], other[6:9, 1:4] = 1, 2  # of another class
    other[10, 8:10] = 2  # where nothing is
    truth[11], other[11, 5] = 255, 1
    confusion = np.zeros((3, 3), np.int64)
    keep = truth != 255
    np.add.at(confusion, (truth[keep], other[keep]), 1)
    a, b = agreement.assemble(Split(), [other], confusion)["classes"]
    keys = ("objects", "other_objects", "matched_objects")
    assert [a[key] for key in keys] == [2, 1, 1]
    assert [b[key] for key in keys] == [0, 2, 0]
    assert a["dice"] == pytest.approx(2 * 9 / 27) and b["dice"] == 0
    wanted = metrics.cohen_kappa_score(truth[keep] == 1, other[keep] == 1)
    assert a["kappa"] == pytest.approx(wanted) and b["object_f1"] == 0
