"""Unrolled convolutions equal those that vmap makes, and so do their gradients."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import programs

from jaxseg.sweep import vmap_convolution

MEMBERS = 3
NUMBERS = ("NHWC", "HWIO", "NHWC")
CASES = {
    "plain": {"padding": "SAME"},
    "strided": {"padding": "SAME", "window_strides": (2, 2)},
    "valid": {"padding": "VALID", "window_strides": (1, 2)},
    "explicit": {"padding": [(2, 0), (1, 3)]},
    "dilated": {"padding": "SAME", "rhs_dilation": (2, 1)},
    "input dilated": {"padding": ((2, 2), (1, 1)), "lhs_dilation": (2, 2)},
    "groups": {"padding": "SAME", "feature_group_count": 2},
    "depthwise": {"padding": ((1, 1), (1, 1)), "feature_group_count": 4},
}
OWN = {"both": (0, 0), "shared kernel": (0, None), "shared input": (None, 0)}


def arrays(own, groups=1, seed=0):
    """(images [m b h w 4], kernels [m 3 3 i 4]); without m where they are shared."""
    rng = np.random.default_rng(seed)
    shapes = ((2, 7, 6, 4), (3, 3, 4 // groups, 4))
    lead = [(MEMBERS,) if axis == 0 else () for axis in own]
    return [
        jnp.asarray(rng.normal(size=(*first, *shape)), jnp.float32)
        for first, shape in zip(lead, shapes, strict=True)
    ]


def convs(options):
    """(lax.conv_general_dilated, ours), both of (images, kernels) alone."""
    options = {"window_strides": (1, 1), "dimension_numbers": NUMBERS, **options}
    fns = (jax.lax.conv_general_dilated, vmap_convolution.conv)
    return [functools.partial(fn, **options) for fn in fns]


def everything(conv, own, lhs, rhs):
    """Values of all members, and gradients of a sum over them, in one program."""

    def loss(lhs, rhs):
        out = jax.vmap(conv, in_axes=own)(lhs, rhs)
        factor = jnp.arange(out.size, dtype=jnp.float32).reshape(out.shape) / out.size
        return jnp.sum(jnp.sin(out) * factor), out

    grads, out = jax.grad(loss, argnums=(0, 1), has_aux=True)(lhs, rhs)
    return out, *grads


@pytest.mark.parametrize(
    "case,shared",
    [
        *((case, "both") for case in CASES),
        *((case, one) for case in ("strided", "groups") for one in list(OWN)[1:]),
    ],
)
def test_values_and_gradients_are_those_of_vmap(case, shared):
    options, own = CASES[case], OWN[shared]
    lhs, rhs = arrays(own, options.get("feature_group_count", 1))
    plain, ours = (
        jax.jit(functools.partial(everything, fn, own)) for fn in convs(options)
    )
    for want, got in zip(plain(lhs, rhs), ours(lhs, rhs), strict=True):
        assert want.shape == got.shape and want.dtype == got.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
        assert float(jnp.abs(want).max()) > 0.1


def test_gradients_of_each_member_as_in_a_step():
    lhs, rhs = arrays((None, 0))
    found = []
    for conv in convs(CASES["plain"]):

        def one(rhs, conv=conv):
            return jnp.sum(conv(lhs, rhs) ** 2)

        found.append(jax.jit(jax.vmap(jax.value_and_grad(one)))(rhs))
    for want, got in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-3)


def test_without_vmap_and_with_two():
    (lhs, rhs), (plain, ours) = arrays((0, 0)), convs(CASES["strided"])
    want = plain(lhs[0], rhs[0])
    np.testing.assert_allclose(ours(lhs[0], rhs[0]), want, rtol=1e-5, atol=1e-5)
    for fn in (plain, ours):
        twice = jax.vmap(jax.vmap(fn, in_axes=(None, 0)), in_axes=(0, None))
        found = jax.jit(twice)(lhs, rhs)
        assert found.shape[:2] == (MEMBERS, MEMBERS)
        want, got = (found, want) if fn is plain else (want, found)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_no_member_is_made_into_a_group():
    lhs, rhs = arrays((0, 0))
    plain, ours = convs(CASES["plain"])
    grouped, alone = (
        programs.convolutions(jax.vmap(fn), lhs, rhs) for fn in (plain, ours)
    )
    assert grouped == [MEMBERS] and alone == [1] * MEMBERS


def test_half_precision_stays():
    lhs, rhs = (x.astype(jnp.bfloat16) for x in arrays((0, 0)))
    plain, ours = (
        jax.jit(functools.partial(everything, fn, (0, 0)))
        for fn in convs(CASES["plain"])
    )
    for want, got in zip(plain(lhs, rhs), ours(lhs, rhs), strict=True):
        assert want.dtype == got.dtype == jnp.bfloat16
        scale = float(jnp.abs(want).max())
        error = jnp.abs(want.astype(jnp.float32) - got.astype(jnp.float32))
        assert float(error.max()) <= 0.02 * scale  # two roundings of 2^-8


class Net(nn.Module):
    """Convolutions of the kinds that models use."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (3, 3), strides=2)(x)
        x = nn.Conv(4, (3, 3), feature_group_count=4, padding=((1, 1), (1, 1)))(x)
        x = nn.ConvTranspose(3, (2, 2), strides=(2, 2))(x)
        return nn.Conv(2, (1, 1), use_bias=False)(x)


def test_a_module_is_unrolled_inside_the_context_only():
    image = arrays((None, None))[0]
    params = jax.vmap(lambda key: Net().init(key, image))(
        jax.random.split(jax.random.key(0), MEMBERS)
    )

    def step(unroll):
        """A new function each time: what JAX traced before, it does not trace again."""

        def loss(params):
            if not unroll:
                return jnp.sum(Net().apply(params, image) ** 2)
            with nn.intercept_methods(vmap_convolution.in_training):
                return jnp.sum(Net().apply(params, image) ** 2)

        return jax.vmap(jax.value_and_grad(loss))

    plain, inside, again = (
        len(programs.convolutions(step(unroll), params))
        for unroll in (False, True, False)
    )
    # forward, to the kernel, and to the input of all but the first; ours has that too
    # (nobody reads it, so XLA drops it), and of each of the three as many as members
    assert plain == again == 4 + 4 + 3
    assert inside == 3 * 3 * MEMBERS + 3
    want, got = (jax.jit(step(unroll))(params) for unroll in (False, True))
    for a, b in zip(*map(jax.tree.leaves, (want, got)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
