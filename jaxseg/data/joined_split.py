"""Images of several stored splits as one split, in an order of its own."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxseg.data import prepared
from jaxseg.labels import Example


@dataclasses.dataclass(frozen=True, eq=False)
class JoinedSplit(prepared.Split):
    """A view of `parts`: nothing is stored for it."""

    parts: Sequence[prepared.Split] = ()
    places: np.ndarray | None = None  # i64 [n, 2]: the part, the position in it

    def __getitem__(self, index: int) -> Example:
        part, position = self.places[int(index)]
        return self.parts[part][int(position)]
