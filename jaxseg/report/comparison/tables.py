"""Tables of a comparison as plain data: summary, metrics, convergence, configs."""

from collections.abc import Sequence
from typing import Any

from jaxseg.metrics import overlap
from jaxseg.report import derived_numbers, text
from jaxseg.report.comparison import config_differences as configs
from jaxseg.report.comparison import scores as numbers
from jaxseg.report.comparison import wording as say
from jaxseg.report.comparison.group_runs import Unit, seed, several, split_of
from jaxseg.report.read import Run
from jaxseg.report.run.tables import Table, table
from jaxseg.report.text import number

_MOST = 3  # settings named in a cell; all of them stand in a table of their own
FAMILIES = {
    "pooled": "Pooled: pixels of all images summed, then divided once",
    "image_skip_empty": "Mean over images, empty pairs left out",
    "positives": "Mean over images with foreground",
    "kaggle": "Mean over all images, Kaggle rule",
    "surface": "Borders: distances (hd, hd95, assd) in pixels, lower is better",
    "other": "Ranking and calibration of pixels (ece, brier, nll: lower is better)",
}


def alone(unit: Unit, member: int) -> Unit:
    """One member of a group as a unit of its own."""
    runs, names = unit["runs"][member : member + 1], unit["names"][member : member + 1]
    return Unit(name=names[0], runs=runs, names=names, images=unit["images"])


def members(units: Sequence[Unit]) -> list[Unit]:
    """Every run as a unit of its own, in order."""
    return [alone(unit, i) for unit in units for i in range(len(unit["runs"]))]


def title(unit: Unit) -> str:
    """The name of a unit, with how many seeds it stands for."""
    seeds = f", {len(unit['runs'])} seeds" if several(unit) else ""
    return f"{unit['name']}{seeds}"


def summary(blocks: list[list[Unit]], metric: str) -> Table:
    """One row a unit, best first; runs judged on other images below, marked."""
    units = [unit for block in blocks for unit in block]
    notes = _notes(blocks[0]) | _notes(units, blocks[0])
    rows = []
    for b, block in enumerate(blocks):
        for place, unit in enumerate(block, start=1):
            row = summary_row(unit, metric)
            row.insert(1, "" if b else f"{place}")
            note = notes[unit["name"]]
            if b:
                note = f"other images ({images_of(unit)}). {note}"
            row[0] = (title(unit), note)
            rows.append(row)
    heads = ["Run, and what differs", "Place", f"`{metric}`, 95\u00a0%"]
    heads += ["Best baseline", "Validation", "Epochs", "Images seen", "Time"]
    first = f"Sorted by `{metric}` on {blocks[0][0]['images'][0]}. "
    note = (
        "A single run: 95 % bootstrap interval over images. Validation is where the "
        "choices were made: optimistic. "
    )
    if any(map(several, units)):
        note += (
            "A group of seeds: mean, and 95 % interval over seeds by Student's t (of "
            "few seeds it may leave the range of the metric); mean time. "
        )
    if len(blocks) > 1:
        note += "Runs judged on other images stand below and have no place above."
    return table([*heads, "Parameters"], rows, note=(first + note).strip())


def summary_row(unit: Unit, metric: str) -> list[Any]:
    """Name, score and costs of a unit; of a group, its mean time."""
    row, run = numbers.score(unit, metric), unit["runs"][0]
    split = split_of(run, unit)
    fits = next((r for r in numbers.score_rows(split) if r["name"] == metric), None)
    known = derived_numbers.baselines(split, fits) if fits else {}
    known = {k: v for k, v in known.items() if v is not None}
    pick = max if numbers.higher(metric) else min
    best = pick(known, key=lambda k: known[k]) if known else None
    bar = (say.value(known[best]), text.label(best)) if best else text.UNDEFINED
    found = numbers.score(unit, metric, "validation")
    return [
        (title(unit), ""),
        (say.scored(row), say.span(row)),
        bar,
        say.scored(found),
        _each(unit, lambda r: number(len(r["history"]), "count")),
        _each(unit, lambda r: number(r["info"].get("images_seen"), "count")),
        number(_mean(unit, "seconds"), "seconds"),
        _each(unit, lambda r: number(r["info"].get("params"), "count")),
    ]


def _each(unit: Unit, show) -> str:
    return ", ".join(dict.fromkeys(show(run) for run in unit["runs"]))


def _mean(unit: Unit, key: str) -> float | None:
    known = [run["info"].get(key) for run in unit["runs"]]
    return None if None in known else sum(known) / len(known)


def images_of(unit: Unit) -> str:
    """The split of a unit and the beginning of its hash."""
    name, known = unit["images"]
    return f"{name} `{known[:12]}`" if known else f"{name}, no hash recorded"


def _short(key: str) -> str:
    """`optim.learning_rate` as `learning_rate`, `model.name` as it is."""
    last = key.split(".")[-1]
    return last if "_" in last else ".".join(key.split(".")[-2:])


def _notes(units: list[Unit], without: Sequence[Unit] = ()) -> dict[str, str]:
    """unit name -> the settings in which it differs from the others."""
    known = [configs.config(unit["runs"][0]) for unit in units]
    found, done = {}, [unit["name"] for unit in without]
    for unit, config, keys in zip(units, known, configs.telling(known), strict=True):
        words = [f"{_short(k)}: {say.setting(config[k])}" for k in keys[:_MOST]]
        words += [f"and {len(keys) - _MOST} more"] if len(keys) > _MOST else []
        found |= {} if unit["name"] in done else {unit["name"]: "; ".join(words)}
    return found


def seeds(unit: Unit, metric: str) -> Table:
    """The members of a group, one row a seed."""
    rows = []
    for i, run in enumerate(unit["runs"]):
        row = summary_row(alone(unit, i), metric)
        row[0] = (unit["names"][i], f"seed {say.setting(seed(run))}")
        rows.append(row)
    heads = ["Run", f"`{metric}`, 95\u00a0%", "Best baseline", "Validation"]
    heads += ["Epochs", "Images seen", "Time", "Parameters"]
    return table(heads, rows)


def convergence(units: list[Unit]) -> Table:
    """Loss first and last, its reduction, and the best epoch of every run."""
    rows = []
    for unit in members(units):
        row = numbers.convergence(unit["runs"][0])
        at = f"{number(row['epoch'], 'count')} of {number(row['epochs'], 'count')}"
        rows.append(
            [
                (unit["name"], f"`{row['column']}`" if row["column"] else ""),
                say.value(row["first"]),
                say.value(row["last"]),
                say.percent(row["reduction"]),
                at,
                say.value(row["best"]),
                say.value(row["end"]),
            ]
        )
    heads = ["Run", "Initial loss", "Final loss", "Reduction", "Epoch of best"]
    return table([*heads, "Best validation", "at the end"], rows)


def config(units: list[Unit], make, heading: str) -> Table | None:
    """Settings that are not the same in all units, one column a unit."""
    known = [[make(run) for run in unit["runs"]] for unit in units]
    odd = configs.differing([each for unit in known for each in unit])
    rows = []
    for key in odd:
        cells = [
            " / ".join(
                dict.fromkeys(
                    say.setting(each[key]) if key in each else "absent" for each in unit
                )
            )
            for unit in known
        ]
        rows.append([f"`{key}`", *cells])
    heads = ["Setting", *(unit["name"] for unit in units)]
    return table(heads, rows, title=heading) if rows else None


def settings(run: Run) -> dict[str, Any]:
    """The config of a run, its seed among it."""
    return configs.flat(run["config"])


def scores(blocks: list[list[Unit]], split: str | None = None) -> list[Table]:
    """Every metric of every unit, a table a family, trivial baselines below.

    `split`: another one than that which the units are judged on.
    """
    known: dict[str, list[str]] = {}
    for unit in (unit for block in blocks for unit in block):
        where = unit["runs"][0]["splits"].get(split or unit["images"][0])
        for row in numbers.score_rows(where) if where else []:
            family = known.setdefault(_family(row["name"]), [])
            family += [row["name"]] if row["name"] not in family else []
    return [_scores(blocks, names, family, split) for family, names in known.items()]


def _family(name: str) -> str:
    if name not in overlap.METRICS:
        return "other" if name in numbers.OF_PIXELS else "surface"
    return next(f for f in FAMILIES if name.endswith(f"_{f}"))


def _scores(blocks, names: list[str], family: str, split: str | None) -> Table:
    rows, best = [], {}
    for block in blocks:
        for unit in block:
            found = [numbers.score(unit, name, split) for name in names]
            cells = [(say.scored(row), say.span(row)) for row in found]
            mark = "" if block is blocks[0] else f"other images ({images_of(unit)})"
            rows.append([(title(unit), mark), *cells])
        rows += _baselines(block, names, split)
    block = table(["Run", *(f"`{name}`" for name in names)], rows)
    for i, name in enumerate(names, start=1):
        values = {
            at: numbers.score(unit, name, split)["value"]
            for at, unit in enumerate(blocks[0])
        }
        best = numbers.extremes(values, more=numbers.higher(name))
        for at in best["best"] if best else []:
            block["rows"][at][i]["best"] = True
    return block | {"title": FAMILIES[family]}


def _baselines(block: list[Unit], names: list[str], split: str | None) -> list[list]:
    """The trivial answers on the images of a block, once each."""
    unit = block[0]
    where = unit["runs"][0]["splits"].get(split or unit["images"][0])
    rows = numbers.score_rows(where) if where else []
    found: dict[str, list] = {}
    for name in names:
        row = next((row for row in rows if row["name"] == name), None)
        for base, value in (
            derived_numbers.baselines(where, row) if row else {}
        ).items():
            found.setdefault(base, [(f"baseline: {text.label(base)}", "")])
            found[base].append(say.value(value))
    full = [row for row in found.values() if len(row) == len(names) + 1]
    return [row for row in full if set(row[1:]) != {text.UNDEFINED}]
