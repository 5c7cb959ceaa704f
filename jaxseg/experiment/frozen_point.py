"""Reads the operating point that validation chose, as its checkpoint seals it."""

import pathlib

import jax
from absl import logging

from jaxseg.errors import DataError
from jaxseg.postprocess import decision
from jaxseg.run_directory import checkpoint, files, manifest, schemas, seal


def read(
    workdir: pathlib.Path, manager: checkpoint.Manager, record: schemas.Record
) -> schemas.OperatingPoint:
    """The content of operating_point.json, which must be what its checkpoint seals.

    Where the file is lost, what was sealed is taken, with a warning. Raises DataError,
    naming what differs, for a file that was changed since, and for values that no
    search can have chosen.
    """
    path = workdir / files.OPERATING_POINT
    sealed, lost = checkpoint.frozen(manager), not path.exists()
    point = _lost(path, sealed, record) if lost else None
    if point is None:
        point = files.read(path, schemas.OperatingPoint)
    num_classes = len(record["dataset"]["classes"])
    decision.check(point["operating_point"], num_classes=num_classes, source=str(path))
    if not sealed:
        logging.info(
            "%s was frozen by an earlier version, without a seal: whether it was "
            "changed since cannot be told.",
            path,
        )
        return point
    if lost:
        logging.warning(
            "%s is missing: what checkpoint %d holds of it is used. The run's own "
            "command, started again, writes it.",
            path,
            point["step"],
        )
        return point
    step = point["step"] if point["step"] in sealed else max(sealed)
    if changes := files.config_diff(sealed[step], point):
        raise DataError(
            f"{path} was changed after validation chose it: "
            f"{'; '.join(changes[:3])}. Write the first value back, as {manifest.NAME} "
            f"of checkpoint {step} holds it."
        )
    return point


def mend(workdir: pathlib.Path, record: schemas.Record) -> None:
    """Writes operating_point.json of a finished run again where it is lost."""
    path = workdir / files.OPERATING_POINT
    if jax.process_index() or path.exists():
        return
    manager = checkpoint.open_manager(path.parent, read_only=True)
    try:
        point = _lost(path, checkpoint.frozen(manager), record)
    finally:
        checkpoint.close(manager)
    if point is not None:
        files.write(path, point, schemas.OperatingPoint)
        logging.warning(
            "%s was missing. It was written again from what checkpoint %d holds.",
            path,
            point["step"],
        )


def _lost(
    path: pathlib.Path,
    sealed: dict[int, schemas.OperatingPoint],
    record: schemas.Record,
) -> schemas.OperatingPoint | None:
    """What the lost file held, by its digest; None for a run of before, without seals.

    A run that went on may have sealed one with each of several checkpoints. Raises
    DataError where none of them is what the finished run wrote.
    """
    if not sealed:
        return None
    name = files.OPERATING_POINT.as_posix()
    noted = name in (record.get("digests") or {})
    points = [
        point
        for point in sealed.values()
        if not noted or seal.is_noted(record, name, files.json_text(point).encode())
    ]
    if len(points) != 1:
        steps = ", ".join(map(str, sorted(sealed)))
        raise DataError(
            f"{path} is missing, and which of checkpoints {steps} holds it cannot be "
            f"told: write {path.name} from the {manifest.NAME} of the one that was "
            'scored, its key "operating_point".'
        )
    return points[0]
