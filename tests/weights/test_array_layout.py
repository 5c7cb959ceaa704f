"""Arrays turned and adapted by the stated rules; turned back, they are the same."""

import numpy as np
import pytest

from jaxseg.weights import array_layout

STEM = "params/encoder/conv1/kernel"
PATCH = "params/backbone/patch_embed/kernel"
TABLE = "params/backbone/stage1_block0/attention/bias_table"
HEAD = "params/classifier/kernel"


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    "path, torch_shapes, shape",
    [
        (STEM, [(5, 3, 7, 7)], (7, 7, 3, 5)),
        ("params/encoder/blocks_0/depthwise_conv/kernel", [(6, 1, 3, 3)], (3, 3, 1, 6)),
        ("params/decode_head/lateral0/conv/kernel", [(5, 4, 1, 1)], (4, 5)),
        (HEAD, [(5, 4, 1, 1)], (4, 5)),
        ("params/encoder/layer2_0/downsample_0/kernel", [(5, 4, 1, 1)], (4, 5)),
        (PATCH, [(5, 3, 4, 4)], (48, 5)),
        (TABLE, [(49, 2)], (7, 7, 2)),
        ("params/backbone/stage1_block0/mlp_in/kernel", [(5, 4)], (4, 5)),
        ("params/backbone/stage1_block0/attention/qkv/kernel", [(4, 4)] * 3, (4, 12)),
        ("params/backbone/stage1_block0/attention/qkv/bias", [(4,)] * 3, (12,)),
        ("params/fc/kernel", [(5, 4)], (4, 5)),
    ],
)
def test_layouts_are_turned_and_turned_back(path, torch_shapes, shape):
    arrays = [noise(*s) + i for i, s in enumerate(torch_shapes)]
    ours = array_layout.to_ours(arrays, path, len(shape))
    assert ours.shape == shape
    back = array_layout.to_torch(ours, path, len(arrays))
    for a, b in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(b.flags.c_contiguous for b in back)


def patches(kernel, image):
    """The stem's answer at the top left corner of the image [h, w, c]."""
    return np.einsum("yxcf,yxc->f", kernel, image[: len(kernel), : len(kernel)])


@pytest.mark.parametrize("path", [STEM, PATCH])
def test_a_grey_image_answers_as_its_copy_in_three_channels(path):
    kernel, grey = noise(4, 4, 3, 5), noise(4, 4, 1)
    if path == PATCH:
        fit = array_layout.fit(kernel.reshape(-1, 5), (16, 5), path)
    else:
        fit = array_layout.fit(kernel, (4, 4, 1, 5), path)
    assert fit.kind == "adapted" and fit.why == "3 input channels to 1: summed"
    want = patches(kernel, np.repeat(grey, 3, -1))
    got = patches(fit.value.reshape(4, 4, 1, 5), grey)
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("has, wants", [(3, 2), (3, 4), (1, 3), (2, 4), (4, 3)])
def test_more_channels_get_copies_in_turn(has, wants):
    kernel = noise(3, 3, has, 2)
    got = array_layout.fit(kernel, (3, 3, wants, 2), STEM)
    assert (
        got.why
        == f"{has} input channels to {wants}: copied in turn, times {has}/{wants}"
    )
    for i in range(wants):
        want = kernel[:, :, i % has] * (has / wants)
        np.testing.assert_allclose(got.value[:, :, i], want, rtol=1e-6)
    if wants % has == 0:  # a constant image answers as before
        np.testing.assert_allclose(got.value.sum(2), kernel.sum(2), rtol=1e-5)


def bicubic(position, count):
    """Weights of a cubic through four pixels (Keys, 1981), a = -0.75; edges repeat."""
    weights, a = np.zeros(count), -0.75
    for i in range(int(np.floor(position)) - 1, int(np.floor(position)) + 3):
        d = abs(position - i)
        if d <= 1:
            w = (a + 2) * d**3 - (a + 3) * d**2 + 1
        else:
            w = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        weights[np.clip(i, 0, count - 1)] += w
    return weights


@pytest.mark.parametrize("before, after", [(7, 12), (12, 7), (7, 8)])
def test_a_table_of_another_window_is_resized_by_the_bicubic_formula(before, after):
    old, new = 2 * before - 1, 2 * after - 1
    table = noise(old, old, 6)
    got = array_layout.fit(table, (new, new, 6), TABLE)
    assert got.kind == "adapted"
    assert got.why == f"resized from window {before} to {after}, bicubic"
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    matrix = np.stack([bicubic(c, old) for c in centres])
    want = np.einsum("yh,hwk,xw->yxk", matrix, table, matrix)
    np.testing.assert_allclose(got.value, want, atol=1e-5)


@pytest.mark.parametrize(
    "path, has, wants",
    [
        (STEM, (7, 7, 3, 5), (7, 7, 1, 6)),
        (STEM, (5, 5, 3, 5), (7, 7, 1, 5)),
        (PATCH, (48, 5), (16, 6)),
        (TABLE, (13, 13, 3), (23, 23, 4)),
        (HEAD, (8, 3), (9, 2)),
        ("params/encoder/layer1_0/conv1/kernel", (3, 3, 4, 5), (3, 3, 8, 5)),
        ("params/decode_head/fpn0/conv/kernel", (3, 3, 4, 5), (3, 3, 4, 6)),
        ("params/backbone/patch_norm/bias", (4,), (5,)),
    ],
)
def test_what_no_rule_covers_does_not_fit(path, has, wants):
    assert array_layout.fit(noise(*has), wants, path).kind == ""


def test_only_classifiers_may_differ_in_classes():
    fit = array_layout.fit(noise(8, 3), (8, 2), HEAD)
    assert fit.kind == "re-initialised" and fit.value is None
    assert fit.why == "the file has 3 classes, the model 2"
