"""Makes the mesh ("data", "fsdp"), and shards arrays over it by their shapes.

Batches are split over both axes. A parameter is split over "fsdp" along its largest
divisible axis, when it is large enough to be worth it (ZeRO-3; Rajbhandari et al.,
2020, https://arxiv.org/abs/1910.02054).
"""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxseg.errors import ConfigError

_MIN_SIZE = 2**14  # parameters smaller than this are cheaper to keep everywhere


def make_mesh(*, data: int, fsdp: int) -> Mesh:
    """The mesh over all devices; `data` 0 means all that `fsdp` leaves.

    Axes are Auto: under Explicit axes, convolutions and windows need annotations.
    """
    count = jax.device_count()
    if fsdp < 1 or data < 0 or (data or count // fsdp) * fsdp != count:
        raise ConfigError(
            f"config.mesh is data={data} x fsdp={fsdp}, but this run has {count} "
            f"device(s); the product must be {count}, or data=0 for all that is left."
        )
    shape = (data or count // fsdp, fsdp)
    return jax.make_mesh(shape, ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch: examples are spread over every device."""
    return NamedSharding(mesh, P(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that is the same on every device."""
    return NamedSharding(mesh, P())


def state_sharding(shapes: Any, mesh: Mesh) -> Any:
    """A sharding for every array of a tree of shapes (from `jax.eval_shape`)."""
    fsdp = mesh.shape["fsdp"]

    def one(leaf) -> NamedSharding:
        axes = [a for a, n in enumerate(leaf.shape) if n % fsdp == 0]
        if fsdp == 1 or leaf.size < _MIN_SIZE or not axes:
            return replicated(mesh)
        axis = max(axes, key=lambda a: leaf.shape[a])
        return NamedSharding(mesh, P(*[None] * axis, "fsdp"))

    return jax.tree.map(one, shapes)


def put(batch: Any, mesh: Mesh) -> Any:
    """The global batch on the mesh, from this process's part of it."""
    sharding = batch_sharding(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, x), batch
    )


def local_rows(array: jax.Array) -> Iterable[np.ndarray]:
    """This process's rows of an array that is split along its first axis, in order.

    Copies that replicated axes make are passed over.
    """
    shards = {s.index[0].start or 0: s for s in array.addressable_shards}
    for start in sorted(shards):
        yield np.asarray(shards[start].data)


def any_process(flag: bool) -> bool:
    """Whether the flag is set on any process; every process must ask."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def gather(arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The dicts of all processes, in order of process; every process gets the list.

    Bytes travel, so that 64-bit integers stay exact. Arrays may differ in length along
    axis 0 between processes, in nothing else.
    """
    if jax.process_count() == 1:
        return [arrays]
    lengths = np.array([len(a) for a in arrays.values()], np.int32)
    lengths = np.asarray(multihost_utils.process_allgather(lengths))
    out = [{} for _ in range(jax.process_count())]
    for k, (name, array) in enumerate(arrays.items()):
        row = int(np.prod(array.shape[1:], dtype=np.int64)) * array.dtype.itemsize
        buffer = np.zeros(max(1, int(lengths[:, k].max()) * row), np.uint8)
        buffer[: array.nbytes] = np.ascontiguousarray(array).view(np.uint8).ravel()
        every = np.asarray(multihost_utils.process_allgather(buffer))
        for p, part in enumerate(every):
            n = int(lengths[p, k])
            rows = part[: n * row].copy().view(array.dtype)
            out[p][name] = rows.reshape((n, *array.shape[1:]))
    return out
