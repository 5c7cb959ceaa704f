"""Tested sentences about a run: each carries its numbers and turns when they turn.

The answer of a claim is yes, no, or unclear (the interval does not decide). A claim
whose numbers are not in the run is absent, never guessed.
"""

from collections.abc import Iterator

from jaxseg.report import derived_numbers, text
from jaxseg.report.blocks import Claim
from jaxseg.report.read import Run, Split, pick
from jaxseg.report.run import calibration, training_labels

GAP = 0.05  # of a score: how far training may be ahead of validation
SHARE_TOLERANCE = 0.01  # of an epoch: rounding of a share to whole images
WEIGHT_TOLERANCE = 1e-3  # relative: cards may round what they store


def claims(run: Run) -> list[Claim]:
    """All claims about a run: its results first, then its training and its data."""
    split = derived_numbers.main_split(run)
    return [
        *above_baselines(run, split),
        *above_prevalence(split),
        *calibration.claims(split),
        *detection(split),
        *operating_point(run, split),
        *transfer(run),
        *training_labels.claims(run),
        *convergence(run),
        *overfitting(run),
        *sampling(run),
        *weights(run),
        *integrity(run),
    ]


def verdict(run: Run) -> Claim:
    """The claim to begin with: the metric that the run was chosen by."""
    split = derived_numbers.main_split(run)
    name = derived_numbers.headline(run, split)[0]["name"]
    found = list(_against_baselines(split, name))
    if found:
        return found[0]
    words = "No baseline stands beside the results, so nothing is claimed of them."
    return {"answer": "unclear", "text": words}


def above_baselines(run: Run, split: Split) -> Iterator[Claim]:
    """Is the whole interval of the model above the best trivial baseline?"""
    wanted = [r["name"] for r in derived_numbers.headline(run, split)[:1]] + list(
        derived_numbers.DICE
    )
    for name in dict.fromkeys(wanted):
        yield from _against_baselines(split, name)


def _against_baselines(split: Split, name: str) -> Iterator[Claim]:
    for row in derived_numbers.metric_rows(split):
        known = derived_numbers.baselines(split, row)
        known = {k: v for k, v in known.items() if v is not None}
        if row["class"] in derived_numbers.classes(split)[:1]:
            continue  # background, which an empty answer gets right
        if row["name"] == name and row["value"] is not None and known:
            best = max(known, key=lambda k: known[k])
            answer = _above(row["value"], row["low"], known[best])
            words = _baseline_text(split, row, known[best], best)
            yield {"answer": answer, "text": words}


def _above(value: float, low: float | None, bar: float) -> str:
    if value <= bar:
        return "no"
    return "yes" if low is not None and low > bar else "unclear"


def _baseline_text(split: Split, row: dict, bar: float, best: str) -> str:
    words = {
        "yes": "is above every trivial baseline",
        "no": "is NOT above every trivial baseline",
        "unclear": "is above the trivial baselines, but not by its whole interval,",
    }[_above(row["value"], row["low"], bar)]
    kind = _of(split, row)
    support = row["support_images"]
    on = "" if support is None else f", {text.plural(support, 'image')} with foreground"
    return (
        f"The model {words} on `{row['name']}`{kind} ({split['name']}{on}): "
        f"{text.interval(row['value'], row['low'], row['high'])} "
        f"against {text.number(bar)} ({text.label(best)})."
    )


def above_prevalence(split: Split) -> Iterator[Claim]:
    """Does the ranking of pixels beat a constant score?"""
    curve = pick(split["result"], "curves", "pixel") or {}
    precision, base = curve.get("average_precision"), curve.get("prevalence")
    if precision is None or base is None:
        return
    bound = curve.get("average_precision_error_bound") or 0.0
    answer = "yes" if precision - bound > base else "no"
    words = "better" if answer == "yes" else "NOT better"
    yield {
        "answer": answer,
        "text": f"Pixels are ranked {words} than by chance: average precision "
        f"{text.number(precision)} (± {text.number(bound)}) against a prevalence of "
        f"{text.number(base)}.",
    }


def detection(split: Split) -> Iterator[Claim]:
    """Which images get a prediction, of those with and without foreground?"""
    seen = derived_numbers.confusion(split)
    positive = seen["hit"] + seen["missed"]
    negative = seen["false_alarm"] + seen["clean"]
    if positive and negative:
        found, alarms = seen["hit"] / positive, seen["false_alarm"] / negative
        answer = "yes" if found > alarms else "no"
        words = "more often" if answer == "yes" else "NOT more often"
        yield {
            "answer": answer,
            "text": f"Something is predicted {words} where there is something: in "
            f"{seen['hit']} of {positive} positive images "
            f"({text.number(found, 'percent')}) and in {seen['false_alarm']} of "
            f"{negative} empty ones ({text.number(alarms, 'percent')}).",
        }


def operating_point(run: Run, split: Split) -> Iterator[Claim]:
    """Was the threshold chosen on other images than those it is judged by?"""
    point = split["result"].get("operating_point") or {}
    if point.get("threshold") is None:
        return
    at = f"threshold {text.number(point['threshold'])}"
    if point.get("min_area"):
        at += f" and minimum area {text.area(point['min_area'])}"
    at += "".join(f", {name} {text.number(v)}" for name, v in text.rule(point).items())
    source = point.get("source_split") or "a split that is not recorded"
    if any("operating point" in why for why in derived_numbers.optimistic(run, split)):
        said = f"was chosen on the {split['name']} images themselves: optimistic"
        yield {"answer": "no", "text": f"The operating point ({at}) {said}."}
    elif point.get("source_split") is None or point.get("split_hash") is None:
        said = f"comes from {source}; that these are other images is not shown"
        yield {"answer": "unclear", "text": f"The operating point ({at}) {said}."}
    else:
        said = f"was chosen on {source} and then applied to {split['name']}"
        yield {"answer": "yes", "text": f"The operating point ({at}) {said}."}


def _of(split: Split, row: dict) -> str:
    """Names the class where there is more than one to mean."""
    if row["class"] == derived_numbers.MEAN:
        return ", mean over classes"
    return f" of {row['class']}" if len(derived_numbers.classes(split)) > 2 else ""


def transfer(run: Run) -> Iterator[Claim]:
    """Does test stay within what validation promised?"""
    if not {"test", "validation"} <= set(run["splits"]):
        return
    ours, theirs = run["splits"]["test"], run["splits"]["validation"]
    there = {(r["name"], r["class"]): r for r in derived_numbers.metric_rows(theirs)}
    for row in derived_numbers.headline(run, ours):
        other = there.get((row["name"], row["class"]))
        if other is None or None in (row["high"], other["low"], other["value"]):
            continue
        short = row["high"] < other["value"]
        apart = row["high"] < other["low"]  # the intervals do not even touch
        answer = "no" if apart else "unclear" if short else "yes"
        words = {
            "yes": "agrees with",
            "no": "falls short of",
            "unclear": "may fall short of",
        }[answer]
        kind = _of(ours, row)
        yield {
            "answer": answer,
            "text": f"Test {words} validation on `{row['name']}`{kind}: "
            f"{text.interval(row['value'], row['low'], row['high'])} against "
            f"{text.interval(other['value'], other['low'], other['high'])} where the "
            "choices were made.",
        }


def convergence(run: Run) -> Iterator[Claim]:
    """Was the run long enough for its best epoch to lie before its last tenth?"""
    name = derived_numbers.selection_column(run)
    if name is None or len(run["history"]) < 10:
        return
    epochs, values = derived_numbers.column(run, name)
    best = derived_numbers.best_index(name, values)
    start = run["history"][-max(1, len(run["history"]) // 10)]["epoch"]
    answer = "yes" if epochs[best] < start else "no"
    words = {
        "yes": "The run was long enough: its best epoch lies before its last tenth",
        "no": "The run may have been too short: its best epoch lies in its last tenth",
    }[answer]
    yield {
        "answer": answer,
        "text": f"{words}. Best `{name}` {text.number(values[best])} in epoch "
        f"{text.number(epochs[best], 'count')} of "
        f"{text.number(run['history'][-1]['epoch'], 'count')}, "
        f"{text.number(values[-1])} at the last.",
    }


def overfitting(run: Run) -> Iterator[Claim]:
    """Does validation keep up with training, by one metric, in the best epoch?"""
    name = derived_numbers.selection_column(run)
    if name is None:
        return
    epochs, values = derived_numbers.column(run, name)
    epoch = epochs[derived_numbers.best_index(name, values)]
    row = next(r for r in run["history"] if r["epoch"] == epoch)
    for bare in (name.removeprefix("validation/"), *derived_numbers.DICE):
        ours = row.get(bare, row.get(f"train/{bare}"))
        theirs = row.get(f"validation/{bare}")
        if "dice" not in bare or None in (ours, theirs):
            continue
        answer = "yes" if ours - theirs <= GAP else "no"
        words = "is not ahead" if answer == "yes" else "IS ahead"
        yield {
            "answer": answer,
            "text": f"Training {words} of validation by more than {text.number(GAP)} "
            f"on `{bare}` in the best epoch: {text.number(ours)} against "
            f"{text.number(theirs)}.",
        }
        return


def sampling(run: Run) -> Iterator[Claim]:
    """Was the share of positives that was asked for the share that was fed?"""
    seen = derived_numbers.shares(run)
    if seen is None or seen["worst_gap"] is None:
        return
    answer = "yes" if seen["worst_gap"] <= SHARE_TOLERANCE else "no"
    words = "fed the share" if answer == "yes" else "did NOT feed the share"
    target = text.number(seen["first"], "percent")
    if seen["last"] != seen["first"]:
        target += f" to {text.number(seen['last'], 'percent')}"
    yield {
        "answer": answer,
        "text": f"Sampling {words} of positives it was asked for: target {target}, "
        f"realised {text.number(seen['realised'], 'percent')} overall, largest gap "
        f"of an epoch {text.number(seen['worst_gap'], 'percent')}.",
    }


def weights(run: Run) -> Iterator[Claim]:
    """Do the stored class weights follow from the pixel counts beside them?"""
    rows = derived_numbers.class_weights(pick(run["info"], "dataset") or {})
    rows = [r for r in rows if None not in (r["stored"], r["expected"])]
    if not rows:
        return
    gap = max(abs(r["stored"] / r["expected"] - 1) for r in rows)
    answer = "yes" if gap <= WEIGHT_TOLERANCE else "no"
    words = "follow" if answer == "yes" else "do NOT follow"
    yield {
        "answer": answer,
        "text": f"The stored class weights {words} from the training pixels as "
        f"N / (K n): largest relative difference {text.number(gap, 'plain')}.",
    }


def integrity(run: Run) -> Iterator[Claim]:
    """Were steps lost, and are the splits what the data card says they are?"""
    skipped = run["info"].get("skipped_steps")
    if skipped is not None:
        yield {
            "answer": "no" if skipped else "yes",
            "text": f"{text.plural(skipped, 'step')} skipped as non-finite, of "
            f"{text.number(run['info'].get('total_steps'), 'count')}."
            if skipped
            else "No step was skipped as non-finite.",
        }
    card = pick(run["info"], "dataset", "split_hash") or {}
    for name, split in run["splits"].items():
        given = split["result"].get("split_hash")
        if given is None or card.get(name) is None:
            continue
        same = card[name] == given
        words = "is the one" if same else "is NOT the one"
        yield {
            "answer": "yes" if same else "no",
            "text": f"The {name} split that was scored {words} of the data card "
            f"(`{given[:12]}` against `{card[name][:12]}`).",
        }
