"""Data of 16 bits keep their levels on the way to the model, and older runs eight."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from support import runs, tiny

from jaxseg import errors, types
from jaxseg.config import check
from jaxseg.data import intensity, pipeline, resize
from jaxseg.experiment import from_config
from jaxseg.inference import forward, image
from jaxseg.run_directory import older_configs

SIZE = (48, 64)


def _card(dtype="uint16"):
    sizes = {"min": [96, 128], "max": [96, 128], "distinct": 1}
    names = ["background", "object"]
    return {"dtype": dtype, "channels": 1, "classes": names, "sizes": sizes}


def _example():
    """A 12-bit scene of one broad slope, with a square 3 grey levels above it.

    Two pixels of 0 and 65535 make the range of the file far wider than the scene.
    """
    rows, columns = np.mgrid[:96, :128]
    scene = (200 + 30 * rows + 8 * columns).astype(np.uint16)
    mask = np.zeros(scene.shape, np.uint8)
    mask[40:60, 50:80] = 1
    scene[mask == 1] += 3
    scene[0, 0], scene[0, 1] = 0, 65535
    example = {"image": scene[..., None], "mask": mask, "label": 1}
    return example, (scene - 3 * (mask == 1)).astype(np.uint16)


def _view(bits, mode="percentile", low=0.0, high=100.0):
    return pipeline.View(SIZE, "stretch", mode, low, high, bits=bits)


def _to_the_model(batch):
    """What the network is given of the batch in a step of training."""
    seen = []

    def keep(image):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), image)
        return tiny.normalise(image)

    def run(batch):
        return forward.predict(
            {},
            batch,
            model=SimpleNamespace(apply=lambda v, x, train: {"logits": x + 0 * x}),
            normalise=keep,
        )

    jax.block_until_ready(jax.jit(run)(batch))
    jax.effects_barrier()
    return seen[0]


def test_a_dim_object_and_more_than_256_levels_reach_the_model():
    example, without = _example()
    shown = _view(16)([example], 0)
    assert shown["image"].dtype == np.uint16
    got = _to_the_model({"image": shown["image"][None]})[0, ..., 0]
    assert got.dtype == np.float32 and got.min() >= 0 and got.max() <= 1
    assert len(np.unique(got)) > 256
    plain = _view(16)([{**example, "image": without[..., None]}], 0)["image"]
    inside = shown["mask"] == 1
    raised = got - np.asarray(types.unit_interval(plain))[..., 0]
    # 3 of 65535 levels; averaging rounds each pixel to a level
    assert raised[inside].mean() == pytest.approx(3 / 65535, rel=0.1)
    assert np.abs(raised[~inside]).mean() < 0.5 / 65535
    # with eight bits the file's range leaves the scene 16 levels, and no object
    eight = [
        _view(8)([{**example, "image": x[..., None]}], 0)["image"]
        for x in (example["image"][..., 0], without)
    ]
    assert eight[0].dtype == np.uint8 and len(np.unique(eight[0])) < 64
    assert np.mean(eight[0] != eight[1]) < 0.02


def test_a_prediction_sees_the_levels_that_training_saw():
    example, _ = _example()
    view, seen = _view(16), []

    def maps(batch):
        seen.append(batch)
        return np.full((1, *SIZE, 2), 0.5, np.float32)

    image.predict(
        example["image"], view=view, maps=maps, num_classes=2, operating_point=None
    )
    np.testing.assert_array_equal(seen[0][0], view([example], 0)["image"])


def test_padding_of_a_batch_has_the_type_of_its_images():
    class Split(list):
        card, image_classes = _card(), None

    batches = pipeline.eval_batches(Split([_example()[0]]), _view(16), batch_size=2)
    batch = next(batches)
    batches.close()
    assert batch["image"].dtype == np.uint16 and not batch["image"][1].any()
    assert batch["weight"].tolist() == [1, 0]


@pytest.mark.parametrize("mode", ["percentile", "zscore", "range"])
def test_sixteen_bits_are_the_eight_bits_in_finer_steps(mode):
    pixels = _example()[0]["image"]
    window = {"low": 300, "high": 3000} if mode == "range" else {}
    fine, coarse = (
        intensity.to_levels(pixels, mode=mode, bits=bits, **window) for bits in (16, 8)
    )
    assert fine.dtype == np.uint16 and coarse.dtype == np.uint8
    shares = (
        np.asarray(types.unit_interval(fine)),
        np.asarray(types.unit_interval(coarse)),
    )
    assert np.abs(shares[0] - shares[1]).max() <= 0.5 / 255 + 1e-5
    assert np.abs(intensity.eight_bits(fine).astype(int) - coarse).max() <= 1
    assert fine.max() > 65000
    assert (
        intensity.to_levels(0 * pixels + 7, mode=mode, bits=16, **window) == 0
    ).all()


@pytest.mark.parametrize(
    "wanted, dtype, bits",
    [(0, "uint16", 16), (8, "uint16", 8), (16, "uint16", 16)]
    + [(0, "uint8", 8), (8, "uint8", 8), (16, "uint8", 8)],
)
def test_the_bits_are_those_of_the_data_or_fewer(wanted, dtype, bits):
    config = runs.config("folder", **{"data.intensity.bits": wanted})
    view = from_config.parts(config, _card(dtype)).view
    assert view.bits == bits
    pixels = np.arange(12, dtype=dtype).reshape(3, 4, 1) + 100
    example = {"image": pixels, "mask": np.zeros((3, 4), np.uint8), "label": 0}
    assert view([example], 0)["image"].dtype == f"uint{bits}"


def test_an_older_run_keeps_its_eight_bits():
    config = runs.config("folder")
    with config.unlocked():
        del config.data.intensity.bits
    config = older_configs.complete(config)
    assert config.data.intensity.bits == 8
    assert from_config.parts(config, _card()).view.bits == 8


def test_bits_that_there_are_not():
    config = runs.config("folder", **{"data.intensity.bits": 12, "data.dir": "x"})
    with pytest.raises(errors.ConfigError, match="data.intensity.bits is 12"):
        check.check(config)
    with pytest.raises(errors.ConfigError, match="bits is 12; choose one of"):
        intensity.bits(12, np.uint16)


def test_the_unit_interval_of_eight_bits_is_that_of_older_runs():
    every = np.arange(256, dtype=np.uint8)
    got = jax.jit(types.unit_interval)(every)
    np.testing.assert_array_equal(
        got, jax.jit(lambda x: x.astype("float32") / 255)(every)
    )
    assert float(types.unit_interval(np.uint16([65535]))[0]) == 1.0


def test_resizing_keeps_sixteen_bits():
    wide = _example()[0]["image"]
    fitted, _ = resize.fit(wide, np.zeros(wide.shape[:2], np.uint8), (40, 90), "pad")
    assert fitted.dtype == np.uint16 and len(np.unique(fitted)) > 256
