"""Score against labels: a figure, a table, and what the numbers say of them."""

from typing import Any

from jaxseg.metrics import paired_test
from jaxseg.report import text
from jaxseg.report.comparison import label_budget_claims as said
from jaxseg.report.comparison import label_budget_figure as plot
from jaxseg.report.comparison import label_budget_series as budgets
from jaxseg.report.comparison import pair_tables
from jaxseg.report.comparison import scores as numbers
from jaxseg.report.comparison import wording as say
from jaxseg.report.comparison.group_runs import Unit, seed, several
from jaxseg.report.comparison.label_budget_series import Budget, Series
from jaxseg.report.comparison.paired_tests import Tests, between
from jaxseg.report.read import pick
from jaxseg.report.run import sections
from jaxseg.report.run.tables import Table, table
from jaxseg.report.text import number

_ONCE = " alone: intervals are over images, and another seed may change the order"


def blocks(block: list[Unit], found: Tests, metric: str) -> list[dict[str, Any]]:
    """What a comparison says of label budgets; [] with fewer than two of them."""
    series = budgets.series(block, metric)
    if not series:
        return []
    claims = [c for each in series for c in said.claims(each, found, metric)]
    return [
        sections.paragraph(_lead(series, block, metric)),
        {"kind": "claims", "claims": claims},
        sections.pictures([plot.figure(series, block, metric)]),
        _labels(series),
        _reached(series, found, metric),
    ]


def _lead(series: list[Series], block: list[Unit], metric: str) -> str:
    words = (
        "Labels are distinct pixels of the training images, drawn once: a run sees the "
        "same ones in every epoch. "
    )
    first = block[0]["runs"][0]
    known = pick(first["splits"].get("validation"), "result", "images")
    if known:
        words += (
            "Epoch and operating point are chosen on the full masks of "
            f"{text.plural(known, 'validation image')}, which no budget counts. "
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
    for each in budgets.references(series):
        own = _seeds(each["full"])
        words += f"Full masks: `{each['full']['name']}`"
        words += "" if seeds == {own} else f", with {own}"
        odd = ", ".join(f"`{key}`" for key in each["odd"])
        words += f", which differs in {odd} as well. " if odd else ". "
    return words.strip()


def _seeds(unit: Unit) -> str:
    known = [say.setting(seed(run)) for run in unit["runs"]]
    return f"{'seeds' if len(known) > 1 else 'seed'} {', '.join(known)}"


def _loss(unit: Unit) -> str:
    """The terms of the loss that count, with their arguments."""
    terms = []
    for name, given in (unit["runs"][0]["config"].get("loss") or {}).items():
        given = given if isinstance(given, dict) else {"weight": given}
        if given.get("weight") != 0:
            terms.append(f"`{name}` ({text.plain(given)})")
    return f"loss {' + '.join(terms)}" if terms else "loss not recorded"


def _labels(series: list[Series]) -> Table:
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
                said.short(budget),
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


def _reached(series: list[Series], found: Tests, metric: str) -> Table:
    """What each budget reaches, beside full masks where there are such."""
    full, pairs = budgets.references(series), _pairs(series)
    shares = [budgets.share(b, each["full"], metric) for b, each in pairs]
    known = any(share is not None for share in shares)
    rows = []
    for (budget, each), share in zip(pairs, shares, strict=True):
        row = [_name(budget, each), *_scores(budget["unit"], metric)]
        row += [say.percent(share)] * known
        rows.append(row + (_against(budget, each, found, metric) if full else []))
    for unit in (each["full"] for each in full):
        row = [("full masks", unit["name"]), *_scores(unit, metric)]
        rows.append([*row, *["reference"] * known, "", "", ""])
    heads = ["Budget", "Best validation", f"`{metric}`, 95\u00a0%"]
    heads += ["Of full masks"] * known
    heads += ["Minus full masks, 95\u00a0%", "p, Holm", "Decided"] if full else []
    note = _note([budget["unit"] for budget, _ in pairs], found, metric)
    return table(heads, rows, title="Scores", note=note)


def _scores(unit: Unit, metric: str) -> list[Any]:
    """Best validation of its runs, and the stated score."""
    known = [numbers.convergence(run)["best"] for run in unit["runs"]]
    best = None if None in known else sum(known) / len(known)
    row = numbers.score(unit, metric)
    return [say.value(best), (say.scored(row), say.span(row))]


def _against(budget: Budget, series: Series, found: Tests, metric: str) -> list[Any]:
    """Difference to full masks, its p-values, and whether it is decided."""
    full = series["full"]["name"]
    test = between(found, metric, budget["unit"]["name"], full)
    if test is None:
        return [text.UNDEFINED, text.UNDEFINED, pair_tables.answer(None)]
    ends = [say.signed(test[key]) for key in ("low", "high")]
    span = "" if test["low"] is None else f"[{ends[0]}, {ends[1]}]"
    seeds = test["seeds"]
    over = "" if seeds is None else f"over seeds {say.p_value(seeds)}"
    p = (say.p_value(test["adjusted"]), over)
    return [(say.signed(test["value"]), span), p, pair_tables.answer(test)]


def _note(units: list[Unit], found: Tests, metric: str) -> str:
    words = "Best validation: the best epoch, before an operating point is chosen"
    words += ", mean of the seeds. " if any(map(several, units)) else ". "
    family = list(found.get(metric, {}).values())
    if family:
        words += "Differences are tested as under Paired tests, with the same "
        words += f"correction for {text.plural(len(family), 'pair')}: "
        words += f"decided below {number(paired_test.LEVEL, 'plain')}, n.s. above. "
        least = len(family) * 2.0 ** (1 - family[0]["groups"])
        if least >= paired_test.LEVEL:
            words += (
                f"{text.plural(family[0]['groups'], 'group')} of test images are too "
                f"few: no p can be below {say.p_value(min(1.0, least))} in all pairs. "
            )
    return words.strip()
