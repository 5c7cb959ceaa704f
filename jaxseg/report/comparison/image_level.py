"""Holds runs against each other by how they tell whole images apart.

A run is judged by its decision head where it has one, else by its segmentation. Two
runs are measured on the same resamples of the images; their answers at their frozen
thresholds are compared by exact tests.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxseg.metrics import bootstrap, classification, paired_test
from jaxseg.report import derived_numbers
from jaxseg.report.blocks import Block, paragraph, table
from jaxseg.report.comparison import scores, wording
from jaxseg.report.comparison.group_runs import Unit, images_of, several, title
from jaxseg.report.read import Row, Run, Split
from jaxseg.report.run import image_level
from jaxseg.report.text import number

METRICS = (*classification.RANKING, "f1", "false_positive_rate")
_TESTED = "average_precision"
_LOWER = ("false_positive_rate",)
_COLUMNS = {image_level.DECISION: "image_score"}


def blocks(rankings: list[list[Unit]]) -> list[Block]:
    """The image level of every unit, the baseline below, and tests of all pairs.

    [] where no run has a decision head: then the pages of the runs say it.
    """
    units = [unit for ranking in rankings for unit in ranking]
    if not any(image_level.has_decision(s) for unit in units for s in _splits(unit)):
        return []
    rows = []
    for ranking in rankings:
        for unit in ranking:
            other = ranking is not rankings[0]
            mark = f"other images ({images_of(unit)})" if other else _judged_by(unit)
            values = [score(unit, name) for name in METRICS]
            cells = [(wording.scored(row), wording.span(row)) for row in values]
            errors = [_mean_count(unit, kind) for kind in ("fp", "fn")]
            rows.append([(title(unit), mark), *cells, *errors])
        rows += _baseline(ranking)
    heads = ["Run", *(image_level.COLUMNS[name] for name in METRICS), "FP", "FN"]
    note = (
        "F1, false-positive rate, FP and FN at the threshold that validation chose. A "
        "single run: 95 % intervals as in its own report. "
    )
    if any(map(several, units)):
        note += "A group of seeds: mean, and 95 % interval over seeds by Student's t. "
    note += "Bold: the best of a column among runs on the same images."
    block = table(heads, rows, note=note)
    _mark_best(block, rankings[0])
    split = rankings[0][0]["images"][0]
    words = f"On {split}: whether an image shows foreground."
    return [paragraph(words), block, *_tests(rankings[0])]


def _splits(unit: Unit) -> list[Split]:
    """The split that the unit is judged on, of each run that has an image level."""
    splits = [run["splits"].get(unit["images"][0]) for run in unit["runs"]]
    return [s for s in splits if s is not None and image_level.of_split(s)]


def _judged_by(unit: Unit) -> str:
    names = {image_level.of_split(s)["scores"][0]["score"] for s in _splits(unit)}
    return " and ".join(sorted(names)) or "no image level"


def score(unit: Unit, name: str) -> Row:
    """Value and interval of a unit: over images of one run, over seeds of several."""
    splits = _splits(unit)
    blank = {"value": None, "low": None, "high": None}
    rows = [
        image_level.value(image_level.of_split(s)["scores"][0], name) for s in splits
    ] or [blank]
    ends = {key: rows[0][key] for key in blank}
    if several(unit):
        values = [row["value"] for row in rows]
        whole = len(splits) == len(unit["runs"])
        ends = dict(zip(ends, scores.t_interval(values if whole else []), strict=True))
    return {"name": name} | ends


def _mean_count(unit: Unit, kind: str) -> str:
    counts = [image_level.of_split(s)["scores"][0]["counts"] for s in _splits(unit)]
    if not counts or None in counts:
        return number(None)
    return number(sum(c[kind] for c in counts) / len(counts), "plain")


def _baseline(ranking: list[Unit]) -> list[list[Any]]:
    split = next((s for unit in ranking for s in _splits(unit)), None)
    if split is None:
        return []
    (base,) = image_level.of_split(split)["baselines"]
    cells = [wording.value(base["metrics"].get(name)) for name in METRICS]
    errors = [number(base["counts"][kind], "count") for kind in ("fp", "fn")]
    return [[("baseline: always positive", ""), *cells, *errors]]


def _mark_best(block: dict[str, Any], ranking: list[Unit]) -> None:
    for column, name in enumerate(METRICS, start=1):
        values = {i: score(unit, name)["value"] for i, unit in enumerate(ranking)}
        ends = scores.extremes(values, more=name not in _LOWER)
        for row in ends["best"] if ends and ends["difference"] else []:
            block["rows"][row][column]["best"] = True


class Images(NamedTuple):
    """The images of one run whose truth is known, sorted by id."""

    ids: list[str]
    groups: list[str]
    positive: np.ndarray  # bool [n]
    score: np.ndarray  # f64 [n]
    yes: np.ndarray | None  # bool [n], at the frozen threshold; None without one


def images(run: Run, split_name: str) -> Images | None:
    """The images of a run; None where it has no image level."""
    split = run["splits"].get(split_name)
    if split is None or not image_level.of_split(split):
        return None
    row = image_level.of_split(split)["scores"][0]
    column = _COLUMNS.get(row["score"], "max_probability")
    rows = sorted(split["images"], key=lambda r: r["id"])
    rows = [r for r in rows if derived_numbers.shows(r) is not None]
    values = np.array([r[column] for r in rows], float)
    return Images(
        [r["id"] for r in rows],
        [r.get("group") or r["id"] for r in rows],
        np.array([derived_numbers.shows(r) for r in rows], bool),
        values,
        None if row["threshold"] is None else values >= row["threshold"],
    )


class Pair(NamedTuple):
    """One pair of units, first minus second."""

    first: str
    second: str
    test: paired_test.Difference  # of average precision
    adjusted: float | None  # its p by Holm over all pairs
    mcnemar: float | None  # of the answers, all images; single runs alone
    fisher: float | None  # of the false positives


def pairs(ranking: Sequence[Unit]) -> list[Pair]:
    """Tests of all pairs of units on the same images; [] where there is none."""
    known = [(unit, _members(unit)) for unit in ranking]
    known = [(unit, runs) for unit, runs in known if runs]
    if len(known) < 2:
        return []
    first = known[0][1][0]
    same = (first.ids, first.groups, first.positive.tolist())
    known = [
        (unit, runs)
        for unit, runs in known
        if all((r.ids, r.groups, r.positive.tolist()) == same for r in runs)
    ]
    count = len(known) * (len(known) - 1) // 2
    resamples = max(paired_test.RESAMPLES, 100 * count)  # so that Holm can decide
    every = [run for _, runs in known for run in runs]
    samples = iter(_resampled(every, resamples))
    drawn = [np.mean([next(samples) for _ in runs], axis=0) for _, runs in known]
    values = [np.mean([_value(run) for run in runs]) for _, runs in known]
    groups, listed = len(set(first.groups)), []
    for i, (one, mine) in enumerate(known):
        for j, (other, theirs) in enumerate(known[i + 1 :], start=i + 1):
            gap = paired_test.difference(
                (float(values[i]), float(values[j])), (drawn[i], drawn[j]), groups
            )
            listed.append((one["name"], other["name"], gap, *_exact(mine, theirs)))
    adjusted = paired_test.holm([gap["p"] for _, _, gap, *_ in listed])
    return [
        Pair(a, b, gap, p, *exact)
        for (a, b, gap, *exact), p in zip(listed, adjusted, strict=True)
    ]


def _members(unit: Unit) -> list[Images]:
    """The images of all runs of a unit; [] where one has none."""
    listed = [images(run, unit["images"][0]) for run in unit["runs"]]
    return [] if None in listed else listed


def _value(run: Images) -> float:
    ranked = classification.ranking(run.score, run.positive.astype(int))
    return ranked[_TESTED]


def _resampled(runs: Sequence[Images], resamples: int) -> list[np.ndarray]:
    """The average precision of every run on resamples that all share."""
    names, code = np.unique(np.array(runs[0].groups, str), return_inverse=True)
    parts: list[list[np.ndarray]] = [[] for _ in runs]
    for taken in bootstrap.draws(len(names), seed=0, resamples=resamples):
        times = taken[:, code]
        for part, run in zip(parts, runs, strict=True):
            drawn = classification.resampled(run.score, run.positive, times)
            part.append(drawn[_TESTED])
    return [np.concatenate(part) for part in parts]


def _exact(
    mine: Sequence[Images], theirs: Sequence[Images]
) -> tuple[float | None, float | None]:
    """McNemar's p of all answers and Fisher's of the false positives, of two runs."""
    if len(mine) > 1 or len(theirs) > 1:
        return None, None
    (one,), (other,) = mine, theirs
    if one.yes is None or other.yes is None:
        return None, None
    wrong = [run.yes != run.positive for run in (one, other)]
    alone = [int(np.count_nonzero(a & ~b)) for a, b in (wrong, wrong[::-1])]
    false = [int(np.count_nonzero(run.yes & ~run.positive)) for run in (one, other)]
    negatives = int(np.count_nonzero(~one.positive))
    return classification.mcnemar(*alone), classification.fisher(
        false, (negatives, negatives)
    )


def _tests(ranking: Sequence[Unit]) -> Iterator[Block]:
    listed = pairs(ranking)
    if not listed:
        return
    rows = []
    for pair in listed:
        test = pair.test
        ends = ""
        if test["low"] is not None:
            ends = f"[{wording.signed(test['low'])}, {wording.signed(test['high'])}]"
        rows.append(
            [
                f"{pair.first} minus {pair.second}",
                (wording.signed(test["value"]), ends),
                wording.p_value(pair.adjusted),
                wording.p_value(pair.mcnemar),
                wording.p_value(pair.fisher),
            ]
        )
    test = listed[0].test
    note = (
        f"Difference of the step-wise average precision on the same "
        f"{test['resamples']:,} resamples of {test['groups']} groups of images; Holm "
        f"over {len(listed)} pairs. Answers: McNemar's exact test of the images that "
        "only one of the two gets wrong. False positives: Fisher's exact test, which "
        "takes the two sets of images as independent and so decides less. Exact tests "
        "are of single runs and not corrected."
    )
    heads = ["Pair", "Image AP, difference", "Holm p", "p of answers", "p of FP"]
    yield table(heads, rows, title="Paired tests of whole images", note=note)
