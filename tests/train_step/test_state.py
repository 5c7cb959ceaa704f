"""How the first state of a training is made."""

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from jaxseg.train_step import state

TRACED = []


class Counted(nn.Module):
    """A model that notes every time it is traced."""

    fields: tuple | list

    @nn.compact
    def __call__(self, x, *, train):
        TRACED.append(train)
        return nn.Conv(2, (3, 3))(x)


@pytest.mark.parametrize("fields, traces", [((1, 2), 1), ([1, 2], 2)])
def test_shapes_and_numbers_come_of_one_trace_where_the_model_has_a_hash(
    fields, traces
):
    mesh = Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("data", "fsdp"))
    init = {"model": Counted(fields), "tx": optax.sgd(0.1)}
    init |= {"image_shape": (8, 8, 1), "ema": True}
    TRACED.clear()
    shapes = state.abstract(mesh, **init)
    first, second = (state.create(seed, shapes, **init) for seed in (0, 1))
    assert len(TRACED) == traces + (traces - 1)  # of a list: each time anew
    assert jax.tree.map(np.shape, first.params) == jax.tree.map(
        lambda leaf: leaf.shape, shapes.params
    )
    kernels = [s.params["Conv_0"]["kernel"] for s in (first, second)]
    assert np.any(kernels[0] != kernels[1])
