"""The tables of a comparison: summary, metrics, convergence, configs, pairs of runs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jaxseg.metrics import overlap
from jaxseg.report import derived_numbers, image_class_numbers, text
from jaxseg.report.blocks import Block, table
from jaxseg.report.comparison import config_differences, scores, wording
from jaxseg.report.comparison.group_runs import (
    Unit,
    images_of,
    members,
    seed,
    several,
    split_of,
    title,
)
from jaxseg.report.comparison.paired_tests import Test, Tests, between
from jaxseg.report.read import Row, Run, Split, of_masks
from jaxseg.report.text import number

_PAIRS_SHOWN = 10  # of more pairs, those with the best are shown and all are folded
_SETTINGS_SHOWN = 3  # in a cell; all of them stand in a table of their own
FAMILIES = {
    "pooled": "Pooled: pixels of all images summed, then divided once",
    "image_skip_empty": "Mean over images, empty pairs left out",
    "positives": "Mean over images with foreground",
    "kaggle": "Mean over all images, Kaggle rule",
    "surface": "Borders: distances (hd, hd95, assd) in pixels, lower is better",
    "other": "Ranking and calibration of pixels (ece, brier, nll: lower is better)",
}


def summary(rankings: list[list[Unit]], metric: str) -> Block:
    """A row for each unit, best first; below, marked, runs judged on other images."""
    units = [unit for ranking in rankings for unit in ranking]
    best = rankings[0]
    notes = _notes(units) | _notes(best)
    rows = []
    for ranking in rankings:
        for place, unit in enumerate(ranking, start=1):
            name, note, where = title(unit), notes[unit["name"]], f"{place}"
            (value, span), *costs = _summary_cells(unit, metric)
            if ranking is not best:
                note, where = f"other images ({images_of(unit)}). {note}", ""
                span = f"on {unit['images'][0]} {span}".rstrip()
            rows.append([(name, note), where, (value, span), *costs])
    heads = ["Run, and what differs", "Place", f"`{metric}`, 95\u00a0%"]
    heads += ["Best baseline", "Validation", "Epochs", "Images seen", "Time"]
    note = (
        f"Sorted by `{metric}` on {best[0]['images'][0]}. A single run: 95 % bootstrap "
        "interval over images. Validation is where the choices were made: optimistic. "
    )
    if any(map(several, units)):
        note += (
            "A group of seeds: mean, and 95 % interval over seeds by Student's t (of "
            "few seeds it may leave the range of the metric); mean time. "
        )
    if len(rankings) > 1:
        note += "Runs judged on other images stand below and have no place above."
    return table([*heads, "Parameters"], rows, note=note.strip())


def _summary_cells(unit: Unit, metric: str) -> list[Any]:
    """Score and costs of a unit; of a group, its mean time."""
    score, split = scores.score(unit, metric), split_of(unit)
    row = next((r for r in scores.score_rows(split) if r["name"] == metric), None)
    bars = derived_numbers.known_baselines(split, row) if row else {}
    bars |= image_class_numbers.baselines(split, metric)
    pick = max if scores.higher(metric) else min
    best = pick(bars, key=lambda name: bars[name]) if bars else None
    bar = (wording.value(bars[best]), text.label(best)) if best else text.UNDEFINED
    seconds = [run["info"].get("seconds") for run in unit["runs"]]
    time = None if None in seconds else sum(seconds) / len(seconds)
    return [
        (wording.scored(score), wording.span(score)),
        bar,
        wording.scored(scores.score(unit, metric, "validation")),
        _each(unit, lambda run: _trained(run, len(run["history"]))),
        _each(unit, lambda run: _trained(run, run["info"].get("images_seen"))),
        number(time, "seconds"),
        _each(unit, lambda run: _trained(run, run["info"].get("params"))),
    ]


def _trained(run: Run, count: float | None) -> str:
    """A number of training; masks that no run made have none."""
    return "masks" if of_masks(run) else number(count, "count")


def _each(unit: Unit, words: Callable[[Run], str]) -> str:
    return ", ".join(dict.fromkeys(map(words, unit["runs"])))


def _short(key: str) -> str:
    """`optim.learning_rate` as `learning_rate`, `model.name` as it is."""
    last = key.split(".")[-1]
    return last if "_" in last else ".".join(key.split(".")[-2:])


def _notes(units: list[Unit]) -> dict[str, str]:
    """unit name -> the settings in which it differs from the others."""
    configs = [config_differences.without_seed(unit["runs"][0]) for unit in units]
    telling, notes = config_differences.telling(configs), {}
    for unit, config, keys in zip(units, configs, telling, strict=True):
        few = keys[:_SETTINGS_SHOWN]
        words = [f"{_short(key)}: {wording.setting(config[key])}" for key in few]
        words += [f"and {len(keys) - len(few)} more"] if len(keys) > len(few) else []
        notes[unit["name"]] = "; ".join(words)
    return notes


def seeds(unit: Unit, metric: str) -> Block:
    """A row for each seed of a group."""
    rows = [
        [
            (member["name"], f"seed {wording.setting(seed(member['runs'][0]))}"),
            *_summary_cells(member, metric),
        ]
        for member in members([unit])
    ]
    heads = ["Run", f"`{metric}`, 95\u00a0%", "Best baseline", "Validation"]
    heads += ["Epochs", "Images seen", "Time", "Parameters"]
    return table(heads, rows)


def convergence(units: list[Unit]) -> Block:
    """Loss first and last, its reduction, and the best epoch of every run."""
    rows = []
    for unit in members(units):
        row = scores.convergence(unit["runs"][0])
        at = f"{number(row['epoch'], 'count')} of {number(row['epochs'], 'count')}"
        rows.append(
            [
                (unit["name"], f"`{row['column']}`" if row["column"] else ""),
                wording.value(row["first"]),
                wording.value(row["last"]),
                wording.percent(row["reduction"]),
                at,
                wording.value(row["best"]),
                wording.value(row["end"]),
            ]
        )
    heads = ["Run", "Initial loss", "Final loss", "Reduction", "Epoch of best"]
    return table([*heads, "Best validation", "at the end"], rows)


def differences(
    units: list[Unit], settings: Callable[[Run], dict[str, Any]], heading: str
) -> Block | None:
    """Settings that are not the same in all units, with a column for each unit."""
    configs = [[settings(run) for run in unit["runs"]] for unit in units]
    odd = config_differences.differing([c for each in configs for c in each])
    rows = []
    for key in odd:
        values = [
            [wording.setting(c[key]) if key in c else "absent" for c in each]
            for each in configs
        ]
        rows.append([f"`{key}`", *(" / ".join(dict.fromkeys(each)) for each in values)])
    heads = ["Setting", *(unit["name"] for unit in units)]
    return table(heads, rows, title=heading) if rows else None


def metrics(rankings: list[list[Unit]], split: str | None = None) -> list[Block]:
    """Tables of all metrics, one for each family, with trivial baselines below.

    `split`: another one than that which the units are judged on.
    """
    families: dict[str, dict[str, None]] = {}  # names in the order of the results
    for unit in (unit for ranking in rankings for unit in ranking):
        for row in _score_rows(unit, split):
            families.setdefault(_family(row["name"]), {})[row["name"]] = None
    return [
        _family_table(rankings, list(names), family, split)
        for family, names in families.items()
    ]


def _scored_split(unit: Unit, split: str | None) -> Split | None:
    return unit["runs"][0]["splits"].get(split or unit["images"][0])


def _score_rows(unit: Unit, split: str | None) -> list[Row]:
    scored = _scored_split(unit, split)
    if not scored:
        return []
    # these have a section of their own
    own = scores.of_objects(scored) + image_class_numbers.score_rows(scored)
    others = {row["name"] for row in own}
    return [row for row in scores.score_rows(scored) if row["name"] not in others]


def _family(name: str) -> str:
    if name not in overlap.METRICS:
        return "other" if name in scores.OF_PIXELS else "surface"
    return next(f for f in FAMILIES if name.endswith(f"_{f}"))


def _family_table(
    rankings: list[list[Unit]], names: list[str], family: str, split: str | None
) -> Block:
    rows = []
    for ranking in rankings:
        for unit in ranking:
            values = [scores.score(unit, name, split) for name in names]
            cells = [(wording.scored(row), wording.span(row)) for row in values]
            other = ranking is not rankings[0]
            mark = f"other images ({images_of(unit)})" if other else ""
            rows.append([(title(unit), mark), *cells])
        rows += _baselines(ranking[0], names, split)
    block = table(["Run", *(f"`{name}`" for name in names)], rows)
    for column, name in enumerate(names, start=1):
        values = {
            row: scores.score(unit, name, split)["value"]
            for row, unit in enumerate(rankings[0])
        }
        ends = scores.extremes(values, more=scores.higher(name))
        for row in ends["best"] if ends else []:
            block["rows"][row][column]["best"] = True
    return block | {"title": FAMILIES[family]}


def _baselines(unit: Unit, names: list[str], split: str | None) -> list[list[Any]]:
    """A row for each trivial answer on the images of a unit."""
    by_name = {row["name"]: row for row in _score_rows(unit, split)}
    cells: dict[str, list[Any]] = {}
    for name in filter(by_name.get, names):
        scored = derived_numbers.baselines(_scored_split(unit, split), by_name[name])
        for base, value in scored.items():
            cells.setdefault(base, []).append(wording.value(value))
    return [
        [(f"baseline: {text.label(base)}", ""), *values]
        for base, values in cells.items()
        if len(values) == len(names) and set(values) != {text.UNDEFINED}
    ]


def pair_tests(ranking: list[Unit], tests: Tests, metric: str) -> list[Block]:
    """Every pair by the stated metric; of many, those with the best first, then all."""
    family = tests.get(metric, {})
    with_best = [pair for pair in family if ranking[0]["name"] in pair]
    many = len(family) > _PAIRS_SHOWN
    return [
        _tests(family, some) for some in ([with_best, family] if many else [family])
    ]


def _tests(
    family: dict[tuple[str, str], Test], pairs: Iterable[tuple[str, str]]
) -> Block:
    rows = []
    with_seeds = any(family[pair]["seeds"] is not None for pair in pairs)
    for first, second in pairs:
        test = family[first, second]
        row = [
            (f"{first} − {second}", " and ".join(map(wording.value, test["values"]))),
            difference(test),
            wording.p_value(test["p"]),
            wording.p_value(test["adjusted"]),
        ]
        row += [wording.p_value(test["seeds"])] if with_seeds else []
        rows.append([*row, answer(test)])
    heads = ["First − second", "Difference, 95 %", "p", "p, Holm"]
    heads += ["p over seeds, Holm"] if with_seeds else []
    return table([*heads, "Decided"], rows)


def difference(test: Test) -> tuple[str, str]:
    """The difference of a test, and its interval."""
    if test["low"] is None:
        return wording.signed(test["value"]), ""
    span = f"[{wording.signed(test['low'])}, {wording.signed(test['high'])}]"
    return wording.signed(test["value"]), span


def answer(test: Test | None) -> str:
    """What a test decides, in a word."""
    if test is None or test["adjusted"] is None:
        return "not tested"
    words = {"yes": "yes", "no": "yes", "tie": "tie"}
    return words.get(test["answer"], "n.s.")


def extremes(ranking: list[Unit], tests: Tests, metrics: Sequence[str]) -> Block | None:
    """Best and worst by each metric, with the test between just these two."""
    rows = []
    for metric in metrics:
        values = {u["name"]: scores.score(u, metric)["value"] for u in ranking}
        ends = scores.extremes(values, more=scores.higher(metric))
        if ends is None:
            rows.append([f"`{metric}`", text.UNDEFINED, text.UNDEFINED, "", "", ""])
            continue
        test = between(tests, metric, ends["best"][0], ends["worst"][0])
        gap, p, decided = "tie", text.UNDEFINED, "tie"
        if ends["difference"] != 0:
            gap, decided = wording.signed(ends["difference"]), answer(test)
            p = wording.p_value(test["adjusted"]) if test else text.UNDEFINED
        best, worst = (
            _holders(ends[end], ends[f"{end}_value"]) for end in ("best", "worst")
        )
        rows.append([f"`{metric}`", best, worst, gap, p, decided])
    heads = ["Metric", "Best", "Worst", "Best − worst", "p, Holm", "Decided"]
    return table(heads, rows) if rows else None


def _holders(names: list[str], value: float) -> tuple[str, str]:
    words = ", ".join(names)
    return wording.value(value), f"tie: {words}" if len(names) > 1 else words


def best_minus_worst(ranking: list[Unit], tests: Tests) -> Block | None:
    """The best by the stated metric minus the worst by it, on every tested metric."""
    first, last = ranking[0]["name"], ranking[-1]["name"]
    rows = []
    for metric in tests:
        test = between(tests, metric, first, last)
        if test is not None:
            values = map(wording.value, test["values"])
            p = wording.p_value(test["adjusted"])
            rows.append([f"`{metric}`", *values, difference(test), p, answer(test)])
    heads = ["Metric", first, last, "First − second, 95 %", "p, Holm", "Decided"]
    return table(heads, rows) if rows and first != last else None
