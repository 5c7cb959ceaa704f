"""Tested sentences of a comparison: each carries its numbers and turns when they turn.

"Better" is said only where the paired test decides it, over images and, between groups,
over seeds as well.
"""

from collections.abc import Iterator, Sequence

from jaxseg.report import derived_numbers, text
from jaxseg.report.comparison import scores as numbers
from jaxseg.report.comparison import wording as say
from jaxseg.report.comparison.group_runs import Unit, several, split_of
from jaxseg.report.comparison.paired_tests import Test, Tests, between
from jaxseg.report.read import Split, pick
from jaxseg.report.run.run_claims import Claim


def verdict(block: list[Unit], found: Tests, metric: str) -> Claim:
    """Which unit is best by the stated metric, and whether that is decided."""
    first = block[0]
    own = numbers.score(first, metric)
    where = f"`{metric}` on {first['images'][0]}"
    if len(block) == 1 and several(first):
        words = f"One configuration, {len(first['runs'])} seeds: {where} {_score(own)}."
        return {"answer": "unclear", "text": words}
    if len(block) == 1 or own["value"] is None:
        words = (
            f"No two of the runs have a value of {where} on the same images, so none "
            "is called better than another."
        )
        return {"answer": "unclear", "text": words}
    return _verdict(block, found, metric, own, where)


def _verdict(block, found: Tests, metric: str, own, where: str) -> Claim:
    first, second = block[0]["name"], block[1]["name"]
    other = numbers.score(block[1], metric)
    values = f"{_score(own)}, against {_score(other)} of `{second}`, the second"
    if own["value"] == other["value"]:
        words = f"`{first}` and `{second}` tie for the best {where}: "
        return {"answer": "unclear", "text": f"{words}{say.value(own['value'])} both."}
    against = _against(block, found, metric)
    if not against:
        words = f"`{first}` has the best {where}: {values}. No paired test was possible"
        return {"answer": "unclear", "text": f"{words}, so it is not called better."}
    won = [test["answer"] == "yes" for test in against.values()]
    nearest = against.get(second)
    shown = f" ({say.tested(nearest)})" if nearest else ""
    if all(won) and len(won) == len(block) - 1:
        others = "the other run" if len(won) == 1 else f"each of the {len(won)} others"
        words = f"`{first}` is better than {others} by {where}: {values}{shown}."
        return {"answer": "yes", "text": words}
    words = f"`{first}` has the best {where}: {values}. "
    if nearest and nearest["answer"] == "yes":
        words += f"It is better than the second{shown}"
    else:
        words += f"That it is better than the second is NOT decided{shown}"
    others = text.plural(len(block) - 1, "other")
    words += f"; it is better than {sum(won)} of {others} by this test."
    return {"answer": "unclear", "text": words}


def _against(block, found: Tests, metric: str) -> dict[str, Test]:
    """other name -> the test of the best minus it."""
    best, tested = block[0]["name"], {}
    for unit in block[1:]:
        test = between(found, metric, best, unit["name"])
        if test is not None and test["value"] is not None:
            tested[unit["name"]] = test
    return tested


def _score(row) -> str:
    span = say.span(row)
    many = len(row["values"]) > 1
    over = f"mean of {len(row['values'])} seeds, 95 % over seeds" if many else "95 %"
    return f"{say.scored(row)} ({over} {span})" if span else say.scored(row)


def everything(blocks: list[list[Unit]], metric: str) -> list[Claim]:
    """All claims about a comparison but its verdict."""
    units = [unit for block in blocks for unit in block]
    found: list[Claim] = []
    found += same_images(blocks)
    found += above_baselines(units, metric)
    found += order(blocks[0], metric)
    found += equal_means(units)
    return found + list(long_enough(units))


def same_images(blocks: list[list[Unit]]) -> Iterator[Claim]:
    """Were all runs judged on the same images?"""
    unit = blocks[0][0]
    split, known = unit["images"]
    if len(blocks) == 1 and known:
        images = split_of(unit["runs"][0], unit)["result"]["images"]
        words = f"All runs were judged on the same {text.plural(images, 'image')} of "
        yield {"answer": "yes", "text": f"{words}{split} (`{known[:12]}`)."}
        return
    sizes = ", ".join(str(sum(len(u["runs"]) for u in block)) for block in blocks)
    yield {
        "answer": "no",
        "text": f"The runs were judged on {text.plural(len(blocks), 'set')} of images "
        f"(runs on each: {sizes}), told apart by the hash of the split. Runs on "
        "different images, or without a hash, are never tested against each other: a "
        "difference between them could be one between the images.",
    }


def above_baselines(units: Sequence[Unit], metric: str) -> Iterator[Claim]:
    """Which runs are above every trivial baseline with their whole interval?"""
    answers: dict[str, list[str]] = {"yes": [], "no": [], "unclear": []}
    for unit in units:
        for run, name in zip(unit["runs"], unit["names"], strict=True):
            split = split_of(run, unit)
            answer = _above(split, metric)
            if answer:
                answers[answer].append(f"`{name}`")
    total = sum(map(len, answers.values()))
    if total:
        are = "is" if len(answers["yes"]) == 1 else "are"
        words = (
            f"{len(answers['yes'])} of {text.plural(total, 'run')} {are} above every "
        )
        words += f"trivial baseline on `{metric}` with the whole interval"
        if answers["no"]:
            words += f"; NOT above: {_listed(answers['no'])}"
        if answers["unclear"]:
            words += f"; not by the whole interval: {_listed(answers['unclear'])}"
        answer = "no" if answers["no"] else "unclear" if answers["unclear"] else "yes"
        yield {"answer": answer, "text": f"{words}."}


def _listed(names: list[str], most: int = 6) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _above(split: Split, metric: str) -> str | None:
    row = next((r for r in numbers.score_rows(split) if r["name"] == metric), None)
    known = derived_numbers.baselines(split, row).values() if row else []
    known = [value for value in known if value is not None]
    if not known or row["value"] is None or not numbers.higher(metric):
        return None
    if row["value"] <= max(known):
        return "no"
    return "yes" if row["low"] is not None and row["low"] > max(known) else "unclear"


def order(block: list[Unit], metric: str) -> Iterator[Claim]:
    """Is the best on validation, which a study would have chosen, best on test too?"""
    if block[0]["images"][0] == "validation":
        return
    there = {u["name"]: numbers.score(u, metric, "validation")["value"] for u in block}
    ends = numbers.extremes(there, more=numbers.higher(metric))
    if ends is None or ends["difference"] == 0:
        return
    chosen = next(unit for unit in block if unit["name"] == ends["best"][0])
    best, own = numbers.score(block[0], metric), numbers.score(chosen, metric)
    if own["value"] is None:
        return
    same = own["value"] == best["value"]
    words = "is best on test as well" if same else "is NOT the best on test"
    loss = "" if same else f", {say.value(best['value'])} is the best there"
    yield {
        "answer": "yes" if same else "no",
        "text": f"The best on validation by `{metric}`, `{chosen['name']}` "
        f"({say.value(ends['best_value'])}), {words}: {say.value(own['value'])}{loss}.",
    }


def equal_means(units: Sequence[Unit]) -> Iterator[Claim]:
    """Had the runs the same training images, the same length and the same code?"""
    runs = [run for unit in units for run in unit["runs"]]
    checks = [
        ("trained on the same images", ("dataset", "split_hash", "train")),
        ("shown the same number of images", ("images_seen",)),
        ("made by the same revision of the code", ("git", "revision")),
    ]
    for words, path in checks:
        known = [pick(run["info"], *path) for run in runs]
        if None in known:
            continue
        kinds = dict.fromkeys(str(value) for value in known)
        shown = ", ".join(
            text.number(float(k), "count") if k.isdigit() else f"`{k[:12]}`"
            for k in kinds
        )
        if len(kinds) == 1:
            yield {"answer": "yes", "text": f"All runs were {words}: {shown}."}
        else:
            told = f"The runs were NOT all {words}: {shown}."
            yield {"answer": "no", "text": told}


def long_enough(units: Sequence[Unit]) -> Iterator[Claim]:
    """Does the best epoch of every run lie before its last tenth?"""
    late, total = [], 0
    for unit in units:
        for run, name in zip(unit["runs"], unit["names"], strict=True):
            row = numbers.convergence(run)
            if row["epoch"] is None or len(run["history"]) < 10:
                continue
            total += 1
            start = run["history"][-max(1, len(run["history"]) // 10)]["epoch"]
            if row["epoch"] >= start:
                at = f"{text.number(row['epoch'], 'count')} of "
                late.append(f"`{name}` ({at}{text.number(row['epochs'], 'count')})")
    if late:
        words = (
            f"{len(late)} of {text.plural(total, 'run')} may have been too short: the "
        )
        yield {
            "answer": "no",
            "text": f"{words}best epoch is late in {_listed(late)}.",
        }
    elif total:
        words = "The best epoch of every run lies before its last tenth"
        yield {"answer": "yes", "text": f"{words} ({text.plural(total, 'run')})."}
