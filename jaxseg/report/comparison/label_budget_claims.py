"""Tested sentences about label budgets: each turns when its numbers turn."""

import itertools
import math
from collections.abc import Iterator

from jaxseg.metrics import paired_test
from jaxseg.report import text
from jaxseg.report.comparison import label_budget_series as budgets
from jaxseg.report.comparison import scores as numbers
from jaxseg.report.comparison import wording as say
from jaxseg.report.comparison.group_runs import several
from jaxseg.report.comparison.label_budget_series import Budget, Series
from jaxseg.report.comparison.paired_tests import Tests, between
from jaxseg.report.run.run_claims import Claim
from jaxseg.report.text import number

_REACHED = (0.95, 0.99)


def claims(series: Series, found: Tests, metric: str) -> Iterator[Claim]:
    """Do more labels help, how many are enough, and does their balance matter?"""
    scored = [b for b in series["budgets"] if b["row"]["value"] is not None]
    every = [*_rises(scored, metric), *_reaches(series, scored, metric)]
    every += [*_of_one_size(scored, found, metric), *_as_asked(series["budgets"])]
    for claim in every:
        words = f"{series['words']}: " if series["words"] else ""
        yield claim | {"text": words + claim["text"]}


def _of(budget: Budget) -> str:
    """How large a budget is."""
    if budget["asked"] is None:
        return f"{number(budget['pixels'], 'plain')} labelled pixels an image"
    return f"{text.plural(budget['asked'], 'click')} an image"


def _unit(scored: list[Budget]) -> str:
    clicks = all(b["asked"] is not None for b in scored)
    return "clicks asked of an image" if clicks else "labelled pixels"


def _rises(scored: list[Budget], metric: str) -> Iterator[Claim]:
    """Is the score better where there are more labels?"""
    sizes = [budgets.size(b) for b in scored]
    if len(set(sizes)) < 2 or len(scored) < 3:
        return
    test = budgets.kendall(sizes, [b["row"]["value"] for b in scored])
    if test is None:
        return
    tau = test["tau"] if numbers.higher(metric) else -test["tau"]
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
        f"{say.p_value(test['p'])} ({how})"
    )
    if test["least"] >= paired_test.LEVEL:
        words += f"; with these budgets it cannot be below {say.p_value(test['least'])}"
    yield {"answer": answer, "text": f"{words}."}


def _reaches(series: Series, scored: list[Budget], metric: str) -> Iterator[Claim]:
    """Which is the smallest budget that is nearly as good as full masks?"""
    full = series["full"]
    pairs = [(b, budgets.share(b, full, metric)) for b in scored]
    known = [(b, share) for b, share in pairs if share is not None]
    if not known:
        return
    bar = numbers.score(full, metric)["value"]
    for level in _REACHED:
        enough = [(b, share) for b, share in known if share >= level]
        percent = number(level, "percent").replace(".0", "")
        goal = f"{percent} of the {say.value(bar)} of full masks (`{full['name']}`)"
        if not enough:
            best, share = max(known, key=lambda pair: pair[1])
            words = (
                f"No budget reaches {goal} by `{metric}`: the best, "
                f"`{best['label']}`, reaches {say.percent(share)}."
            )
            yield {"answer": "no", "text": words}
            continue
        first, share = min(enough, key=lambda pair: (budgets.size(pair[0]), -pair[1]))
        row, words = first["row"], ""
        answer = "unclear"
        if row["low"] is None:
            words = "; no interval is known"
        elif row["low"] >= level * bar:
            answer, words = "yes", f", with its whole interval {say.span(row)}"
        else:
            words = f", but not with its whole interval {say.span(row)}"
        short = [
            f"`{b['label']}`"
            for b, share in known
            if share < level and budgets.size(b) >= budgets.size(first)
        ]
        if short:
            words += f"; with as many labels or more {_listed(short)} "
            words += "falls short of it" if len(short) == 1 else "fall short of it"
        if series["odd"]:
            answer = "unclear"
            words += "; but full masks were not trained alike: other "
            words += ", ".join(f"`{key}`" for key in series["odd"])
        yield {
            "answer": answer,
            "text": f"The smallest budget that reaches {goal} by `{metric}` is "
            f"`{first['label']}`, {_of(first)}: {say.value(row['value'])}, "
            f"{say.percent(share)}{words}.",
        }


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _of_one_size(scored: list[Budget], found: Tests, metric: str) -> Iterator[Claim]:
    """Does it matter how a number of clicks is split into positive and negative?"""
    for size in sorted({b["asked"] for b in scored if b["asked"] is not None}):
        alike = [b for b in scored if b["asked"] == size]
        if len(alike) < 2:
            continue
        sign = 1 if numbers.higher(metric) else -1
        order = sorted(alike, key=lambda b: -sign * b["row"]["value"])
        best, worst = order[0], order[-1]
        of = f"Of the {len(alike)} budgets of {text.plural(size, 'click')} an image"
        values = [f"`{b['label']}` ({say.value(b['row']['value'])})" for b in order]
        if best["row"]["value"] == worst["row"]["value"]:
            words = f"{of} none is best by `{metric}`: {_listed(values)} tie."
            yield {"answer": "unclear", "text": words}
            continue
        words = f"{of} {values[0]} is best and {values[-1]} worst by `{metric}`"
        words += f", {', '.join(values[1:-1])} between" if values[1:-1] else ""
        names = best["unit"]["name"], worst["unit"]["name"]
        test = between(found, metric, *names)
        if test is None or test["adjusted"] is None:
            answer, told = "unclear", "no paired test was possible"
        elif test["answer"] == "yes":
            once = "" if several(best["unit"]) else " between these two runs"
            told = f"the paired test decides it{once} ({say.tested(test)})"
            answer = "yes"
        else:
            answer = "unclear"
            told = f"the paired test does NOT decide it ({say.tested(test)})"
        told += _among(alike, (best, worst), found, metric)
        yield {"answer": answer, "text": f"{words}; {told}."}


def _among(
    alike: list[Budget], pair: tuple[Budget, Budget], found: Tests, metric: str
) -> str:
    """The p-values of a pair were the budgets of its size the only ones compared."""
    family = list(itertools.combinations(alike, 2))
    names = [[b["unit"]["name"] for b in two] for two in family]
    tests = [between(found, metric, *two) for two in names]
    if None in tests or len(family) == len(found[metric]):
        return ""
    at = [set(two) for two in names].index({b["unit"]["name"] for b in pair})
    values = [[b["row"]["values"] for b in two] for two in family]
    same = all(
        math.isclose(test["values"][0], two[0]["row"]["value"], rel_tol=1e-9)
        for test, two in zip(tests, family, strict=True)
    )  # of several classes the test sums what the score averages
    seeds = [numbers.welch(*each) if same else None for each in values]
    images = paired_test.holm([test["p"] for test in tests])[at]
    over = [f"{say.p_value(images)} over images"]
    if (p := paired_test.holm(seeds)[at]) is not None:
        over.append(f"{say.p_value(p)} over seeds")
    many = "this pair" if len(family) == 1 else f"these {len(family)} pairs"
    return f". Were {many} all that is compared: Holm p = {' and '.join(over)}"


def _as_asked(every: list[Budget]) -> Iterator[Claim]:
    """Had every image the labels that were asked for?"""
    asked = [b for b in every if b["short"] is not None]
    lacking = [b for b in asked if b["short"]]
    if lacking:
        shown = "; ".join(f"`{b['label']}`: {short(b)}" for b in lacking)
        words = (
            "NOT every training image has as many pixels of a class as clicks were "
            f"asked for; all it has are used, and counted once. Images with fewer: "
            f"{shown}."
        )
        yield {"answer": "no", "text": words}
    elif asked:
        words = "Every training image has as many labelled pixels of each class as "
        yield {"answer": "yes", "text": f"{words}clicks were asked for."}


def short(budget: Budget) -> str:
    """`cell 3 of 48`: images with fewer pixels of a class than asked."""
    if not budget["short"]:
        return text.UNDEFINED if budget["short"] is None else "none"
    parts = []
    for name, (low, high) in budget["short"].items():
        many = f"{high:,}" if low == high else f"{low:,} to {high:,}"
        parts.append(f"{name} {many} of {budget['images']:,}")
    return ", ".join(parts)
