"""Trains one member for each fold of the data, then pools what they scored."""

import contextlib
import csv
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from jaxseg import atomic
from jaxseg.config import check
from jaxseg.data.preparation import folds as dealt
from jaxseg.errors import ConfigError, DataError
from jaxseg.evaluation import out_of_fold, result
from jaxseg.experiment import from_config, image_classes, processes
from jaxseg.report.comparison import folds as report
from jaxseg.run_directory import (
    files,
    fold_schemas,
    going_on,
    older_configs,
    schemas,
    seal,
    summary,
)
from jaxseg.sweep import members, run_members, score_table
from jaxseg.train import open_run

_OWN = ("report.md", "report.html", "figures", "eval")  # of all folds, scores last


def main(config: ConfigDict, workdir: pathlib.Path) -> int:
    """Trains what is not finished below `workdir`, pools it, and reports; exit code.

    Members are run directories fold0, fold1 ... of their own; one that fails is named
    and the others go on, but nothing is pooled without it. Raises ConfigError for folds
    that the data does not have, before anything is trained, for a config that learns no
    pixels, and for a workdir that holds another run.
    """
    if not image_classes.trains_pixels(config):
        raise ConfigError(
            f"config.folds is {config.folds}, but no loss of this config learns "
            "pixels, whose counts are what folds pool: set config.folds=0, or train "
            "single folds by config.fold."
        )
    configs = members.members(config, members.folds(config))
    for member in configs.values():
        check.check(member)
    directory = from_config.dataset(config)
    from_config.splits(config, directory)  # said now, not when three are trained
    _check_number(config, workdir)
    if report.result_path(workdir).is_file():  # it stays until all members can go on
        for name, member in configs.items():
            if _goes_on(workdir / name, member):
                open_run.ask(member, workdir / name)
    with contextlib.ExitStack() as stack:
        if processes.is_main():
            stack.enter_context(files.lock(workdir))
            _set_aside(configs, workdir)
        failed = run_members.here(configs, workdir, at_most=1)
        if not processes.is_main():
            return int(bool(failed))
        code, lines = _conclude(config, configs, workdir, directory, failed)
    print("\n".join(lines))
    return code


def _check_number(config: ConfigDict, workdir: pathlib.Path) -> None:
    """ConfigError where another number of folds was begun in the workdir."""
    for path in sorted(workdir.glob(f"fold[0-9]*/{files.CONFIG}")):
        before = files.read(path, schemas.ConfigBlocks).get("folds", 0)
        if before != config.folds:
            raise ConfigError(
                f"{workdir} holds runs of {before} folds, and config.folds is "
                f"{config.folds}: choose another workdir."
            )


def _set_aside(configs: Mapping[str, ConfigDict], workdir: pathlib.Path) -> None:
    """Moves the pooled scores into before_<step>/ where members will go on from there.

    Members do the same with theirs: nothing old looks current, nothing is lost.
    """
    path = report.result_path(workdir)
    if not path.is_file() or not any(
        _goes_on(workdir / name, config) for name, config in configs.items()
    ):
        return
    pooled = files.read(path, fold_schemas.OutOfFold)
    step = max(member["total_steps"] for member in pooled["members"])
    folder, number = workdir / f"before_{step}", 1
    while folder.exists():
        number += 1
        folder = workdir / f"before_{step}_{number}"
    folder.mkdir()
    for name in _OWN:
        if (workdir / name).exists():
            shutil.move(workdir / name, folder / name)
    logging.info("the scores until step %d are kept in %s", step, folder)


def _goes_on(place: pathlib.Path, config: ConfigDict) -> bool:
    """Whether a member that was begun has another length, rate or scoring now."""
    if not (place / files.CONFIG).is_file():
        return False
    before = files.read(place / files.CONFIG, schemas.ConfigBlocks)
    both = (before, files.plain(config.to_dict()))
    changes = files.config_changes(*map(older_configs.effective, both))
    return any(going_on.covers(going_on.CHANGEABLE, change.key) for change in changes)


def _conclude(
    config: ConfigDict,
    configs: Mapping[str, ConfigDict],
    workdir: pathlib.Path,
    directory: pathlib.Path,
    failed: Mapping[str, str],
) -> tuple[int, list[str]]:
    """(exit code, last lines): the pooled scores, or which members they wait for."""
    done = [name for name in configs if name not in failed]
    record = {"members": [*configs], "failed": dict(failed)}
    for folder in (workdir, workdir / "eval"):
        atomic.clean(folder, deep=False)
    files.write_json(workdir / run_members.RECORD, record)
    lines = [f"{len(done)} of {len(configs)} folds finished in {workdir}"]
    lines += [f"FAILED     {name}: {why}" for name, why in failed.items()]
    if failed:
        lines += score_table.lines(done, workdir) if done else []
        lines.append(
            "no pooled scores: they need every fold. Mend what is named, then start "
            "the same command again."
        )
        return 1, lines
    try:
        pooled = pool(config, workdir, directory)
        paths = report.build(workdir)
    except DataError as error:
        return error.exit_code, [*lines, f"no pooled scores: {error}"]
    wanted = summary.main_scores(pooled)
    lines += score_table.lines(done, workdir, pooled=wanted)
    lines += _pooled_lines(pooled)
    lines += [f"{kind:<10} {path}" for kind, path in paths.items()]
    lines.append(
        f"predict    python -m jaxseg.predict --ensemble="
        f"{','.join(str(workdir / name) for name in configs)} --input=... --output=..."
    )
    return 0, lines


def _pooled_lines(pooled: fold_schemas.OutOfFold) -> list[str]:
    """The main scores of all folds together, each with its interval."""
    heads = summary.headline_class(pooled)
    rows = [
        row
        for row in pooled["metrics"]
        if row["name"] in summary.MAIN and row["class"] == heads
    ]
    lines = [
        f"scores     of all {pooled['images']} images in {pooled['groups']} groups, "
        "each by the member that never saw it; 95 % bootstrap over groups:"
    ]
    for row in rows:
        value = "n/a" if row["value"] is None else f"{row['value']:.4f}"
        if row["low"] is not None:
            value += f" [{row['low']:.4f}, {row['high']:.4f}]"
        lines.append(
            f"pooled     {row['name']:<14} {value}  ({row['class']}, images of "
            f"support: {row['support_images']})"
        )
    return lines


def pool(
    config: ConfigDict, workdir: pathlib.Path, directory: pathlib.Path
) -> fold_schemas.OutOfFold:
    """Writes eval/out_of_fold.json and its table by image; the content of the first.

    Raises DataError for an image that was not scored exactly once, for masks that are
    others now, and for files of a member that are not as it wrote them.
    """
    split = dealt.open_pooled(directory, folds=config.folds)
    names = [*members.folds(config)]
    tables = {k: _table(workdir / name) for k, name in enumerate(names)}
    rows = out_of_fold.joined(tables, split)
    pooled = out_of_fold.assemble(
        out_of_fold.counts(rows, split), split, **_draws(config)
    )
    of_members = [
        _member(workdir / name, k, config.folds) for k, name in enumerate(names)
    ]
    pooled |= {
        "name": config.name,
        "recipe": config.recipe,
        "folds": config.folds,
        "seed": split.card["extra"]["folds_seed"],
        "rule": split.card["split_rule"],
        "dataset": split.card["name"],
        "metric": config.eval.metric,
        "finished": max(seal.read(workdir / name)["finished"] for name in names),
        "members": of_members,
        "unlabelled": split.card["extra"]["unlabelled"],
    }
    atomic.replace(
        report.result_path(workdir).with_name(f"{split.name}_per_image.csv"),
        result.csv_of(rows),
    )
    files.write(report.result_path(workdir), pooled, fold_schemas.OutOfFold)
    return pooled


def _draws(config: ConfigDict) -> dict[str, Any]:
    options = from_config.scoring_options(config)
    return {key: options[key] for key in ("seed", "resamples")}


def _table(place: pathlib.Path) -> list[out_of_fold.Row]:
    """The images that a member tested, as it wrote them."""
    name = "eval/test_per_image.csv"
    seal.check(place, seal.read(place), names=[name, "eval/test.json"])
    files.check_regular(place / name)
    try:
        with open(place / name, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{place / name} cannot be read: {error.strerror}.") from error


def _member(place: pathlib.Path, fold: int, folds: int) -> dict[str, Any]:
    record = seal.read(place)
    scored = files.read(place / "eval" / "test.json", schemas.Result)
    heads = summary.headline_class(scored)
    return {
        "name": place.name,
        "fold": fold,
        "validation_fold": (fold + 1) % folds,
        "images": scored["images"],
        "groups": record["dataset"]["splits"]["test"]["groups"],
        "positive_images": scored["positive_images"],
        "step": scored["step"],
        "total_steps": record["total_steps"],
        "operating_point": scored["operating_point"],
        "metrics": [row for row in scored["metrics"] if row["class"] == heads],
        "baselines": scored["baselines"],
    }
