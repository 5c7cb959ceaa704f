"""Writes examples as a TFDS data set, shard by shard and without TensorFlow."""

import contextlib
import os
import pathlib
import shutil
import sys
from typing import Any

import tensorflow_datasets as tfds

from jaxseg.data import records
from jaxseg.data.preparation.convert import Shards
from jaxseg.errors import DataError


class Builder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """A data set as TFDS stores it: the base of each `Builder` in data/datasets/.

    Written shard by shard, since TFDS's own shuffling would need TensorFlow above 1 GB.
    """

    HOMEPAGE: str | None = None
    # TFDS 4.9.10 would look for the source file of the builder (and checksums of
    # downloads beside it) with importlib_resources, which it does not declare.
    code_path = None

    def __init__(
        self,
        *,
        shards: Shards | None = None,
        channels: int = 1,
        dtype: str = "uint8",
        instances: bool = False,
        **kwargs: Any,
    ):
        self._shards = shards
        self._features = records.features(channels, dtype, instances=instances)
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=self._features,
            description=sys.modules[type(self).__module__].__doc__,
            homepage=self.HOMEPAGE,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> Shards:
        if self._shards is None:
            raise DataError(
                f"{self.name} is made from raw files: python -m jaxseg.prepare "
                f"--dataset={self.name} --source=/raw/{self.name} --data_dir=/data"
            )
        return self._shards


def store(kind: type[Builder], part: pathlib.Path, **arguments: Any) -> Builder:
    """The builder of this kind, after it wrote its data set below the folder `part`.

    TFDS's own words and progress bars are kept from the terminal.
    """
    shutil.rmtree(part / "tfds", ignore_errors=True)  # left by a crash
    builder = kind(data_dir=part / "tfds", **arguments)
    tfds.disable_progress_bar()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        builder.download_and_prepare()
    return builder
