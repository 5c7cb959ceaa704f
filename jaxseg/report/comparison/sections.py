"""The sections of a comparison, each a title and its blocks, in reading order."""

import json
import os
import pathlib
import urllib.parse
from typing import Any

from jaxseg.metrics import paired_test
from jaxseg.report import derived_numbers
from jaxseg.report.comparison import config_differences as configs
from jaxseg.report.comparison import label_budgets, pair_tables, plots, tables
from jaxseg.report.comparison import scores as numbers
from jaxseg.report.comparison import wording as say
from jaxseg.report.comparison.group_runs import Unit, several, split_of
from jaxseg.report.comparison.paired_tests import Tests
from jaxseg.report.read import Run
from jaxseg.report.run import claims
from jaxseg.report.run import sections as single
from jaxseg.report.run.tables import pairs
from jaxseg.report.text import number, plain, plural

Block = dict[str, Any]
ANSWERS = {"yes": "passed", "no": "failed", "unclear": "open"}
_FEW = 20  # groups: below, percentile intervals are too narrow


def sections(
    blocks: list[list[Unit]],
    found: Tests,
    metric: str,
    *,
    left: list[str],
    output: pathlib.Path,
) -> list[Block]:
    """[{"id", "title", "blocks"}]; `output` is where links to runs begin."""
    units = [unit for block in blocks for unit in block]
    listed = [
        ("summary", "Summary", _summary(blocks, metric, left)),
        (
            "labels",
            "Score against labels",
            label_budgets.blocks(blocks[0], found, metric),
        ),
        ("tests", "Paired tests", _tests(blocks[0], found, metric)),
        ("extremes", "Best against worst", _extremes(blocks[0], found, metric)),
        ("curves", "Curves", _curves(blocks[0], units, metric)),
        ("metrics", "Metrics", _metrics(blocks)),
        ("convergence", "Convergence", _convergence(units)),
        ("config", "What differs", _config(units)),
        (
            "runs",
            "Runs",
            [_run(unit, output) for unit in tables.members(units)],
        ),
    ]
    kept = [
        {"id": key, "title": title, "blocks": [b for b in parts if b is not None]}
        for key, title, parts in listed
    ]
    return [section for section in kept if section["blocks"]]


def details(title: str, blocks: list[Block | None]) -> Block:
    """Blocks that are there for who opens them."""
    kept = [block for block in blocks if block is not None]
    return {"kind": "details", "title": title, "blocks": kept}


def _summary(blocks: list[list[Unit]], metric: str, left: list[str]) -> list[Block]:
    shown: list[Block] = [tables.summary(blocks, metric)]
    for block in blocks:
        for unit in filter(several, block):
            title = f"The {len(unit['runs'])} seeds of {unit['name']}"
            shown.append(details(title, [tables.seeds(unit, metric)]))
    return shown + [single.paragraph(words) for words in left]


def _tests(block: list[Unit], found: Tests, metric: str) -> list[Block]:
    family = found.get(metric)
    if not family:
        why = "Nothing was tested: " + (
            "no two runs were judged on the same images."
            if len(block) < 2
            else f"`{metric}` cannot be repeated from the counts of each image."
        )
        return [single.paragraph(why)]
    test = next(iter(family.values()))
    words = (
        f"By `{metric}`. Both runs are measured on the same {test['resamples']:,} "
        f"resamples of {plural(test['groups'], 'group')} of images (patients, where "
        "known). `p = min(1, 2 min(1 + #{d* ≤ 0}, 1 + #{d* ≥ 0}) / (r + 1))` over "
        "the r differences d*, never below `2^(1 - groups)` (Efron and Tibshirani, "
        "1993; Davison and Hinkley, 1997). Holm corrects for all "
        f"{plural(len(family), 'pair')} of this metric, so the best may be picked "
        f"afterwards; decided: a corrected p below "
        f"{number(paired_test.LEVEL, 'plain')}."
    )
    if any(map(several, block)):
        words += (
            " A group is the mean of its seeds on every resample; between two groups "
            "Welch's t-test over seeds has to decide as well."
        )
    if len(derived_numbers.classes(split_of(block[0]["runs"][0], block[0]))) > 2:
        words += (
            " The counts of an image are summed over its foreground classes, so the "
            "values here are not the mean over classes."
        )
    if test["groups"] < _FEW:
        words += (
            f" With {plural(test['groups'], 'group')} the intervals are too narrow and "
            f"no p is below {say.p_value(2.0 ** (1 - test['groups']))}: more test "
            "images are needed before a difference means much."
        )
    shown = pair_tables.tests(block, found, metric)
    folded = [details(f"All {len(family)} pairs", shown[1:])] if shown[1:] else []
    return [single.paragraph(words), shown[0], *folded]


def _extremes(block: list[Unit], found: Tests, metric: str) -> list[Block | None]:
    rows = numbers.score_rows(split_of(block[0]["runs"][0], block[0]))
    table = pair_tables.extremes(block, found, [row["name"] for row in rows])
    if len(block) < 2:
        return []
    words = (
        "Every metric has its own best and its own worst run. n.s.: the paired test "
        "does not tell the two apart, whatever the sign; p is corrected for all pairs "
        "of runs, not for the number of metrics."
    )
    ends = pair_tables.ends(block, found, list(found))
    first, last = block[0]["name"], block[-1]["name"]
    title = f"{first} minus {last}, the best and worst by {metric}, on every metric"
    return [single.paragraph(words), table, ends and details(title, [ends])]


def _curves(block: list[Unit], units: list[Unit], metric: str) -> list[Block | None]:
    drawn = [plots.scores(block, metric), *plots.curves(units, metric)]
    return [single.pictures([*drawn, plots.precision_recall(block)])]


def _metrics(blocks: list[list[Unit]]) -> list[Block]:
    name = blocks[0][0]["images"][0]
    words = (
        f"On {name}. Bold: the best value of a column among runs on the same images, "
        "which is not yet a decided difference."
    )
    every = [tables.members(block) for block in blocks]  # the same tables, seed by seed
    shown: list[Block] = [single.paragraph(words), *tables.scores(blocks)]
    if any(map(several, (unit for block in blocks for unit in block))):
        shown.append(details("Seed by seed", tables.scores(every)))
    if name != "validation":
        title = "Validation, where the choices were made (optimistic)"
        shown.append(details(title, tables.scores(blocks, "validation")))
    return shown


def _convergence(units: list[Unit]) -> list[Block]:
    losses = {json.dumps(r["config"].get("loss")) for u in units for r in u["runs"]}
    words = "Reduction is the share of the initial loss that is gone at the end."
    if len(losses) > 1:
        words += " The runs minimise different losses: their values are not comparable."
    return [single.paragraph(words), tables.convergence(units)]


def _config(units: list[Unit]) -> list[Block | None]:
    table = tables.config
    differences = [
        table(units, tables.settings, "Configuration"),
        table(units, configs.surroundings, "Code, machine and data"),
    ]
    if not any(differences):
        return [
            single.paragraph("The runs have one configuration and were made alike.")
        ]
    return [single.paragraph("Only what is not the same in all runs."), *differences]


def _run(unit: Unit, output: pathlib.Path) -> Block:
    """Key facts, claims and the whole config of one run, folded."""
    run, info = unit["runs"][0], unit["runs"][0]["info"]
    keys = ("name", "recipe", "git", "created", "finished", "resumed", "skipped_steps")
    facts = [(key, plain(info.get(key))) for key in keys]
    facts += [
        ("checkpoint", f"step {number((info.get('best') or {}).get('step'), 'count')}"),
        ("wall time", number(info.get("seconds"), "seconds")),
        ("devices", plain(info.get("devices"))),
        ("judged on", tables.images_of(unit)),
    ]
    whole = json.dumps(run["config"], indent=2, ensure_ascii=False)
    blocks = [
        _link(run, output),
        pairs("", facts),
        {"kind": "claims", "claims": claims.claims(run)},
        single.folded("The whole configuration, as given", whole),
    ]
    return details(unit["name"], blocks)


def _link(run: Run, output: pathlib.Path) -> Block | None:
    path = run["workdir"] / "report.html"
    if not path.is_file():
        return None
    href = os.path.relpath(path.resolve(), output.resolve())
    return {"kind": "link", "text": "Its own report", "href": urllib.parse.quote(href)}


def cards(blocks: list[list[Unit]], metric: str) -> list[dict[str, str]]:
    """The few numbers to remember."""
    block = blocks[0]
    found = []
    for words, unit in zip(("Best", "Second"), block, strict=False):
        row = numbers.score(unit, metric)
        sub = f"95 %: {say.span(row)}" if say.span(row) else "no interval"
        name = f"{words}: {tables.title(unit)}"
        found.append({"name": name, "value": say.scored(row), "sub": sub})
    runs = sum(len(unit["runs"]) for each in blocks for unit in each)
    sub = plural(sum(map(len, blocks)), "configuration")
    found.append({"name": "Runs compared", "value": str(runs), "sub": sub})
    result = split_of(block[0]["runs"][0], block[0])["result"]
    positive = number(result.get("positive_images"), "count")
    images = number(result["images"], "count")
    name = f"Images of {block[0]['images'][0]}"
    found.append({"name": name, "value": images, "sub": f"with foreground: {positive}"})
    return found
