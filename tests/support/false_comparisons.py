"""The sentences that a comparison tests, each with runs in which it is false.

`tests/report/test_every_claim.py` wants a row for every place that says one.
"""

import copy
import types

from jaxseg.report.comparison import claims, folds, label_budget_series, label_budgets
from support import fake_budgets
from support import spoiled_runs as make
from support.false_sentences import BEADS, F1, HEADS, SIX, TWO, Case

METRIC = "dice_pooled"
_OF = "comparison.claims"
RISING = {"5+5": 0.90, "10+10": 0.91, "20+20": 0.93, "50+50": 0.94, "300+300": 0.955}
FALLING = dict(zip(RISING, reversed(RISING.values()), strict=True))
SIXTY = {"10+50": 0.94, "30+30": 0.93, "50+10": 0.92, "5+5": 0.90}


def pair(run):
    """Two runs `a` and `b` like `run`, `a` first; their paired test decides it."""
    units = []
    for name in "ab":
        own = copy.deepcopy(run)
        images = ("test", make.result(own)["split_hash"])
        units.append({"name": name, "names": [name], "runs": [own], "images": images})
    return types.SimpleNamespace(rankings=[units], p=0.001)


def told(compared):
    """All claims of `pair`, the verdict first."""
    ranking = compared.rankings[0]
    tests = {METRIC: {("a", "b"): fake_budgets.test_of(0.8, 0.7, compared.p)}}
    verdict = claims.verdict(ranking, tests, METRIC)
    return [verdict, *claims.claims(compared.rankings, METRIC)]


def budgets(_):
    return types.SimpleNamespace(scores=RISING, full=0.96, p=0.001, short={})


def budgets_told(study):
    """All claims of a study of label budgets."""
    units = fake_budgets.study(study.scores, study.full)
    for unit in units:
        if unit["name"] in study.short:
            run = unit["runs"][0]["info"]["supervision"]
            run["short_images"]["cell"] = study.short[unit["name"]]
    (series,) = label_budget_series.series(units, METRIC)
    tests = fake_budgets.pairs_of(study.scores, study.p)
    return list(label_budgets.budget_claims(series, tests, METRIC))


def folds_of(_):
    """Three folds whose members agree, each above its baseline."""
    row = {"name": METRIC, "class": "cell", "low": 0.6, "high": 0.8}
    baselines = [{"name": "all_empty", "metrics": {METRIC: 0.1}}]
    own = {"positive_images": 4, "baselines": baselines}
    return {
        "metric": METRIC,
        "images": 30,
        "classes": ["background", "cell"],
        "metrics": [row | {"value": 0.7}],
        "members": [
            own | {"name": f"fold{k}", "metrics": [row | {"value": 0.69 + k / 100}]}
            for k in range(3)
        ],
    }


def folds_told(pooled):
    """The verdict on folds, and what else their page says."""
    return [folds._verdict(pooled), *folds._claims(pooled)]


def _member(key, value):
    """Sets what one fold says."""
    return lambda pooled: pooled["members"][1].update({key: value})


def _score(**values):
    """Sets the score of one fold."""
    return lambda pooled: pooled["members"][1]["metrics"][0].update(values)


def of(name, change):
    """A change of one of the runs."""

    def apply(compared):
        units = [unit for ranking in compared.rankings for unit in ranking]
        change(next(unit for unit in units if unit["name"] == name)["runs"][0])

    return apply


def all_of(*changes):
    """Several changes, one after the other."""

    def apply(subject):
        for change in changes:
            change(subject)

    return apply


def both(change):
    return all_of(of("a", change), of("b", change))


def given(**values):
    return lambda subject: vars(subject).update(values)


def valued(name, test, validation):
    """The stated metric of a run on test and on validation."""

    def change(run):
        make.bars(run, METRIC, 0.1)
        make.metric(run, METRIC, test, test - 0.1, test + 0.1)
        make.metric(run, METRIC, validation, split="validation")

    return of(name, change)


def elsewhere(digest):
    """The second run was judged on other images, or without a hash of them."""

    def apply(compared):
        a, b = compared.rankings[0]
        b["images"] = ("test", digest)
        compared.rankings = [[a], [b]]

    return apply


def recorded(value, *path):
    """Sets what run.json says."""

    def change(run):
        *blocks, last = path
        place = run["info"]
        for key in blocks:
            place = place.setdefault(key, {})
        place[last] = value

    return change


def _beside(words, value, other, *path):
    return Case(
        *(f"{_OF}.equal_means", TWO, both(recorded(value, *path))),
        of("b", recorded(other, *path)),
        *(f"All runs were {words}", f"The runs were NOT all {words}"),
    )


BETTER = all_of(valued("a", 0.8, 0.8), valued("b", 0.7, 0.7))
BEATEN = (make.objects("count_mae", 1, 0.5, 1.5, 5.0), make.objects(F1, 0.9, 0.8, 1, 0))
STUDY = [
    Case(
        *("comparison.label_budgets._rises", "", given(), given(scores=FALLING)),
        *("gets better with more labels:", "gets WORSE with more labels"),
    ),
    Case(
        *("comparison.label_budgets.budget_claims", "", given(), given(scores=FALLING)),
        *("gets better with more labels:", "gets WORSE with more labels"),
    ),
    Case(
        *("comparison.label_budgets._reaches", "", given(), given(full=2.0)),
        *("The smallest budget that reaches 95 %", "No budget reaches 95 %"),
    ),
    Case(
        *("comparison.label_budgets._of_one_size", ""),
        *(given(scores=SIXTY), given(p=0.3)),
        *("the paired test decides it", "the paired test does NOT decide it"),
    ),
    Case(
        *("comparison.label_budgets._as_asked", "", given(), given(short={"5+5": 3})),
        *("Every training image has", "NOT every training image has"),
    ),
]
FOLDS = [
    Case(
        *("comparison.folds._verdict", "", make.nothing, _score(value=0.05)),
        *("in 3 of 3 folds", "in 2 of 3 folds"),
    ),
    Case(
        *("comparison.folds._claims", "", make.nothing, _score(low=0.71)),
        *("the interval of 3 of 3 folds", "the interval of 2 of 3 folds"),
    ),
    Case(
        *("comparison.folds._claims", "", make.nothing, _member("positive_images", 0)),
        *("Every fold has images with foreground", "NOT every fold has images with"),
    ),
]
_OWN = {"kind": "module", "sha256": "a" * 64}
PAIRS = [
    Case(
        *(f"{_OF}.same_modules", TWO, both(recorded({"my_lab.loss": _OWN}, "sources"))),
        of("b", recorded({"my_lab.loss": _OWN | {"sha256": "b" * 64}}, "sources")),
        *("were the same in all", "NOT all made by the same `my_lab.loss`"),
    ),
    Case(
        *(f"{_OF}._best_of_several", TWO, BETTER, given(p=0.5)),
        *("`a` is better than the other run", "better than the second is NOT decided"),
    ),
    Case(
        *(f"{_OF}.same_images", TWO, make.nothing, elsewhere("another")),
        *("All runs were judged on the same", "were judged on 2 sets of images"),
    ),
    Case(
        *(f"{_OF}.same_images", TWO, make.nothing, elsewhere(None)),
        *("All runs were judged on the same", "judged on the same images is NOT known"),
    ),
    Case(
        *(f"{_OF}.above_baselines", TWO, BETTER, valued("b", 0.05, 0.7)),
        *("2 of 2 runs are above every trivial", "NOT above: `b`"),
    ),
    Case(
        *(f"{_OF}.order", TWO, BETTER, valued("b", 0.7, 0.9)),
        *("is best on test as well", "is NOT the best on test"),
    ),
    _beside("trained on the same images", "x", "y", "dataset", "split_hash", "train"),
    _beside("trained on the same pixels", "x", "y", "dataset", "content", "train"),
    _beside("shown the same number of images", 60, 90, "images_seen"),
    _beside("made by the same revision of the code", "x", "y", "git", "revision"),
    Case(
        *(f"{_OF}.long_enough", TWO, both(make.EARLY), of("b", make.RISING)),
        "Validation still improves in the last third of none of 2 runs",
        "1 of 2 runs may have been too short",
    ),
    Case(
        *("comparison.by_class.claims", SIX),
        *(both(make.dead(yes=False)), of("b", make.dead(yes=True))),
        *("each of them predicts every class", "NEVER PREDICT a class"),
    ),
    Case(
        *("comparison.image_classes.claims", HEADS, both(make.answered([0, 9, 0]))),
        of("b", make.answered([9, 0, 0])),
        *("runs answers with every class", "NEVER ANSWER with a class"),
    ),
    Case(
        *("comparison.objects.claims", BEADS, all_of(*map(both, BEATEN))),
        of("a", make.objects(F1, 0.05, 0.01, 0.1, 0.1)),
        *("Objects of `a` on test: above both baselines", "`a` on test: NOT above"),
    ),
]
