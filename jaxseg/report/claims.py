"""Sentences that were tested: each carries its numbers and turns when they turn.

A claim is {"answer", "text"}. The answer is yes, no, or unclear (the interval does not
decide). A claim whose numbers are not in the run is absent, never guessed.
"""

from collections.abc import Iterator

from jaxseg.report import derive, text
from jaxseg.report.read import Run, Split, pick

Claim = dict[str, str]
SHARE_TOLERANCE = 0.01  # of an epoch: rounding of a share to whole images
WEIGHT_TOLERANCE = 1e-3  # relative: cards may round what they store


def claims(run: Run) -> list[Claim]:
    """All claims about a run, results first."""
    split = derive.main_split(run)
    found: list[Claim] = []
    found += above_baselines(run, split)
    found += above_prevalence(split)
    found += detection(split)
    found += operating_point(run, split)
    found += transfer(run)
    found += convergence(run)
    found += sampling(run)
    found += weights(run)
    found += integrity(run)
    return found


def above_baselines(run: Run, split: Split) -> Iterator[Claim]:
    """Is the whole interval of the model above the best trivial baseline?"""
    rows = derive.metric_rows(split)
    wanted = [r["name"] for r in derive.headline(run, split)[:1]] + list(derive.DICE)
    for name in dict.fromkeys(wanted):
        for row in (r for r in rows if r["name"] == name and r["value"] is not None):
            known = derive.baselines(split, row)
            known = {k: v for k, v in known.items() if v is not None}
            if not known:
                continue
            best = max(known, key=lambda k: known[k])
            yield {
                "answer": _above(row["value"], row["low"], known[best]),
                "text": _baseline_text(split, row, known[best], best),
            }


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
    kind = f" of {row['class']}" if len(derive.classes(split)) > 2 else ""
    return (
        f"The model {words} on `{row['name']}`{kind} ({split['name']}): "
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
    seen = derive.confusion(split)
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
    if point.get("min_area") is not None:
        area = text.number(point["min_area"], "count")
        at += f" and minimum area {area} pixels"
    source = point.get("source_split") or "a split that is not recorded"
    if any("operating point" in why for why in derive.optimistic(run, split)):
        said = f"was chosen on the {split['name']} images themselves: optimistic"
        yield {"answer": "no", "text": f"The operating point ({at}) {said}."}
    elif point.get("source_split") is None or point.get("split_hash") is None:
        said = f"comes from {source}; that these are other images is not shown"
        yield {"answer": "unclear", "text": f"The operating point ({at}) {said}."}
    else:
        said = f"was chosen on {source} and then applied to {split['name']}"
        yield {"answer": "yes", "text": f"The operating point ({at}) {said}."}


def transfer(run: Run) -> Iterator[Claim]:
    """Does test stay within what validation promised?"""
    if not {"test", "validation"} <= set(run["splits"]):
        return
    ours, theirs = run["splits"]["test"], run["splits"]["validation"]
    there = {(r["name"], r["class"]): r for r in derive.metric_rows(theirs)}
    for row in derive.headline(run, ours):
        other = there.get((row["name"], row["class"]))
        if other is None or None in (row["high"], other["value"]):
            continue
        answer = "yes" if row["high"] >= other["value"] else "no"
        words = "agrees with" if answer == "yes" else "falls short of"
        kind = f" of {row['class']}" if len(derive.classes(ours)) > 2 else ""
        yield {
            "answer": answer,
            "text": f"Test {words} validation on `{row['name']}`{kind}: "
            f"{text.interval(row['value'], row['low'], row['high'])} against "
            f"{text.number(other['value'])} where the choices were made.",
        }


def convergence(run: Run) -> Iterator[Claim]:
    """Was the run long enough for its best epoch to lie before its last tenth?"""
    name = derive.selection_column(run)
    if name is None or len(run["history"]) < 10:
        return
    epochs, values = derive.column(run, name)
    best = derive.best_index(name, values)
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


def sampling(run: Run) -> Iterator[Claim]:
    """Was the share of positives that was asked for the share that was fed?"""
    seen = derive.shares(run)
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
    rows = derive.class_weights(pick(run["info"], "dataset") or {})
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
