"""Holds scores against label budgets: a figure, tables, and tested sentences."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

from jaxseg.metrics import paired_test
from jaxseg.report import text
from jaxseg.report.blocks import Block, Claim, claims, paragraph, pictures, table
from jaxseg.report.comparison import (
    label_budget_figure,
    label_budget_series,
    scores,
    tables,
    wording,
)
from jaxseg.report.comparison.group_runs import Unit, seed, several
from jaxseg.report.comparison.label_budget_series import Budget, Series, share, size
from jaxseg.report.comparison.paired_tests import Tests, between
from jaxseg.report.read import pick
from jaxseg.report.text import number

_ONCE = " alone: intervals are over images, and another seed may change the order"
_REACHED = (0.95, 0.99)


def blocks(ranking: list[Unit], tests: Tests, metric: str) -> list[Block | None]:
    """Everything that is said of label budgets; [] with fewer than two of them."""
    series = label_budget_series.series(ranking, metric)
    if not series:
        return []
    return [
        paragraph(_lead(series, ranking, metric)),
        claims([c for each in series for c in budget_claims(each, tests, metric)]),
        pictures([label_budget_figure.figure(series, ranking, metric)]),
        _labels(series),
        _reached(series, tests, metric),
    ]


def _lead(series: list[Series], ranking: list[Unit], metric: str) -> str:
    words = (
        "Labels are distinct pixels of the training images, drawn once: a run sees the "
        "same ones in every epoch. "
    )
    validation = ranking[0]["runs"][0]["splits"].get("validation")
    images = pick(validation, "result", "images")
    if images:
        words += (
            "Epoch and operating point are chosen on the full masks of "
            f"{text.plural(images, 'validation image')}, which no budget counts. "
        )
    for each in series:
        name = f"{each['words']}: " if each["words"] else "All budgets: "
        words += f"{name}{_loss(each['budgets'][0]['unit'])}. "
    seeds = {_seeds(b["unit"]) for each in series for b in each["budgets"]}
    if len(seeds) == 1:
        words += f"Every budget was trained with {min(seeds)}"
        words += ". " if "seeds" in min(seeds) else f"{_ONCE}. "
    else:
        words += "The budgets were NOT all trained with the same seeds. "
    for each in label_budget_series.references(series):
        own = _seeds(each["full"])
        words += f"Full masks: `{each['full']['name']}`"
        words += "" if seeds == {own} else f", with {own}"
        odd = ", ".join(f"`{key}`" for key in each["odd"])
        words += f", which differs in {odd} as well. " if odd else ". "
    return words.strip()


def _seeds(unit: Unit) -> str:
    seeds = [wording.setting(seed(run)) for run in unit["runs"]]
    return f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(seeds)}"


def _loss(unit: Unit) -> str:
    """The terms of the loss that count, with their arguments."""
    terms = []
    for name, knobs in (unit["runs"][0]["config"].get("loss") or {}).items():
        knobs = knobs if isinstance(knobs, dict) else {"weight": knobs}
        if knobs.get("weight") != 0:
            terms.append(f"`{name}` ({text.plain(knobs)})")
    return f"loss {' + '.join(terms)}" if terms else "loss not recorded"


def _labels(series: list[Series]) -> Block:
    """What each budget asks for, and the distinct pixels that came."""
    rows = []
    for budget, each in _pairs(series):
        asked = budget["asked"]
        rows.append(
            [
                _name(budget, each),
                text.UNDEFINED if asked is None else number(asked, "count"),
                number(budget["total"], "count"),
                number(budget["pixels"], "plain"),
                number(budget["most"], "count"),
                number(budget["share"], "percent"),
                _short(budget),
            ]
        )
    heads = ["Budget", "Clicks asked an image", "Distinct labelled pixels"]
    heads += ["of them an image, mean", "largest", "Share of all pixels"]
    return table([*heads, "Images with fewer than asked"], rows, title="Labels")


def _pairs(series: list[Series]) -> list[tuple[Budget, Series]]:
    return [(budget, each) for each in series for budget in each["budgets"]]


def _name(budget: Budget, series: Series) -> tuple[str, str]:
    unit = budget["unit"]["name"]
    words = ["" if unit == budget["label"] else unit, series["words"]]
    return budget["label"], "; ".join(filter(None, words))


def _reached(series: list[Series], tests: Tests, metric: str) -> Block:
    """What each budget reaches, beside full masks where there are such."""
    full, pairs = label_budget_series.references(series), _pairs(series)
    shares = [share(budget, each["full"], metric) for budget, each in pairs]
    with_shares = any(part is not None for part in shares)
    rows = []
    for (budget, each), part in zip(pairs, shares, strict=True):
        row = [_name(budget, each), *_scores(budget["unit"], metric)]
        row += [wording.percent(part)] * with_shares
        rows.append(row + (_against(budget, each, tests, metric) if full else []))
    for unit in (each["full"] for each in full):
        row = [("full masks", unit["name"]), *_scores(unit, metric)]
        rows.append([*row, *["reference"] * with_shares, "", "", ""])
    heads = ["Budget", "Best validation", f"`{metric}`, 95\u00a0%"]
    heads += ["Of full masks"] * with_shares
    heads += ["Minus full masks, 95\u00a0%", "p, Holm", "Decided"] if full else []
    note = _note([budget["unit"] for budget, _ in pairs], tests, metric)
    return table(heads, rows, title="Scores", note=note)


def _scores(unit: Unit, metric: str) -> list[Any]:
    """Best validation of its runs, and the stated score."""
    bests = [scores.convergence(run)["best"] for run in unit["runs"]]
    best = None if None in bests else sum(bests) / len(bests)
    row = scores.score(unit, metric)
    return [wording.value(best), (wording.scored(row), wording.span(row))]


def _against(budget: Budget, series: Series, tests: Tests, metric: str) -> list[Any]:
    """Difference to full masks, its p-values, and whether it is decided."""
    test = between(tests, metric, budget["unit"]["name"], series["full"]["name"])
    if test is None:
        return [text.UNDEFINED, text.UNDEFINED, tables.answer(None)]
    seeds = test["seeds"]
    over = "" if seeds is None else f"over seeds {wording.p_value(seeds)}"
    p = (wording.p_value(test["adjusted"]), over)
    return [tables.difference(test), p, tables.answer(test)]


def _note(units: list[Unit], tests: Tests, metric: str) -> str:
    words = "Best validation: the best epoch, before an operating point is chosen"
    words += ", mean of the seeds. " if any(map(several, units)) else ". "
    family = list(tests.get(metric, {}).values())
    if family:
        words += "Differences are tested as under Paired tests, with the same "
        words += f"correction for {text.plural(len(family), 'pair')}: "
        words += f"decided below {number(paired_test.LEVEL, 'plain')}, n.s. above. "
        least = len(family) * 2.0 ** (1 - family[0]["groups"])
        if least >= paired_test.LEVEL:
            words += (
                f"{text.plural(family[0]['groups'], 'group')} of test images are too "
                f"few: no p can be below {wording.p_value(min(1.0, least))} in all "
                "pairs. "
            )
    return words.strip()


def budget_claims(series: Series, tests: Tests, metric: str) -> Iterator[Claim]:
    """Do more labels help, how many are enough, and does their balance matter?"""
    scored = [b for b in series["budgets"] if b["row"]["value"] is not None]
    prefix = f"{series['words']}: " if series["words"] else ""
    for claim in (
        *_rises(scored, metric),
        *_reaches(series, scored, metric),
        *_of_one_size(scored, tests, metric),
        *_as_asked(series["budgets"]),
    ):
        yield Claim(answer=claim["answer"], text=prefix + claim["text"])


def _size_in_words(budget: Budget) -> str:
    """Says how large a budget is."""
    if budget["asked"] is None:
        return f"{number(budget['pixels'], 'plain')} labelled pixels an image"
    return f"{text.plural(budget['asked'], 'click')} an image"


def _unit(scored: list[Budget]) -> str:
    clicks = all(b["asked"] is not None for b in scored)
    return "clicks asked of an image" if clicks else "labelled pixels"


def _rises(scored: list[Budget], metric: str) -> Iterator[Claim]:
    """Is the score better where there are more labels?"""
    sizes = [size(budget) for budget in scored]
    if len(set(sizes)) < 2 or len(scored) < 3:
        return
    test = label_budget_series.kendall(sizes, [b["row"]["value"] for b in scored])
    if test is None:
        return
    tau = test["tau"] if scores.higher(metric) else -test["tau"]
    answer = "unclear"
    if test["p"] < paired_test.LEVEL:
        answer = "yes" if tau > 0 else "no"
    what = f"`{metric}` gets"
    words = {
        "yes": f"{what} better with more labels",
        "no": f"{what} WORSE with more labels",
        "unclear": f"That {what} better with more labels is NOT shown",
    }[answer]
    how = "over all orders" if test["exact"] else "over 99,999 drawn orders"
    words += (
        f": Kendall's tau-b between {_unit(scored)} and the scores of "
        f"{len(scored)} budgets is {test['tau']:+.2f}, two-sided permutation p = "
        f"{wording.p_value(test['p'])} ({how})"
    )
    if test["least"] >= paired_test.LEVEL:
        words += (
            f"; with these budgets it cannot be below {wording.p_value(test['least'])}"
        )
    yield Claim(answer=answer, text=f"{words}.")


def _reaches(series: Series, scored: list[Budget], metric: str) -> Iterator[Claim]:
    """Which is the smallest budget that is nearly as good as full masks?"""
    full = series["full"]
    pairs = [(budget, share(budget, full, metric)) for budget in scored]
    shares = [(budget, part) for budget, part in pairs if part is not None]
    if not shares:
        return
    bar = scores.score(full, metric)["value"]
    for level in _REACHED:
        enough = [(budget, part) for budget, part in shares if part >= level]
        percent = number(level, "percent").replace(".0", "")
        goal = f"{percent} of the {wording.value(bar)} of full masks (`{full['name']}`)"
        if not enough:
            best, part = max(shares, key=lambda pair: pair[1])
            words = (
                f"No budget reaches {goal} by `{metric}`: the best, "
                f"`{best['label']}`, reaches {wording.percent(part)}."
            )
            yield Claim(answer="no", text=words)
            continue
        first, part = min(enough, key=lambda pair: (size(pair[0]), -pair[1]))
        row, answer = first["row"], "unclear"
        if row["low"] is None:
            words = "; no interval is known"
        elif row["low"] >= level * bar:
            answer, words = "yes", f", with its whole interval {wording.span(row)}"
        else:
            words = f", but not with its whole interval {wording.span(row)}"
        below = [
            f"`{budget['label']}`"
            for budget, other in shares
            if other < level and size(budget) >= size(first)
        ]
        if below:
            words += f"; with as many labels or more {_listed(below)} "
            words += "falls short of it" if len(below) == 1 else "fall short of it"
        if series["odd"]:
            answer = "unclear"
            words += "; but full masks were not trained alike: other "
            words += ", ".join(f"`{key}`" for key in series["odd"])
        words = (
            f"The smallest budget that reaches {goal} by `{metric}` is "
            f"`{first['label']}`, {_size_in_words(first)}: "
            f"{wording.value(row['value'])}, {wording.percent(part)}{words}."
        )
        yield Claim(answer=answer, text=words)


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _of_one_size(scored: list[Budget], tests: Tests, metric: str) -> Iterator[Claim]:
    """Does it matter how a number of clicks is split into positive and negative?"""
    for clicks in sorted({b["asked"] for b in scored if b["asked"] is not None}):
        alike = [b for b in scored if b["asked"] == clicks]
        if len(alike) < 2:
            continue
        sign = 1 if scores.higher(metric) else -1
        order = sorted(alike, key=lambda b: -sign * b["row"]["value"])
        best, worst = order[0], order[-1]
        of = f"Of the {len(alike)} budgets of {text.plural(clicks, 'click')} an image"
        values = [f"`{b['label']}` ({wording.value(b['row']['value'])})" for b in order]
        if best["row"]["value"] == worst["row"]["value"]:
            words = f"{of} none is best by `{metric}`: {_listed(values)} tie."
            yield Claim(answer="unclear", text=words)
            continue
        words = f"{of} {values[0]} is best and {values[-1]} worst by `{metric}`"
        words += f", {', '.join(values[1:-1])} between" if values[1:-1] else ""
        test = between(tests, metric, best["unit"]["name"], worst["unit"]["name"])
        answer = "unclear"
        if test is None or test["adjusted"] is None:
            words += "; no paired test was possible"
        elif test["answer"] == "yes":
            once = "" if several(best["unit"]) else " between these two runs"
            words += f"; the paired test decides it{once} ({wording.tested(test)})"
            answer = "yes"
        else:
            words += f"; the paired test does NOT decide it ({wording.tested(test)})"
        words += _among(alike, (best, worst), tests, metric)
        yield Claim(answer=answer, text=f"{words}.")


def _among(
    alike: list[Budget], pair: tuple[Budget, Budget], tests: Tests, metric: str
) -> str:
    """The p-values of a pair were the budgets of its size the only ones compared."""
    family = list(itertools.combinations(alike, 2))
    names = [[b["unit"]["name"] for b in two] for two in family]
    of_size = [between(tests, metric, *two) for two in names]
    if None in of_size or len(family) == len(tests[metric]):
        return ""
    at = [set(two) for two in names].index({b["unit"]["name"] for b in pair})
    values = [[b["row"]["values"] for b in two] for two in family]
    same = all(
        math.isclose(test["values"][0], two[0]["row"]["value"], rel_tol=1e-9)
        for test, two in zip(of_size, family, strict=True)
    )  # of several classes the test sums what the score averages
    seeds = [scores.welch(*each) if same else None for each in values]
    images = paired_test.holm([test["p"] for test in of_size])[at]
    over = [f"{wording.p_value(images)} over images"]
    if (p := paired_test.holm(seeds)[at]) is not None:
        over.append(f"{wording.p_value(p)} over seeds")
    many = "this pair" if len(family) == 1 else f"these {len(family)} pairs"
    return f". Were {many} all that is compared: Holm p = {' and '.join(over)}"


def _as_asked(budgets: list[Budget]) -> Iterator[Claim]:
    """Had every image the labels that were asked for?"""
    counted = [budget for budget in budgets if budget["short"] is not None]
    lacking = [f"`{b['label']}`: {_short(b)}" for b in counted if b["short"]]
    if lacking:
        words = (
            "NOT every training image has as many pixels of a class as clicks were "
            "asked for; all it has are used, and counted once. Images with fewer: "
            f"{'; '.join(lacking)}."
        )
        yield Claim(answer="no", text=words)
    elif counted:
        words = "Every training image has as many labelled pixels of each class as "
        yield Claim(answer="yes", text=f"{words}clicks were asked for.")


def _short(budget: Budget) -> str:
    """`cell 3 of 48`: images with fewer pixels of a class than asked."""
    if not budget["short"]:
        return text.UNDEFINED if budget["short"] is None else "none"
    parts = []
    for name, (low, high) in budget["short"].items():
        many = f"{high:,}" if low == high else f"{low:,} to {high:,}"
        parts.append(f"{name} {many} of {budget['images']:,}")
    return ", ".join(parts)
