"""Tested sentences of a comparison: each carries its numbers and turns when they turn.

"Better" is said only where the paired test decides it, over images and, between groups,
over seeds as well.
"""

from collections.abc import Iterator, Sequence

from jaxseg.report import derived_numbers, end_of_curve, text
from jaxseg.report.blocks import Claim
from jaxseg.report.comparison import by_class, image_classes, objects, scores, wording
from jaxseg.report.comparison.group_runs import (
    Unit,
    members,
    several,
    split_of,
    trained,
)
from jaxseg.report.comparison.paired_tests import Test, Tests, between
from jaxseg.report.read import Row, Split, of_masks, pick


def verdict(ranking: list[Unit], tests: Tests, metric: str) -> Claim:
    """Which unit is best by the stated metric, and whether that is decided."""
    first = ranking[0]
    score = scores.score(first, metric)
    where = f"`{metric}` on {first['images'][0]}"
    if len(ranking) == 1 and several(first):
        seeds = f"One configuration, {len(first['runs'])} seeds"
        words = f"{seeds}: {where} {_in_words(score)}{_beside(first, score, metric)}."
        return Claim(answer="unclear", text=words)
    if len(ranking) == 1 or score["value"] is None:
        words = (
            f"No two of the runs have a value of {where} on the same images, so none "
            "is called better than another."
        )
        return Claim(answer="unclear", text=words)
    return _best_of_several(ranking, tests, metric, score, where)


def _beside(unit: Unit, score: Row, metric: str) -> str:
    """Says where a mean over seeds lies beside the best trivial baseline, if any."""
    bar = _bar(split_of(unit), metric)
    if bar is None or score["value"] is None:
        return ""
    is_above = score["value"] > bar
    words = "above" if is_above else "NOT above"
    return f"; the mean is {words} the best trivial baseline, {wording.value(bar)}"


def _best_of_several(
    ranking: list[Unit], tests: Tests, metric: str, score: Row, where: str
) -> Claim:
    first, second = ranking[0]["name"], ranking[1]["name"]
    other = scores.score(ranking[1], metric)
    values = f"{_in_words(score)}, against {_in_words(other)} of `{second}`, the second"
    if score["value"] == other["value"]:
        words = f"`{first}` and `{second}` tie for the best {where}: "
        words += f"{wording.value(score['value'])} both."
        return Claim(answer="unclear", text=words)
    against = _against_others(ranking, tests, metric)
    if not against:
        words = f"`{first}` has the best {where}: {values}. No paired test was possible"
        return Claim(answer="unclear", text=f"{words}, so it is not called better.")
    won = [test["answer"] == "yes" for test in against.values()]
    nearest = against.get(second)
    evidence = f" ({wording.tested(nearest)})" if nearest else ""
    if all(won) and len(won) == len(ranking) - 1:
        others = "the other run" if len(won) == 1 else f"each of the {len(won)} others"
        words = f"`{first}` is better than {others} by {where}: {values}{evidence}."
        return Claim(answer="yes", text=words)
    words = f"`{first}` has the best {where}: {values}. "
    if nearest and nearest["answer"] == "yes":
        words += f"It is better than the second{evidence}"
    else:
        words += f"That it is better than the second is NOT decided{evidence}"
    others = text.plural(len(ranking) - 1, "other")
    words += f"; it is better than {sum(won)} of {others} by this test."
    return Claim(answer="unclear", text=words)


def _against_others(ranking: list[Unit], tests: Tests, metric: str) -> dict[str, Test]:
    """other name -> the test of the best minus it."""
    names = [unit["name"] for unit in ranking]
    pairs = {name: between(tests, metric, names[0], name) for name in names[1:]}
    return {n: t for n, t in pairs.items() if t and t["value"] is not None}


def _in_words(score: Row) -> str:
    span = wording.span(score)
    many = len(score["values"]) > 1
    over = f"mean of {len(score['values'])} seeds, 95 % over seeds" if many else "95 %"
    value = wording.scored(score)
    return f"{value} ({over} {span})" if span else value


def claims(rankings: list[list[Unit]], metric: str) -> list[Claim]:
    """All claims about a comparison but its verdict."""
    units = [unit for ranking in rankings for unit in ranking]
    return [
        *by_class.claims(units),
        *image_classes.claims(units),
        *same_images(rankings),
        *above_baselines(units, metric),
        *objects.claims(units),
        *order(rankings[0], metric),
        *equal_means(units),
        *same_modules(units),
        *long_enough(units),
    ]


def same_images(rankings: list[list[Unit]]) -> Iterator[Claim]:
    """Were all runs judged on the same images?"""
    unit = rankings[0][0]
    split, digest = unit["images"]
    if len(rankings) == 1 and digest:
        images = split_of(unit)["result"]["images"]
        words = f"All runs were judged on the same {text.plural(images, 'image')} of "
        yield Claim(answer="yes", text=f"{words}{split} (`{digest[:12]}`).")
        return
    unknown = [u for ranking in rankings for u in ranking if not u["images"][1]]
    if unknown:
        of = text.plural(sum(len(members(ranking)) for ranking in rankings), "run")
        words = (
            "That the runs were judged on the same images is NOT known: "
            f"{len(members(unknown))} of {of} recorded no hash of the split. Runs "
            "without a hash are never tested against another."
        )
        yield Claim(answer="unclear", text=words)
        return
    sizes = ", ".join(str(len(members(ranking))) for ranking in rankings)
    words = (
        f"The runs were judged on {text.plural(len(rankings), 'set')} of images "
        f"(runs on each: {sizes}), told apart by the hash of the split. Runs on "
        "different images are never tested against each other: a difference between "
        "them could be one between the images."
    )
    yield Claim(answer="no", text=words)


def above_baselines(units: Sequence[Unit], metric: str) -> Iterator[Claim]:
    """Which runs are above every trivial baseline with their whole interval?"""
    answers: dict[str, list[str]] = {"yes": [], "no": [], "unclear": []}
    for run in members(units):
        answer = _above_baselines(split_of(run), metric)
        if answer:
            answers[answer].append(f"`{run['name']}`")
    total = sum(map(len, answers.values()))
    if total:
        are = "is" if len(answers["yes"]) == 1 else "are"
        runs = f"{len(answers['yes'])} of {text.plural(total, 'run')} {are}"
        words = (
            f"{runs} above every trivial baseline on `{metric}` with the whole interval"
        )
        if answers["no"]:
            words += f"; NOT above: {_listed(answers['no'])}"
        if answers["unclear"]:
            words += f"; not by the whole interval: {_listed(answers['unclear'])}"
        answer = "no" if answers["no"] else "unclear" if answers["unclear"] else "yes"
        yield Claim(answer=answer, text=f"{words}.")


def _listed(names: list[str], most: int = 6) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _above_baselines(split: Split, metric: str) -> str | None:
    row, bar = _row(split, metric), _bar(split, metric)
    if bar is None or row["value"] is None:
        return None
    return derived_numbers.above(row, bar)


def _row(split: Split, metric: str) -> Row | None:
    return next((r for r in scores.score_rows(split) if r["name"] == metric), None)


def _bar(split: Split, metric: str) -> float | None:
    """What the best trivial baseline scores; None without one, or of an error."""
    row = _row(split, metric)
    bars = derived_numbers.known_baselines(split, row).values() if row else ()
    return max(bars) if bars and scores.higher(metric) else None


def order(ranking: list[Unit], metric: str) -> Iterator[Claim]:
    """Is the best on validation, which a study would have chosen, best on test too?"""
    if ranking[0]["images"][0] == "validation":
        return
    on_validation = {
        unit["name"]: scores.score(unit, metric, "validation")["value"]
        for unit in ranking
    }
    ends = scores.extremes(on_validation, more=scores.higher(metric))
    if ends is None or ends["difference"] == 0:
        return
    chosen = next(unit for unit in ranking if unit["name"] == ends["best"][0])
    best, own = (scores.score(unit, metric)["value"] for unit in (ranking[0], chosen))
    if own is None:
        return
    same = own == best
    where = ranking[0]["images"][0]
    words = f"is {'' if same else 'NOT the '}best on {where}{' as well' * same}"
    loss = "" if same else f", {wording.value(best)} is the best there"
    words = (
        f"The best on validation by `{metric}`, `{chosen['name']}` "
        f"({wording.value(ends['best_value'])}), {words}: {wording.value(own)}{loss}."
    )
    yield Claim(answer="yes" if same else "no", text=words)


def equal_means(units: Sequence[Unit]) -> Iterator[Claim]:
    """Had the runs the same training images, the same length and the same code?"""
    runs = [run for unit in units for run in unit["runs"] if not of_masks(run)]
    if len(runs) < 2:
        return
    checks = [
        ("trained on the same images", ("dataset", "split_hash", "train")),
        ("trained on the same pixels", ("dataset", "content", "train")),
        ("shown the same number of images", ("images_seen",)),
        ("made by the same revision of the code", ("git", "revision")),
    ]
    for words, path in checks:
        values = [pick(run["info"], *path) for run in runs]
        if None in values:
            continue
        kinds = dict.fromkeys(map(str, values))
        listed = ", ".join(
            text.number(float(kind), "count") if kind.isdigit() else f"`{kind[:12]}`"
            for kind in kinds
        )
        if len(kinds) == 1:
            yield Claim(answer="yes", text=f"All runs were {words}: {listed}.")
        else:
            yield Claim(answer="no", text=f"The runs were NOT all {words}: {listed}.")


def same_modules(units: Sequence[Unit]) -> Iterator[Claim]:
    """Were modules of the user's own that several runs name the same files?"""
    runs = [run for unit in units for run in unit["runs"] if not of_masks(run)]
    digests: dict[str, list[str]] = {}
    for run in runs:
        for name, row in (run["info"].get("sources") or {}).items():
            if row["kind"] != "recipe":
                digests.setdefault(name, []).append(row["sha256"])
    shared = {name: each for name, each in digests.items() if len(each) > 1}
    odd = [f"`{name}`" for name, each in shared.items() if len(set(each)) > 1]
    if odd:
        words = f"The runs were NOT all made by the same {', '.join(odd)}."
        yield Claim(answer="no", text=words)
    elif shared:
        words = "Modules of your own that several runs name were the same in all."
        yield Claim(answer="yes", text=words)


def long_enough(units: Sequence[Unit]) -> Iterator[Claim]:
    """Had validation stopped improving when each run ended? By `end_of_curve`."""
    ends = {}
    for unit in trained(members(units)):
        end = end_of_curve.end(unit["runs"][0])
        if end is not None:
            ends[unit["name"]] = end
    answers = {"no": "improving", "unclear": "undecided"}
    listed = {
        answer: [
            f"`{name}` (best in {text.number(end.epoch, 'count')} of "
            f"{text.number(end.epochs, 'count')})"
            for name, end in ends.items()
            if end.answer == kind
        ]
        for answer, kind in answers.items()
    }
    total, runs = len(trained(members(units))), text.plural(len(ends), "run")
    if len(ends) < total:
        runs = f"the {runs} long enough to tell (of {total})"
    if listed["no"]:
        words = f"{len(listed['no'])} of {runs} may have been too short: validation "
        words += f"still improves in the last third of {_listed(listed['no'])}"
        yield Claim(answer="no", text=f"{words}.")
    if listed["unclear"]:
        words = "Validations are too few or too noisy to tell a rise from a flat end, "
        words += f"and the best epoch is late, in {_listed(listed['unclear'])}."
        yield Claim(answer="unclear", text=words)
    if ends and not any(listed.values()):
        words = f"Validation still improves in the last third of none of {runs}."
        yield Claim(answer="yes", text=words)
