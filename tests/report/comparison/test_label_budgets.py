"""Score against labels: what is claimed of budgets, and that it turns with numbers."""

import re

import pytest
from scipy import stats
from support.fake_budgets import METRIC, labels, pairs_of, study, sweep, unit

from jaxseg.report import page
from jaxseg.report.comparison import (
    build,
    group_runs,
    label_budget_series,
    label_budgets,
    paired_tests,
    scores,
)


def claims(units, tests=None, metric=METRIC):
    (series,) = label_budget_series.series(units, metric)
    return list(label_budgets.budget_claims(series, tests or {}, metric))


def starting(listed, words):
    (claim,) = [c for c in listed if c["text"].startswith(words)]
    return claim


RISING = {"5+5": 0.90, "10+10": 0.91, "20+20": 0.93, "50+50": 0.94, "300+300": 0.955}


def test_that_more_labels_help_is_a_test_and_turns():
    claim = starting(claims(study(RISING)), f"`{METRIC}` gets better with more labels")
    assert claim["answer"] == "yes"
    assert "of 5 budgets is +1.00, two-sided permutation p = 0.017" in claim["text"]
    falling = dict(zip(RISING, list(RISING.values())[::-1], strict=True))
    claim = starting(claims(study(falling)), f"`{METRIC}` gets WORSE with more labels")
    assert claim["answer"] == "no" and "-1.00" in claim["text"]
    mixed = dict(zip(RISING, (0.9, 0.8, 0.91, 0.85, 0.88), strict=True))
    claim = starting(claims(study(mixed)), "That `dice_pooled` gets better")
    assert claim["answer"] == "unclear" and "NOT shown" in claim["text"]
    few = {"5+5": 0.8, "10+10": 0.85, "20+20": 0.9}
    claim = starting(claims(study(few)), "That `dice_pooled` gets better")
    assert claim["text"].endswith("with these budgets it cannot be below 0.33.")


def test_less_is_better_of_a_distance():
    metric = "hd95_image_skip_empty"
    units = [
        unit(name, 10 - 9 * value, labels(*map(int, name.split("+"))), metric=metric)
        for name, value in RISING.items()
    ]
    listed = claims([*units, unit("masks", 1.0, metric=metric)], metric=metric)
    claim = starting(listed, f"`{metric}` gets better with more labels")
    assert claim["answer"] == "yes" and " -1.00," in claim["text"]
    assert not [c for c in listed if "reaches" in c["text"]]  # no share of a distance


def test_the_smallest_budget_that_is_enough_turns():
    listed = claims(study(RISING, full=0.96))  # bars: 0.9120 and 0.9504
    claim = starting(listed, "The smallest budget that reaches 95 %")
    assert "is `20+20`, 40 clicks an image: 0.9300, 96.88 %" in claim["text"]
    assert claim["answer"] == "yes" and "whole interval [0.9200," in claim["text"]
    claim = starting(listed, "The smallest budget that reaches 99 %")
    assert "`300+300`, 600 clicks an image: 0.9550, 99.48 %" in claim["text"]
    assert claim["answer"] == "unclear" and "not with its whole" in claim["text"]
    listed = claims(study(RISING, full=0.97))
    claim = starting(listed, "No budget reaches 99 %")
    assert claim["answer"] == "no" and "`300+300`, reaches 98.45 %" in claim["text"]
    listed = claims(study(RISING | {"100+100": 0.85, "60+40": 0.86}))
    claim = starting(listed, "The smallest budget that reaches 95 %")
    assert "with as many labels or more `60+40` and `100+100` fall" in claim["text"]


SIXTY = {"10+50": 0.94, "30+30": 0.93, "50+10": 0.92, "5+5": 0.90}


@pytest.mark.parametrize("p, answer", [(0.001, "yes"), (0.3, "unclear")])
def test_best_and_worst_of_one_number_of_clicks_and_whether_it_is_decided(p, answer):
    claim = starting(claims(study(SIXTY), pairs_of(SIXTY, p)), "Of the 3 budgets of 60")
    assert "`10+50` (0.9400) is best and `50+10` (0.9200) worst" in claim["text"]
    assert "`30+30` (0.9300) between" in claim["text"] and claim["answer"] == answer
    assert ("NOT decide" in claim["text"]) == (answer == "unclear")
    among = "Were these 3 pairs all that is compared: Holm p = "
    assert f"{among}{'0.003' if answer == 'yes' else '0.9'} over" in claim["text"]
    turned = SIXTY | {"50+10": 0.95}
    listed = claims(study(turned), {METRIC: {}})
    claim = starting(listed, "Of the 3 budgets of 60")
    assert "`50+10` (0.9500) is best and `30+30` (0.9300) worst" in claim["text"]
    assert claim["answer"] == "unclear" and "no paired test" in claim["text"]
    equal = dict.fromkeys(SIXTY, 0.9)
    claim = starting(claims(study(equal)), "Of the 3 budgets of 60")
    assert claim["answer"] == "unclear" and claim["text"].endswith(" tie.")


def test_seeds_have_a_say_of_their_own():
    scores = {"10+50": (0.94, 0.95, 0.93), "50+10": (0.92, 0.96, 0.88)}
    units = [
        unit(name, v, labels(*map(int, name.split("+"))), seeds=(0, 1, 2))
        for name, v in scores.items()
    ]
    units.append(unit("masks", 0.97))
    means = {"10+50": 0.94, "50+10": 0.92, "masks": 0.97}
    claim = starting(
        claims(units, pairs_of(means, 0.001, seeds=1.0)), "Of the 2 budgets"
    )
    assert claim["answer"] == "unclear" and "Holm p = 1 over seeds" in claim["text"]
    welch = stats.ttest_ind(*scores.values(), equal_var=False).pvalue
    assert claim["text"].endswith(f"0.001 over images and {welch:.2g} over seeds.")


def test_images_with_too_few_pixels_are_told():
    units = study(RISING)
    words = "Every training image has as many"
    assert starting(claims(units), words)["answer"] == "yes"
    units[4] = unit("300+300", 0.955, labels(300, 300, short=7))
    claim = starting(claims(units), "NOT every training image")
    assert claim["answer"] == "no" and "`300+300`: cell 7 of 60" in claim["text"]
    united = unit("a", 0.9, labels(5, 5, annotators=2) | {"short_images": {}})
    assert [c for c in claims([united] * 2) if "has as many" in c["text"]] == []


def test_a_section_needs_two_budgets_and_a_share_needs_full_masks(undrawn):
    alone = [unit("5+5", 0.9, labels(5, 5)), unit("masks", 0.95)]
    assert label_budgets.blocks(alone, {}, METRIC) == []
    assert label_budgets.blocks([unit("a", 0.9), unit("b", 0.8)], {}, METRIC) == []
    heads = [_tables(study(RISING, full=full))[1]["heads"] for full in (0.96, None)]
    assert "Of full masks" in heads[0] and "Decided" in heads[0]
    assert heads[1] == ["Budget", "Best validation", f"`{METRIC}`, 95\u00a0%"]
    assert not [
        c for c in claims(study(RISING, full=None)) if "full masks" in c["text"]
    ]


def _tables(units, tests=None):
    blocks = label_budgets.blocks(units, tests or {}, METRIC)
    return [block for block in blocks if block["kind"] == "table"]


def _cells(table):
    return [[cell["main"] for cell in row] for row in table["rows"]]


def test_tables_hold_the_budget_and_what_it_reaches(undrawn):
    units = study({"50+10": 0.92, "5+5": 0.9})
    units[0]["runs"][0]["info"]["supervision"] = labels(50, 10, short=6)
    given, reached = map(
        _cells, _tables(units, pairs_of({"5+5": 0.9, "masks": 0.96}, 0))
    )
    assert given[0] == ["5+5", "10", "600", "10", "10", "0.43 %", "none"]
    total = 60 * 60 - 6 * 25
    few = [f"{total:,}", "57.5", "60", "2.5 %", "cell 6 of 60"]
    assert given[1] == ["50+10", "60", *few]
    assert reached[0][:4] == ["5+5", "0.6000", "0.9000", "93.75 %"]
    assert reached[0][4:] == ["-0.0600", "below 0.0001", "yes"]
    assert reached[1][3:] == ["95.83 %", "n/a", "n/a", "not tested"]
    assert reached[2] == ["full masks", "0.6000", "0.9600", "reference", "", "", ""]


def test_what_is_not_alike_is_told(undrawn):
    def lead(units):
        return label_budgets.blocks(units, {}, METRIC)[0]["text"]

    loss = {"loss": {"partial": {"weight": 1.0, "balance": "class"}}}
    loss["loss"]["entropy"] = {"weight": 0.0}
    units = [unit(f"{n}", 0.9, labels(n, n), config=loss) for n in (5, 9)]
    full = unit("masks", 0.85, config={**loss, "epochs": 9})
    claim = starting(claims([*units, full]), "The smallest budget that reaches 99 %")
    assert claim["answer"] == "unclear" and "alike: other `epochs`" in claim["text"]
    words = lead([*units, full])
    assert "loss `partial` (weight 1, balance class)" in words
    assert "entropy" not in words
    assert "Full masks: `masks`, which differs in `epochs` as well." in words
    assert "with seed 0 alone" in words
    other = unit("b", 0.9, labels(9, 9), config=loss, seeds=(1, 2))
    words = lead([units[0], other, full])
    assert "NOT all trained with the same seeds" in words and ", with seed 0," in words


def test_budgets_of_two_kinds_are_told_apart(undrawn):
    units = study({"5+5": 0.9, "10+10": 0.92, "20+20": 0.94})
    units += [unit(f"c{n}", 0.95, labels(n, n, strategy="centre")) for n in (5, 10, 20)]
    strokes = labels(1, 1, name="scribbles", length=40) | {"short_images": {}}
    nothing = labels(0, 0) | {"options": {"name": "image_level", "seed": 0}}
    units += [unit("s", 0.95, strokes), unit("i", 0.5, nothing)]
    series = label_budget_series.series(units, METRIC)
    assert [len(s["budgets"]) for s in series] == [3, 3, 1, 1]
    assert label_budget_series.asked(labels(5, 7, annotators=2)["options"], 3) == 34
    assert "supervision.strategy: centre" in series[1]["words"]
    assert all(s["full"]["name"] == "masks" and s["odd"] == [] for s in series)
    listed = list(label_budgets.budget_claims(series[1], {}, METRIC))
    assert listed and all("strategy: centre" in c["text"] for c in listed)
    rows = _cells(_tables(units)[0])
    assert rows[6][:2] == ["scribbles 1+1", "n/a"] and rows[7][0] == "image_level"
    assert len(_tables(units)[1]["rows"]) == 9  # full masks once


def test_shares_of_masks_are_one_series(undrawn):
    def masks(share, pixels):
        options = {"name": "mixed", "seed": 0, "masks": share, "paths": []}
        return labels(pixels, pixels) | {"options": options | {"annotators": 1}}

    units = [unit(f"m{n}", 0.9, masks(n, 9 + int(9 * n))) for n in (0.0, 0.05, 1.0, 53)]
    (series,) = label_budget_series.series(units, METRIC)
    names = [budget["label"] for budget in series["budgets"]]
    assert sorted(names) == [
        "mixed 0 % of masks",
        "mixed 100 % of masks",
        "mixed 5 % of masks",
        "mixed 53 masks",
    ]


def test_too_few_test_images_are_told(undrawn):
    def note(groups):
        tests = pairs_of(SIXTY, 0.5)
        for test in tests[METRIC].values():
            test["groups"] = groups
        return _tables(study(SIXTY), tests)[1]["note"]

    assert "4 groups of test images are too few: no p can be below 0.75" in note(4)
    assert "too few" not in note(20)


def test_rank_correlation_is_that_of_scipy_and_its_p_is_exact():
    x, y = [1, 2, 3, 4, 5, 6, 7], [2, 1, 4, 3, 7, 5, 6]
    test = label_budget_series.kendall(x, y)
    other = stats.kendalltau(x, y, method="exact")
    assert test["tau"] == pytest.approx(other.statistic)
    assert test["p"] == pytest.approx(other.pvalue) and test["exact"]
    assert test["least"] == pytest.approx(2 / 5040)
    tied = [1, 2, 2, 2, 3]  # 3!/5! of the orders rise, as many fall
    test = label_budget_series.kendall(tied, [1, 2, 3, 4, 5])
    expected = stats.kendalltau(tied, [1, 2, 3, 4, 5]).statistic
    assert test["tau"] == pytest.approx(expected) and test["p"] == 12 / 120
    test = label_budget_series.kendall(range(10), [*range(10)])
    assert test["p"] == test["least"] <= 2e-5 and not test["exact"]
    assert label_budget_series.kendall([1, 1, 1], [1, 2, 3]) is None


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Three budgets and full masks, two seeds each, as run directories."""
    return sweep(tmp_path_factory.mktemp("swept"))


def test_the_report_of_a_sweep_has_the_section_and_is_the_same_twice(swept, tmp_path):
    pages = [build.build([swept], tmp_path / name) for name in "ab"]
    files = [
        {p.name: p.read_bytes() for p in page["html"].parent.rglob("*.*")}
        for page in pages
    ]
    assert files[0] == files[1] and "compare_score_against_labels.png" in files[0]
    text = pages[0]["markdown"].read_text()
    part = text[text.index("## Score against labels") : text.index("## Paired tests")]
    assert "](figures/compare_score_against_labels.png)" in part
    assert "Of the 2 budgets of 60 clicks an image `10+50`" in part
    assert re.search(r"\| 10\+50 \| [\d.]+ \| [\d.]+ \(\[.*\| \d+\.\d\d % \|", part)
    assert "with seeds 0, 1. Full masks: `masks`." in part
    assert 'id="labels"' in pages[0]["html"].read_text()


def test_tests_of_the_section_are_those_of_the_report(swept, tmp_path, undrawn):
    units = group_runs.units(sorted(swept.iterdir()))
    content = build.content(units, metric=METRIC, output=tmp_path)
    (ranking,) = scores.rankings(units, METRIC)
    tests = paired_tests.test_pairs(ranking, METRIC)
    (part,) = [s for s in content["sections"] if s["id"] == "labels"]
    reached = [b for b in part["blocks"] if b["kind"] == "table"][1]
    test = paired_tests.between(tests, METRIC, "5+5", "masks")
    (row,) = [row for row in reached["rows"] if row[0]["main"] == "5+5"]
    assert row[4]["main"] == f"{test['value']:+.4f}" and row[6]["main"] in (
        "yes",
        "n.s.",
    )
    assert page.render(content, "md")
