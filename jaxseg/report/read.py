"""Reads a run directory into plain dictionaries, and names what is missing.

Only JSON, CSV and PNG are read: nothing here imports a model, so a report can be
rebuilt years later, on a machine without an accelerator.
"""

import csv
import json
import math
import os
import pathlib
from typing import Any, TypedDict

from jaxseg.errors import DataError
from jaxseg.run_directory import (
    cost_schemas,
    evidence_schemas,
    files,
    older_configs,
    schemas,
    seal,
)

Row = dict[str, Any]
_TEXT = {"id", "group", "worst_class"}
_ORDER = ("test", "validation")


class Split(TypedDict):
    """What evaluation wrote about one split."""

    name: str
    result: schemas.Result  # eval/<split>.json
    images: list[Row]  # eval/<split>_per_image.csv
    pr: list[Row]  # eval/<split>_pr.csv; [] when there is no pixel curve
    cases: list[dict[str, Any]]  # examples; image, mask, probability are paths
    class_cases: list[dict[str, Any]]  # of classes of images; image, attention: paths


class Run(TypedDict):
    """Everything a report may say, and nothing else."""

    workdir: pathlib.Path
    config: dict[str, Any]  # config.json, without what the run does not use
    info: schemas.Record  # run.json
    history: list[Row]  # a row an epoch, [] of masks; None where a value is undefined
    splits: dict[str, Split]  # test first
    others: dict[str, Split]  # data that the run was not made with, by name
    cost: cost_schemas.Cost | None  # of a prediction, where it was measured


def read(workdir: str | os.PathLike) -> Run:
    """The run under `workdir`; raises DataError naming a missing or broken file."""
    root = pathlib.Path(workdir)
    if not root.is_dir():
        raise DataError(f"{root} is no directory: give the workdir of a run.")
    names = {
        path.stem
        for path in (root / "eval").glob("*.json")
        if not path.stem.endswith("_examples") and path.name != files.COST.name
    }
    record = seal.read(root)
    if not names:
        raise DataError(
            f"{root / 'eval'} has no <split>.json, and {root / 'run.json'} says that "
            f"the run is {record.get('status')}: run jaxseg.evaluate --run={root}, or "
            "start its command again where it is not finished."
        )
    first = [name for name in _ORDER if name in names]
    seal.check(root, record)
    no_run = "masks" in record
    config = files.read_json(root / files.CONFIG) if no_run else None
    read_splits = {n: _split(root, n) for n in first + sorted(names - set(first))}
    others = {n: s for n, s in read_splits.items() if "other_data" in s["result"]}
    return Run(
        workdir=root,
        config=_config(root / files.CONFIG) if config is None else config,
        info=record,
        history=[] if no_run else _history(root / files.HISTORY),
        splits={n: s for n, s in read_splits.items() if n not in others},
        others=others,
        cost=_cost(root / files.COST),
    )


def of_masks(run: Run) -> bool:
    """Whether masks of another tool or person stand here, and nothing was trained."""
    return "masks" in run["info"]


def _history(path: pathlib.Path) -> list[Row]:
    if not path.exists():
        raise DataError(
            f"{path} is missing: start the run's own command again, which writes it "
            "from the checkpoint."
        )
    history = _rows(path, sorted(schemas.HistoryRow.__required_keys__))
    if not history:
        raise DataError(f"{path} has no rows: train an epoch first.")
    if any(row["epoch"] is None for row in history):
        raise DataError(f"{path} has a row without an epoch.")
    return history


def _config(path: pathlib.Path) -> dict[str, Any]:
    """What the run depends on; older runs of the same recipe are equal here."""
    config = older_configs.effective(files.read(path, schemas.ConfigBlocks))
    return json.loads(json.dumps(config))  # tuples as lists, as a file has them


def _cost(path: pathlib.Path) -> cost_schemas.Cost | None:
    return files.read(path, cost_schemas.Cost) if path.is_file() else None


def pick(value: Any, *keys: str) -> Any:
    """`value[key][key]...`, or None as soon as one is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _split(root: pathlib.Path, name: str) -> Split:
    folder = root / "eval"
    result = files.read(folder / f"{name}.json", schemas.Result)
    pr = []
    if pick(result, "curves", "pixel"):
        pr = _rows(folder / f"{name}_pr.csv", ["threshold", "precision", "recall"])
    wanted = ["id", "positive", "truth_pixels", "predicted_pixels"]
    if result.get("objects") is not None:
        _check_lengths(folder / f"{name}.json", result["objects"])
        wanted += ["true_objects", "predicted_objects", "object_f1_50", "object_aji"]
    examples = files.read(folder / f"{name}_examples.json", list[dict[str, Any]])
    return Split(
        name=name,
        result=result,
        images=_rows(folder / f"{name}_per_image.csv", wanted),
        pr=pr,
        cases=[_case(folder, name, case) for case in examples],
        class_cases=_class_cases(folder, name),
    )


def _class_cases(folder: pathlib.Path, name: str) -> list[dict[str, Any]]:
    """Images whose class was answered surest; [] of a run without such answers."""
    path = folder / f"{name}_class_examples.json"
    if not path.is_file():
        return []
    listed = files.read(path, list[evidence_schemas.ClassExample])
    for case in listed:
        for key in ("image", "attention"):
            if key in case:
                file = case[key] = folder / path.stem / case[key]
                if not file.is_file():
                    raise DataError(f"{file} is missing: evaluate the split again.")
    return listed


def _check_lengths(path: pathlib.Path, record: schemas.ObjectResult) -> None:
    """Raises DataError where lists that are drawn together differ in length."""
    sizes, rows = record["sizes"], len(record["thresholds"])
    wanted = {
        f"sizes.{name}": (len(sizes[name]), len(sizes["edges"]) - 1, "sizes.edges")
        for name in ("true", "predicted")
    }
    wanted |= {
        f"by_threshold.{name}": (len(values), rows, "thresholds")
        for name, values in record["by_threshold"].items()
    }
    for name, (length, fits, beside) in wanted.items():
        if length != fits:
            raise DataError(
                f"{path}: objects.{name} has {length} numbers, but objects.{beside} "
                f"asks for {fits}: evaluate the split again."
            )


def _case(folder: pathlib.Path, name: str, case: dict[str, Any]) -> dict[str, Any]:
    """An example whose file names have become paths that exist."""
    paths = {}
    for key in ("image", "mask", "probability", "prediction"):
        if case.get(key) is None and key == "prediction":
            continue
        if case.get(key) is None or case.get("id") is None:
            raise DataError(
                f"{folder / name}_examples.json has an example without {key!r} or id."
            )
        paths[key] = folder / f"{name}_examples" / case[key]
        if not paths[key].is_file():
            raise DataError(f"{paths[key]} is missing: evaluate the split again.")
    return {"role": "example", "dice": None} | case | paths


def _rows(path: pathlib.Path, wanted: list[str]) -> list[Row]:
    """The rows of a CSV file; numbers as float, the empty string as None."""
    files.check_regular(path)
    if not path.is_file():
        raise DataError(f"{path} is missing: is this the workdir of a run?")
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        for name in wanted:
            if name not in (reader.fieldnames or []):
                raise DataError(f"{path} has no column {name!r}.")
        return [
            {k: _value(path, reader.line_num, k, v) for k, v in row.items() if k}
            for row in reader
        ]


def _value(path: pathlib.Path, line: int, name: str, text: str | None) -> Any:
    if name in _TEXT:
        return text or ""
    if text is None or text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        raise DataError(
            f"{path}, line {line}: {name} is {text!r}, wants a number or nothing."
        ) from None
    return value if math.isfinite(value) else None
