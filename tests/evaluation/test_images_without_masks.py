"""A split whose positives have an image label and no mask is scored all the same."""

import functools

import jax
import numpy as np
import pytest
from sklearn import metrics as sklearn
from support import runs, tiny, tiny_decided, toy

from jaxseg.data import pipeline, prepared
from jaxseg.devices import sharding
from jaxseg.evaluation import score_split
from jaxseg.inference import forward, whole_split
from jaxseg.run_directory import files, schemas

NORMALISE = functools.partial(forward.scale, mean=(0.5,), std=(0.25,))


class Weak(prepared.Split):
    """A split without the masks of its positives; one image says nothing at all."""

    def __getitem__(self, index):
        example = super().__getitem__(index)
        if example["label"] > 0 or index == 1:
            example["mask"][:] = 255
        if index == 1:
            example["label"] = -1
        return example


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    strong = toy.split(tmp_path_factory.mktemp("toy"), "validation")
    return Weak(**{name: getattr(strong, name) for name in vars(strong)})


def _scoring(workdir, tolerance):
    model = tiny_decided.Model()
    variables = model.init(jax.random.key(3), tiny.batch(0)["image"] / 255, train=False)
    mesh = sharding.make_mesh(data=0, fsdp=1)
    scorer = whole_split.Scorer(
        forward.make_predict(mesh, model=model, normalise=NORMALISE),
        mesh,
        pipeline.View((20, 16), "stretch", "none", 0, 0),
        per_device_batch=1,
        workers=0,
        timeout=60.0,
        classes=2,
        maps=2,
    )
    return score_split.Scoring(
        workdir, scorer, variables, 3, seed=0, resamples=30, tolerance=tolerance
    )


@pytest.mark.parametrize("tolerance", [None, 2.0])
def test_whole_images_are_scored_and_pixels_are_not(split, tmp_path, tolerance):
    scoring = _scoring(tmp_path, tolerance)
    tally = score_split.tally_split(scoring.scorer, scoring.variables, split)
    frozen = score_split.choose_point(
        tally, split, step=3, objective="dice_pooled", min_areas=(0.0,)
    )
    result = score_split.score_split(scoring, split, frozen)
    labels = np.array([split[i]["label"] for i in range(len(split))])
    positives = int((labels > 0).sum())
    block = result["image_level"]
    assert (block["images"], block["unknown"]) == (11, 1)
    assert block["positives"] == positives >= 2
    assert block["without_mask"] == positives + 1
    score = tally.image_score[labels >= 0]
    auc = sklearn.roc_auc_score(labels[labels >= 0] > 0, score)
    (found,) = [
        m["value"] for m in block["scores"][0]["metrics"] if m["name"] == "roc_auc"
    ]
    assert found == pytest.approx(auc)
    assert result["positive_images"] == 0
    rows = [row for row in result["metrics"] if row["class"] == "square"]
    assert {r["value"] for r in rows if r["name"].startswith("dice_p")} == {None}
    plain = result["post_processing"]["rows"][0]
    assert result["post_processing"]["images"] == 11 - positives
    assert plain["dice_positives"] is None and 0 <= plain["dice_all"] <= 1
    assert ("region_overlap" in result) == (tolerance is not None)
    if tolerance is not None:
        assert result["region_overlap"]["value"] is None
    files.read(tmp_path / "eval/validation.json", schemas.Result)
    assert "validation_per_image.csv" in runs.scores(tmp_path)
