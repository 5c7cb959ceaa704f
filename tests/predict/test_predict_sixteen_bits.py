"""A run of three classes on TIFF files of 16 bits that sees whole images."""

import numpy as np
import pytest
import tifffile
from support import predicting

import jaxseg
from jaxseg import errors
from jaxseg.data.files import images
from jaxseg.experiment import finished_run


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return predicting.shared(tmp_path_factory, three_classes=True)


@pytest.fixture(scope="module")
def predicted(home, tmp_path_factory):
    out = tmp_path_factory.mktemp("sixteen") / "out"
    predicting.predict(home / "run", home / "images", out)
    return out


def test_the_masks_of_the_test_split_are_those_that_were_scored(home, predicted):
    rows = predicting.table(home / "run/eval/test_per_image.csv")
    table = {r["id"]: r for r in predicting.table(predicted / "predictions.csv")}
    assert len(rows) == len(table) == 12
    assert finished_run.load(home / "run").parts.view.fit == "stretch"
    for row in rows:
        mask = images.read_mask(predicted / f"masks/{row['id']}.png")
        truth = images.read_mask(home / f"data/masks/{row['id']}.png")
        hits = sum(int(((mask == c) & (truth == c)).sum()) for c in (1, 2))
        assert hits == int(row["tp"])
        assert int(((mask == 0) & (truth == 0)).sum()) == int(row["tn"])
        for c in (1, 2):
            pixels = int((mask == c).sum())
            assert int(row[f"predicted_pixels/class_{c}"]) == pixels
            assert int(table[row["id"]][f"area_px/class_{c}"]) == pixels
        assert float(table[row["id"]]["score"]) == pytest.approx(
            float(row["max_probability"]), abs=1e-7
        )


def test_one_page_of_several_is_chosen(home, predicted, tmp_path):
    (name, path), (other, second), *_ = predicting.test_files(home / "data").items()
    both = np.stack([tifffile.imread(path), tifffile.imread(second)] * 5)
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, both, photometric="minisblack")
    run = home / "run"
    outcome = predicting.predict(run, stack, tmp_path / "none")
    assert "it is a stack, axes" in outcome.problems["stack"]
    outcome = predicting.predict(run, stack, tmp_path / "beyond", page=10)
    assert "it has 10 page(s), counted from 0" in outcome.problems["stack"]
    predicting.predict(run, stack, tmp_path / "one", page=1)
    got = images.read_mask(tmp_path / "one/masks/stack.png")
    want = images.read_mask(predicted / f"masks/{other}.png")
    np.testing.assert_array_equal(got, want)
    assert (got != images.read_mask(predicted / f"masks/{name}.png")).any()


def test_tiles_and_large_images_need_a_run_at_native_scale(home, tmp_path):
    path = next(iter(predicting.test_files(home / "data").values()))
    with pytest.raises(errors.ConfigError, match="need a run at native scale"):
        predicting.predict(home / "run", path, tmp_path / "a", tile=(16, 16))
    with pytest.raises(errors.ConfigError, match="sees whole images, brought to 32x32"):
        jaxseg.load(home / "run").predict(np.zeros((9, 9), np.uint16), tile=(16, 16))
    with pytest.raises(errors.ConfigError, match="this run sees whole images, or"):
        jaxseg.load(home / "run").predict(np.zeros((9, 9), np.uint16), exact=True)
    outcome = predicting.predict(home / "run", path, tmp_path / "b", max_pixels=100)
    assert "the run sees whole images, not tiles" in outcome.problems[path.stem]
