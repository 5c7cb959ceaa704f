"""A user's own images and masks: a folder, checked as a whole, then prepared once.

    my_images/                    my_images/
      images/a.png ...              train/images/ ...       train/masks/ ...
      masks/a.png ...               validation/images/ ...  validation/masks/ ...
      splits.csv   (optional)       test/images/ ...        test/masks/ ...
      classes.txt  (optional)       classes.txt (optional)

An image and its mask have the same path below `images/` and `masks/`, without suffix;
that path is the id. `splits.csv` has the columns stem, split (train, validation, test,
or unlabelled for an image without a mask) and group (patient or slide, optional).
`classes.txt` names one class a line, background first. Nothing is written there.
"""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping

import tensorflow_datasets as tfds
from absl import logging

from jaxseg.data import intensity
from jaxseg.data.datasets._folder import check
from jaxseg.data.datasets._folder import examples as folder_records
from jaxseg.data.files import images
from jaxseg.data.files.listing import fingerprint, suggestion
from jaxseg.data.preparation import build_once, card, splits
from jaxseg.data.records import features
from jaxseg.errors import ConfigError, DataError

FORMATS = ("auto", *check.FORMATS)


class Builder(tfds.core.ShardBasedBuilder):
    """The data set as TFDS stores it; `prepare` makes it from a folder."""

    name = "image_folder"
    VERSION = tfds.core.Version("1.0.0")

    def __init__(
        self, *, shards: Mapping | None = None, channels=3, dtype="uint8", **kwargs
    ):
        self._shards, self._channels, self._dtype = shards, channels, dtype
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=features(self._channels, self._dtype),
            description=__doc__,
        )

    def _shard_iterators_per_split(self, dl_manager) -> Mapping[str, list[Callable]]:
        if self._shards is None:
            raise DataError(
                "image_folder is made from a folder of images and masks: python -m "
                "jaxseg.prepare --dataset=image_folder --source=my_images "
                "--data_dir=/data"
            )
        return self._shards


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    mask_format: str = "auto",
    allow_unlabelled: bool = False,
    max_pixels: int = images.MAX_PIXELS,
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> pathlib.Path:
    """The directory of the prepared data set: `data_dir`/image_folder/1.0.0-<hash>.

    The hash covers names, sizes and times of the files, and the options, so a changed
    folder is prepared anew and an unchanged one is returned at once. `mask_format` is
    class_ids (255 = unlabelled), binary (0 and 255, or 0 and 1), instances (numbered
    objects, all of them foreground), or auto: one of these for the whole set, logged
    and stored with its reason. `allow_unlabelled` puts images without a mask into
    training as wholly unlabelled. Without given splits they are made: by group, equal
    images together, stratified by foreground, `validation` and `test` shares of the
    images. Raises DataError with all problems of the folder at once, and
    ConfigError for options that cannot be used.
    """
    source, data_dir = pathlib.Path(source), pathlib.Path(data_dir).expanduser()
    if mask_format not in FORMATS:
        raise ConfigError(
            f"mask_format {mask_format!r} is unknown{suggestion(mask_format, FORMATS)}"
            f" Allowed are {list(FORMATS)}."
        )
    if data_dir.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{data_dir} is inside {source}, where nothing is written.")
    shares = splits.shares(validation=validation, test=test)
    options = {"mask_format": mask_format, "allow_unlabelled": allow_unlabelled}
    options |= {"max_pixels": max_pixels, "shares": shares, "seed": seed}
    root = data_dir / Builder.name
    final = root / f"{Builder.VERSION}-{fingerprint(source, options)}"
    if (final / "card.json").is_file():
        return final
    try:
        root.mkdir(parents=True, exist_ok=True)
        part = pathlib.Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=root))
    except OSError as error:
        raise DataError(f"cannot write to {data_dir}: {error.strerror}.") from error
    try:
        built = _build(source, part, options, progress=progress)
        if not final.exists():  # two processes may have prepared it at the same time
            built.rename(final)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return final


def _build(source, part, options, *, progress) -> pathlib.Path:
    reading = {k: options[k] for k in ("mask_format", "allow_unlabelled", "max_pixels")}
    plan = check.examine(source, progress=progress, **reading)
    items, rule, repeated, refused = folder_records.divide(
        plan, shares=options["shares"], seed=options["seed"]
    )
    counts = intensity.no_counts(plan.channels, plan.dtype)
    shards = folder_records.shards(
        plan, items, counts, max_pixels=options["max_pixels"]
    )
    builder = Builder(
        shards=shards, channels=plan.channels, dtype=plan.dtype, data_dir=part
    )
    build_once.download_and_prepare(builder)
    directory = pathlib.Path(builder.data_path)
    columns = [
        [getattr(i, k) for i in items if i.split] for k in ("id", "group", "split")
    ]
    text, digest = splits.table(*columns)
    (directory / "splits.csv").write_text(text)
    extra = {
        "options": options,
        "splits_sha256": digest,
        "mask_format": {"decided": plan.mask_format, "why": plan.why},
        "intensity": intensity.summary(counts),
        "equal_images_in_two_splits": repeated,
    }
    if plan.mask_format == "instances":
        extra["instances"] = folder_records.objects(plan, items)
    made = card.finish(
        builder,
        classes=plan.classes,
        channels=plan.channels,
        source=str(source.resolve()),
        split_rule=rule,
        refused=refused,
        extra=extra,
    )
    for name, split in made["splits"].items():
        if not split["positives"]:
            logging.warning("%s: no image of %s holds any class", source, name)
    return directory
