"""The sections of a comparison, each a title and its blocks, in reading order."""

import json
import os
import pathlib
import urllib.parse
from collections.abc import Sequence

from jaxseg.metrics import paired_test
from jaxseg.report import blocks, derived_numbers
from jaxseg.report.blocks import Block, Card, folded, paragraph
from jaxseg.report.comparison import (
    agreement,
    by_class,
    config_differences,
    image_classes,
    image_level,
    iterations,
    label_budgets,
    objects,
    paired_tests,
    plots,
    scores,
    tables,
    wording,
)
from jaxseg.report.comparison.group_runs import (
    Unit,
    images_of,
    judged_on,
    members,
    settings,
    several,
    split_of,
    title,
    trained,
)
from jaxseg.report.comparison.paired_tests import Tests
from jaxseg.report.read import Run, of_masks
from jaxseg.report.run import claims as run_claims
from jaxseg.report.text import number, plain, plural

_FEW = 20  # groups: below, percentile intervals are too narrow


def sections(
    rankings: list[list[Unit]],
    tests: Tests,
    metric: str,
    *,
    left_out: Sequence[str],
    output: pathlib.Path,
) -> list[Block]:
    """[{"id", "title", "blocks"}]; `output` is where links to runs begin."""
    every = [unit for ranking in rankings for unit in ranking]
    units = trained(every)
    best = rankings[0]  # the largest set of runs that were judged on the same images
    listed = [
        ("summary", "Summary", _summary(rankings, metric, left_out)),
        ("iterations", "Iterations", iterations.blocks(units, tests, metric)),
        ("classes", "By class", by_class.blocks(rankings, metric)),
        ("image_classes", "Image classes", image_classes.blocks(rankings)),
        ("objects", "Objects", objects.blocks(rankings)),
        ("images", "Image level", image_level.blocks(rankings)),
        ("agreement", "Agreement with the masks of the data", agreement.blocks(every)),
        ("labels", "Score against labels", label_budgets.blocks(best, tests, metric)),
        ("tests", "Paired tests", _tests(best, tests, metric)),
        ("extremes", "Best against worst", _extremes(best, tests, metric)),
        ("curves", "Curves", _curves(best, every, metric)),
        ("metrics", "Metrics", _metrics(rankings)),
        ("convergence", "Convergence", _convergence(units)),
        ("config", "What differs", _config(units) if len(units) > 1 else []),
        ("runs", "Runs", [_run(unit, output) for unit in members(every)]),
    ]
    return blocks.sections(listed)


def _summary(
    rankings: list[list[Unit]], metric: str, left_out: Sequence[str]
) -> list[Block]:
    groups = [unit for ranking in rankings for unit in ranking if several(unit)]
    seeds = [
        folded(
            f"The {len(unit['runs'])} seeds of {unit['name']}",
            [tables.seeds(unit, metric)],
        )
        for unit in groups
    ]
    return [tables.summary(rankings, metric), *seeds, *map(paragraph, left_out)]


def _corrected(pairs: int) -> str:
    """What Holm's correction is for."""
    if pairs == 1:
        return "There is one pair, so Holm's correction changes nothing"
    return (
        f"Holm corrects for all {plural(pairs, 'pair')} of this metric, so the best "
        "may be picked afterwards"
    )


def _tests(ranking: list[Unit], tests: Tests, metric: str) -> list[Block]:
    family = tests.get(metric)
    if not family:
        return [paragraph(f"Nothing was tested: {_untested(ranking, metric)}.")]
    test = next(iter(family.values()))
    words = (
        f"By `{metric}`. Both runs are measured on the same {test['resamples']:,} "
        f"resamples of {plural(test['groups'], 'group')} of images (patients, where "
        "known). `p = min(1, 2 min(1 + #{d* ≤ 0}, 1 + #{d* ≥ 0}) / (r + 1))` over "
        "the r differences d*, never below `2^(1 - groups)` (Efron and Tibshirani, "
        f"1993; Davison and Hinkley, 1997). {_corrected(len(family))}; decided: a "
        "corrected p below "
        f"{number(paired_test.LEVEL, 'plain')}."
    )
    if any(map(several, ranking)):
        words += (
            " A group is the mean of its seeds on every resample; between two groups "
            "Welch's t-test over seeds has to decide as well."
        )
    if paired_tests.over_classes(ranking):
        words += (
            " Every value is the mean over the foreground classes that the truth has, "
            "on every resample too."
        )
    elif len(derived_numbers.classes(split_of(ranking[0]))) > 2:
        words += (
            " The counts of an image are summed over its foreground classes, so the "
            "values here are not the mean over classes."
        )
    if test["groups"] < _FEW:
        words += (
            f" With {plural(test['groups'], 'group')} the intervals are too narrow and "
            f"no p is below {wording.p_value(2.0 ** (1 - test['groups']))}: more test "
            "images are needed before a difference means much."
        )
    first, *others = tables.pair_tests(ranking, tests, metric)
    every = [folded(f"All {len(family)} pairs", others)] if others else []
    return [paragraph(words), first, *every]


def _untested(ranking: list[Unit], metric: str) -> str:
    """Why there is no paired test of the largest set of runs on the same images."""
    if len(ranking) > 1:
        return f"`{metric}` cannot be repeated from the counts of each image"
    if several(ranking[0]):
        return (
            f"the {len(ranking[0]['runs'])} runs of `{ranking[0]['name']}` differ in "
            "their seed alone, and no other configuration was judged on their images"
        )
    return "no two runs were judged on the same images"


def _extremes(ranking: list[Unit], tests: Tests, metric: str) -> list[Block | None]:
    if len(ranking) < 2:
        return []
    names = [row["name"] for row in scores.score_rows(split_of(ranking[0]))]
    words = (
        "Every metric has its own best and its own worst run. n.s.: the paired test "
        "does not tell the two apart, whatever the sign; p is corrected for all pairs "
        "of runs, not for the number of metrics."
    )
    table = tables.best_minus_worst(ranking, tests)
    first, last = ranking[0]["name"], ranking[-1]["name"]
    heading = f"{first} minus {last}, the best and worst by {metric}, on every metric"
    extremes = tables.extremes(ranking, tests, names)
    return [paragraph(words), extremes, table and folded(heading, [table])]


def _curves(ranking: list[Unit], units: list[Unit], metric: str) -> list[Block | None]:
    drawn = [plots.score_intervals(ranking, metric), *plots.curves(units, metric)]
    return [blocks.pictures([*drawn, plots.precision_recall(ranking)])]


def _metrics(rankings: list[list[Unit]]) -> list[Block]:
    words = (
        f"On {judged_on(rankings)}. Bold: the best value of a column among runs on the "
        "same images, which is not yet a decided difference."
    )
    parts = [paragraph(words), *tables.metrics(rankings)]
    if any(several(unit) for ranking in rankings for unit in ranking):
        by_seed = [members(ranking) for ranking in rankings]
        parts.append(folded("Seed by seed", tables.metrics(by_seed)))
    if rankings[0][0]["images"][0] != "validation":
        heading = "Validation, where the choices were made (optimistic)"
        parts.append(folded(heading, tables.metrics(rankings, "validation")))
    return parts


def _convergence(units: list[Unit]) -> list[Block]:
    losses = {json.dumps(r["config"].get("loss")) for u in units for r in u["runs"]}
    words = "Reduction is the share of the initial loss that is gone at the end."
    if len(losses) > 1:
        words += " The runs minimise different losses: their values are not comparable."
    return [paragraph(words), tables.convergence(units)] if units else []


def _config(units: list[Unit]) -> list[Block | None]:
    differences = [
        tables.differences(units, settings, "Configuration"),
        tables.differences(
            units, config_differences.surroundings, "Code, machine and data"
        ),
    ]
    if not any(differences):
        return [paragraph("The runs have one configuration and were made alike.")]
    return [paragraph("Only what is not the same in all runs."), *differences]


def _run(unit: Unit, output: pathlib.Path) -> Block:
    """Key facts, claims and the whole config of one run, folded."""
    run, info = unit["runs"][0], unit["runs"][0]["info"]
    keys = ("name", "recipe", "git", "created", "finished", "resumed", "skipped_steps")
    facts = [(key, plain(info.get(key))) for key in keys]
    facts += [
        ("checkpoint", f"step {number((info.get('best') or {}).get('step'), 'count')}"),
        ("time of all epochs", number(info.get("seconds"), "seconds")),
        ("devices", plain(info.get("devices"))),
        ("judged on", images_of(unit)),
    ]
    whole = json.dumps(run["config"], indent=2, ensure_ascii=False)
    parts = [
        _link(run, output),
        blocks.pairs("", facts),
        blocks.claims([] if of_masks(run) else run_claims.claims(run)),
        folded("Every setting that the run depends on", [blocks.code(whole)]),
    ]
    return folded(unit["name"], parts)


def _link(run: Run, output: pathlib.Path) -> Block | None:
    path = run["workdir"] / "report.html"
    if not path.is_file():
        return None
    href = os.path.relpath(path.resolve(), output.resolve())
    return blocks.link("Its own report", urllib.parse.quote(href))


def cards(rankings: list[list[Unit]], metric: str) -> list[Card]:
    """The few numbers to remember."""
    best = rankings[0]
    listed: list[Card] = []
    for words, unit in zip(("Best", "Second"), best, strict=False):
        row = scores.score(unit, metric)
        span = wording.span(row)
        sub = f"95 %: {span}" if span else "no interval"
        listed.append(Card(f"{words}: {title(unit)}", wording.scored(row), sub))
    units = [unit for ranking in rankings for unit in ranking]
    sub = plural(len(units), "configuration")
    listed.append(Card("Runs compared", str(len(members(units))), sub))
    result = split_of(best[0])["result"]
    sub = f"with foreground: {number(result.get('positive_images'), 'count')}"
    name = f"Images of {best[0]['images'][0]}"
    listed.append(Card(name, number(result["images"], "count"), sub))
    return listed
