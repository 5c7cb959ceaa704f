"""How much tiles and one piece differ is said, for networks that see everything."""

import functools

import flax.linen as nn
import pytest
import tifffile
from support import predicting

from jaxseg.data.files import images
from jaxseg.experiment import finished_run
from jaxseg.inference import forward
from jaxseg.predict import seam


class Global(nn.Module):
    """`support.tiny`, of which each pixel sees the mean of all."""

    num_classes: int = 2
    widest: int = 10**9  # pixels that it takes

    @nn.compact
    def __call__(self, image, *, train):
        if image.shape[2] > self.widest:
            raise ValueError("too wide for this network")
        x = nn.relu(nn.BatchNorm(not train)(nn.Conv(8, (3, 3))(image)))
        x = x - x.mean((1, 2), keepdims=True)
        return {"logits": nn.Conv(self.num_classes, (1, 1), name="head")(x)}


@pytest.fixture
def change(tmp_path_factory, monkeypatch):
    """Gives the shared run this network."""
    run = finished_run.load(predicting.shared(tmp_path_factory) / "run")

    def change(model):
        parts = run.parts._replace(model=model)
        settings = {"model": model, "normalise": parts.normalise}
        predict = functools.partial(forward.predict, **settings)
        out = run._replace(parts=parts, forward=predict, maps=predict)
        monkeypatch.setattr(finished_run, "load", lambda _: out)
        return out

    return change


def _source(folder):
    """One image of one tile, and two larger ones."""
    folder.mkdir()
    for name, size in (("a", (20, 24)), ("b", (70, 50)), ("c", (64, 40))):
        tifffile.imwrite(folder / f"{name}.tif", predicting.example(2, size=size)[0])
    return folder


@pytest.mark.parametrize("side, most", [(1024, 10**6), (40, 10**6), (40, 100)])
def test_it_is_what_tiles_and_one_piece_of_an_image_differ_by(
    side, most, change, tmp_path, monkeypatch
):
    run, source = change(Global()), _source(tmp_path / "in")
    monkeypatch.setattr(seam, "SIDE", side)
    ask = {"max_pixels": most, "formats": ("tif",), "overlays": False}
    outcome = predicting.predict("run", source, tmp_path / "out", **ask)
    pixels = images.read_image(source / "b.tif")
    if side == 40:
        pixels = pixels[15:55, 5:45]
    by_tiles = run.predict(pixels).probability
    whole = run.predict(pixels, tile=pixels.shape[:2]).probability
    got = outcome.at_seams
    assert (got.name, got.size, got.tile) == ("b", pixels.shape[:2], (32, 32))
    assert got.largest == pytest.approx(abs(by_tiles - whole).max(), abs=1e-5)
    assert got.mean == pytest.approx(abs(by_tiles - whole).mean(), abs=1e-6)
    assert got.largest > 0.01
    words = (
        "tiles of 32x32 and one piece of {}x{} of b differ by {:.4f} at most, {:.4f}"
    )
    assert words.format(*got.size, got.largest, got.mean) in seam.line(got)
    again = predicting.predict("run", source, tmp_path / "out", **ask)
    assert again.skipped == 3 and again.at_seams is None


def test_nothing_is_said_of_convolutions_or_of_what_cannot_be_measured(
    change, tmp_path, tmp_path_factory, caplog
):
    source, home = _source(tmp_path / "in"), predicting.shared(tmp_path_factory)
    usual = predicting.predict(home / "run", source, tmp_path / "a")
    assert len(usual.fresh) == 3 and usual.at_seams is None
    change(Global(widest=32))
    narrow = predicting.predict("run", source, tmp_path / "b")
    assert narrow.at_seams is None and not narrow.problems
    assert "could not be measured (ValueError: too wide for this" in caplog.text
    change(Global())
    one = predicting.predict("run", source / "a.tif", tmp_path / "c")
    assert one.at_seams is None  # a single tile
