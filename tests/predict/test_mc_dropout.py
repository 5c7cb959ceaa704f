"""Passes with dropout: their mean by hand, and the same bytes however it comes."""

import json

import flax.linen as nn
import jax
import numpy as np
import pytest
import tifffile
from ml_collections import ConfigDict
from support import predicting

from jaxseg import errors, types
from jaxseg.data.files import images
from jaxseg.experiment import finished_run
from jaxseg.predict import mc_dropout


class Dropping(nn.Module):
    """`support.tiny` with dropout behind its first layer; `always` leaves it on."""

    num_classes: int = 2
    rate: float = 0.4
    always: bool = False

    @nn.compact
    def __call__(self, image, *, train):
        x = nn.relu(nn.BatchNorm(not train)(nn.Conv(8, (3, 3))(image)))
        x = nn.Dropout(self.rate, deterministic=not (train or self.always))(x)
        return {"logits": nn.Conv(self.num_classes, (1, 1), name="head")(x)}


@pytest.fixture
def home(tmp_path_factory, monkeypatch):
    """The shared folder of predictions, whose run has the network of above."""
    home = predicting.shared(tmp_path_factory)
    load = finished_run.load

    def changed(workdir):
        run = load(home / "run")
        factor = 1.1 if str(workdir).endswith("other") else 1.0
        variables = jax.tree.map(lambda a: a * np.float32(factor), run.variables)
        parts = run.parts._replace(model=Dropping())
        return run._replace(parts=parts, variables=variables)

    monkeypatch.setattr(finished_run, "load", changed)
    return home


def _by_hand(run, image, passes):
    """The mean over these passes of one image; flax draws the masks."""
    model, out = run.parts.model.clone(always=True), []
    pixels = run.parts.normalise(types.unit_interval(jax.numpy.asarray(image[None])))
    for number in range(passes):
        rngs = {"dropout": jax.random.fold_in(jax.random.key(0), number)}
        logits = model.apply(run.variables, pixels, train=False, rngs=rngs)["logits"]
        out.append(np.asarray(jax.nn.softmax(logits, -1))[0])
    return np.mean(out, 0), out


def _probability(output, name):
    return np.moveaxis(tifffile.imread(output / f"probabilities/{name}.tif"), 0, -1)


def test_it_is_the_mean_over_passes_flips_and_members(home, tmp_path):
    image = predicting.example(0, size=(32, 32))[0]  # one tile
    source = predicting.write(tmp_path / "square.png", image)
    stored = images.read_image(source)
    runs, want = (home / "run", home / "other"), []
    for run in map(finished_run.load, runs):
        for axes in ((), (0,), (1,), (0, 1)):
            seen = np.flip(stored, axes) if axes else stored
            mean, each = _by_hand(run, seen, 3)
            assert abs(each[0] - each[1]).max() > 0.01
            want.append(np.flip(mean, axes) if axes else mean)
    asked = {"augmentation": "flips", "mc_dropout": 3, "probabilities": True}
    predicting.predict(runs, source, tmp_path / "out", **asked)
    got = _probability(tmp_path / "out", "square")
    np.testing.assert_allclose(got, np.mean(want, 0), atol=2e-6)
    assert abs(got - want[0]).max() > 0.01


def test_the_same_bytes_after_a_stop_and_by_rows(home, tmp_path):
    few = predicting.one_of_each_kind(home, tmp_path / "few")
    tifffile.imwrite(few / "tall.tif", predicting.example(3, size=(90, 40))[0])
    ask = {"mc_dropout": 2, "formats": ("tif",), "overlays": False}
    ask["probabilities"] = True
    predicting.predict(home / "run", few, tmp_path / "a", **ask)
    before = predicting.contents(tmp_path / "a")
    assert json.loads(before["predict.json"])["mc_dropout"] == 2
    for path in sorted((tmp_path / "a/masks").iterdir())[::2]:
        path.unlink()
    predicting.predict(home / "run", few, tmp_path / "a", **ask)
    assert predicting.contents(tmp_path / "a") == before
    # nor does it matter what lies beside a tile, or where the rows come from
    tall = few / "tall.tif"
    predicting.predict(home / "run", tall, tmp_path / "b", max_pixels=100, **ask)
    for name in ("masks/tall.tif", "probabilities/tall.tif"):
        one, other = (tifffile.imread(tmp_path / out / name) for out in "ab")
        np.testing.assert_array_equal(one, other)
    predicting.predict(home / "run", tall, tmp_path / "off", **ask | {"mc_dropout": 0})
    assert "mc_dropout" not in json.loads((tmp_path / "off/predict.json").read_text())
    difference = _probability(tmp_path / "off", "tall") - _probability(
        tmp_path / "a", "tall"
    )
    assert abs(difference).max() > 0.01
    with pytest.raises(errors.ConfigError, match="mc_dropout: 2 -> 3"):
        predicting.predict(home / "run", few, tmp_path / "a", **ask | {"mc_dropout": 3})


@pytest.mark.parametrize(
    "rate, passes, exact, words",
    [
        (0.4, 1, False, "--mc_dropout=1: give the number of passes, 2 or more"),
        (0.4, 2, True, "--mc_dropout and --exact exclude each other"),
        (0.0, 2, False, "runs/x, my.net, has no dropout .its rate is 0"),
    ],
)
def test_what_means_nothing_is_refused(home, rate, passes, exact, words):
    run = finished_run.load(home / "run")
    config = ConfigDict({"model": {"name": "my.net"}})
    parts = run.parts._replace(model=Dropping(rate=rate))
    run = run._replace(parts=parts, workdir="runs/x", config=config)
    with pytest.raises(errors.ConfigError, match=words):
        mc_dropout.check(run, passes, exact=exact)
    mc_dropout.check(run, 0, exact=True)
