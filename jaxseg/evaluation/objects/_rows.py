"""Gathers what each process measured of its images, one row an image."""

from collections.abc import Iterable, Mapping

import numpy as np

from jaxseg.devices import sharding

Row = Mapping[str, np.ndarray]


def gather(rows: Iterable[Row], empty: Row) -> dict[str, np.ndarray]:
    """The rows of all processes, stacked by name and in the order of their "index".

    `empty` has the same names, with no row: what a process without an image adds.
    """
    rows = [*rows]
    own = {n: np.stack([r[n] for r in rows]) if rows else empty[n] for n in empty}
    parts = sharding.gather(own)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in own}
    order = np.argsort(whole["index"], kind="stable")
    return {name: values[order] for name, values in whole.items()}


def gather_lists(rows: Iterable[tuple[int, np.ndarray]]) -> dict[int, np.ndarray]:
    """{index: values} of all processes, of arrays that differ in length, as f64."""
    rows = [*rows]
    own = {
        "index": np.array([index for index, _ in rows], np.int64),
        "length": np.array([len(values) for _, values in rows], np.int64),
        "values": np.concatenate([np.zeros(0), *(values for _, values in rows)]),
    }
    out: dict[int, np.ndarray] = {}
    for part in sharding.gather(own):
        ends = np.cumsum(part["length"])
        pieces = np.split(part["values"], ends[:-1]) if len(ends) else []
        out |= dict(zip(part["index"].tolist(), pieces, strict=True))
    return out
