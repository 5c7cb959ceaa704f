"""Tables of pairs: the tests of a metric, best against worst, first against last."""

from collections.abc import Iterable, Sequence

from jaxseg.report import text
from jaxseg.report.comparison import scores as numbers
from jaxseg.report.comparison import wording as say
from jaxseg.report.comparison.group_runs import Unit
from jaxseg.report.comparison.paired_tests import Test, Tests, between
from jaxseg.report.run.tables import Table, table

_PAIRS_SHOWN = 10  # of more pairs, those with the best are shown and all are folded


def tests(block: list[Unit], found: Tests, metric: str) -> list[Table]:
    """Every pair by the stated metric; with many pairs only the best against others."""
    family = found.get(metric, {})
    best = block[0]["name"]
    shown = [pair for pair in family if best in pair]
    return [
        _tests(family, pairs)
        for pairs in ([shown, list(family)] if len(family) > _PAIRS_SHOWN else [family])
    ]


def _tests(family: dict[tuple[str, str], Test], pairs: Iterable) -> Table:
    rows = []
    with_seeds = any(family[pair]["seeds"] is not None for pair in pairs)
    for first, second in pairs:
        test = family[first, second]
        values = " and ".join(map(say.value, test["values"]))
        row = [
            (f"{first} − {second}", values),
            _difference(test),
            say.p_value(test["p"]),
            say.p_value(test["adjusted"]),
        ]
        row += [say.p_value(test["seeds"])] if with_seeds else []
        rows.append([*row, answer(test)])
    heads = ["First − second", "Difference, 95 %", "p", "p, Holm"]
    heads += ["p over seeds, Holm"] if with_seeds else []
    return table([*heads, "Decided"], rows)


def _difference(test: Test) -> tuple[str, str]:
    if test["low"] is None:
        return say.signed(test["value"]), ""
    span = f"[{say.signed(test['low'])}, {say.signed(test['high'])}]"
    return say.signed(test["value"]), span


def answer(test: Test | None) -> str:
    """What a test decides, in a word."""
    if test is None or test["adjusted"] is None:
        return "not tested"
    words = {"yes": "yes", "no": "yes", "tie": "tie"}
    return words.get(test["answer"], "n.s.")


def extremes(block: list[Unit], found: Tests, metrics: Sequence[str]) -> Table | None:
    """Best and worst by each metric, with the test between just these two."""
    rows = []
    for metric in metrics:
        values = {unit["name"]: numbers.score(unit, metric)["value"] for unit in block}
        ends = numbers.extremes(values, more=numbers.higher(metric))
        if ends is None:
            rows.append([f"`{metric}`", text.UNDEFINED, text.UNDEFINED, "", "", ""])
            continue
        test = between(found, metric, ends["best"][0], ends["worst"][0])
        tie = ends["difference"] == 0
        rows.append(
            [
                f"`{metric}`",
                _holders(ends["best"], ends["best_value"]),
                _holders(ends["worst"], ends["worst_value"]),
                "tie" if tie else say.signed(ends["difference"]),
                say.p_value(test["adjusted"]) if test and not tie else text.UNDEFINED,
                "tie" if tie else answer(test),
            ]
        )
    heads = ["Metric", "Best", "Worst", "Best − worst", "p, Holm", "Decided"]
    return table(heads, rows) if rows else None


def _holders(names: list[str], value: float) -> tuple[str, str]:
    words = ", ".join(names)
    return say.value(value), f"tie: {words}" if len(names) > 1 else words


def ends(block: list[Unit], found: Tests, metrics: Sequence[str]) -> Table | None:
    """The best by the stated metric minus the worst by it, on every metric."""
    first, last = block[0]["name"], block[-1]["name"]
    rows = []
    for metric in metrics:
        test = between(found, metric, first, last)
        if test is not None:
            pair = [say.value(v) for v in test["values"]]
            row = [
                f"`{metric}`",
                *pair,
                _difference(test),
                say.p_value(test["adjusted"]),
            ]
            rows.append([*row, answer(test)])
    heads = ["Metric", first, last, "First − second, 95 %", "p, Holm", "Decided"]
    return table(heads, rows) if rows and first != last else None
