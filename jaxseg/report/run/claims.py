"""Tested sentences about a run: each carries its numbers and turns when they turn.

The answer of a claim is yes, no, or unclear (the interval does not decide). A claim
whose numbers are not in the run is absent, never guessed.
"""

from collections.abc import Iterator

from jaxseg.report import (
    class_numbers,
    derived_numbers,
    end_of_curve,
    text,
)
from jaxseg.report.blocks import Claim
from jaxseg.report.read import Row, Run, Split, pick
from jaxseg.report.run import (
    calibration,
    class_claims,
    class_curves,
    class_decision,
    conformal,
    evidence,
    image_class_claims,
    image_level,
    object_claims,
    tables,
    training_labels,
    two_stage,
)
from jaxseg.report.text import number

GAP = 0.05  # of a score: how far training may be ahead of validation
SHARE_TOLERANCE = 0.01  # of an epoch: rounding of a share to whole images
# samplers whose share of positives is that of the data, or follows from other shares
NATURAL = ("uniform", "by_image_class")
WEIGHT_TOLERANCE = 1e-3  # relative: records may round what they store
INVERSE = ("inverse", "auto")  # names of class weights that are N / (K n)


def claims(run: Run) -> list[Claim]:
    """All claims about a run: its results first, then its training and its data."""
    split = derived_numbers.main_split(run)
    answers = [*image_class_claims.claims(split), *evidence.claims(split)]
    if not _has_pixels(split):
        return [
            *image_level.claims(split),
            *answers,
            *training_labels.claims(run),
            *convergence(run),
            *sampling(run),
            *integrity(run),
        ]
    return [
        *class_claims.claims(run, split),
        *above_baselines(run, split),
        *object_claims.claims(split),
        *two_stage.claims(split),
        *above_prevalence(split),
        *class_curves.claims(split),
        *class_decision.claims(split),
        *calibration.claims(split),
        *detection(split),
        *image_level.claims(split),
        *answers,
        *operating_point(run, split),
        *conformal.claims(split),
        *transfer(run),
        *training_labels.claims(run),
        *convergence(run),
        *overfitting(run),
        *sampling(run),
        *weights(run),
        *integrity(run),
    ]


def verdict(run: Run) -> Claim:
    """The claim to begin with: on objects, or else the metric the run was chosen by."""
    split = derived_numbers.main_split(run)
    if not derived_numbers.pixels_trained(split):
        return image_class_claims.verdict(run, split)
    of_objects = next(object_claims.claims(split), None)
    if of_objects is not None:
        return of_objects
    if not _has_pixels(split):
        return next(image_level.claims(split))
    name = derived_numbers.headline(run, split)[0]["name"]
    words = "No baseline stands beside the results, so nothing is claimed of them."
    nothing = Claim(answer="unclear", text=words)
    return next(_against_baselines(split, name), nothing)


def _has_pixels(split: Split) -> bool:
    """Whether scores of pixels say anything; else those of whole images are all."""
    return derived_numbers.pixels_trained(split) and not image_level.alone(split)


def above_baselines(run: Run, split: Split) -> Iterator[Claim]:
    """Is the whole interval of the model above the best trivial baseline?"""
    chosen_by = derived_numbers.headline(run, split)[:1]
    names = [*(row["name"] for row in chosen_by), *derived_numbers.DICE]
    for name in dict.fromkeys(names):
        yield from _against_baselines(split, name)


def _against_baselines(split: Split, name: str) -> Iterator[Claim]:
    each: class_claims.Each = {}
    for row in derived_numbers.metric_rows(split):
        bars = derived_numbers.known_baselines(split, row)
        if row["class"] in derived_numbers.classes(split)[:1]:
            continue  # background, which an empty answer gets right
        if row["name"] == name and row["value"] is not None and bars:
            best = max(bars, key=lambda base: bars[base])
            if row["class"] == derived_numbers.MEAN or not class_numbers.several(split):
                yield _against_best(split, row, best, bars[best])
            else:
                words = f"{_interval(row)} against {number(bars[best])}"
                words += f" ({text.label(best)})"
                answer = derived_numbers.above(row, bars[best])
                if _of_one_image(split, row):
                    answer, words = "unclear", f"{words}, of one image"
                each[row["class"]] = answer, words
    yield from class_claims.in_each(
        f"By `{name}` on {split['name']} the model is above every trivial baseline",
        {"no": "NOT above", "unclear": "not by the whole interval"},
        each,
    )


def _interval(row: Row) -> str:
    return text.interval(row["value"], row["low"], row["high"])


def _of_one_image(split: Split, row: Row) -> bool:
    """Whether a single image with foreground is behind a score."""
    counts = row["support_images"], split["result"].get("positive_images")
    return 1 in counts


def _against_best(split: Split, row: Row, best: str, bar: float) -> Claim:
    answer = derived_numbers.above(row, bar)
    if _of_one_image(split, row):
        words = (
            f"Whether the model is above every trivial baseline on `{row['name']}`"
            f"{_of(row)} is open, for {split['name']} has one image with foreground, "
            f"and one image decides nothing: {_interval(row)} against {number(bar)} "
            f"({text.label(best)})."
        )
        return Claim(answer="unclear", text=words)
    words = {
        "yes": "is above every trivial baseline",
        "no": "is NOT above every trivial baseline",
        "unclear": "is above the trivial baselines, but not by its whole interval,",
    }[answer]
    support = tables.support(split, row)
    on = f", {support}" if support else ""
    words = (
        f"The model {words} on `{row['name']}`{_of(row)} ({split['name']}{on}): "
        f"{_interval(row)} against {number(bar)} ({text.label(best)})."
    )
    return Claim(answer=answer, text=words)


def above_prevalence(split: Split) -> Iterator[Claim]:
    """Does the ranking of pixels beat a constant score?"""
    curve = pick(split["result"], "curves", "pixel") or {}
    precision, base = curve.get("average_precision"), curve.get("prevalence")
    if precision is None or base is None or base in (0, 1):
        return  # of one kind of pixels any order is perfect
    bound = curve.get("average_precision_error_bound") or 0.0
    better = precision - bound > base
    words = (
        f"Pixels are ranked {'better' if better else 'NOT better'} than by chance: "
        f"average precision {number(precision)} (± {number(bound)}) against a "
        f"prevalence of {number(base)}."
    )
    yield Claim(answer="yes" if better else "no", text=words)


def detection(split: Split) -> Iterator[Claim]:
    """Which images get a prediction, of those with and without foreground?"""
    images = derived_numbers.confusion(split)
    positive, negative = images["positive"], images["negative"]
    if positive and negative:
        hits, alarms = images["hit"] / positive, images["false_alarm"] / negative
        words = "get" if hits > alarms else "do NOT get"
        words = (
            f"Images with foreground {words} a prediction more often than empty "
            f"ones: {images['hit']} of {positive} ({number(hits, 'percent')}) against "
            f"{images['false_alarm']} of {negative} ({number(alarms, 'percent')})."
        )
        yield Claim(answer="yes" if hits > alarms else "no", text=words)


def operating_point(run: Run, split: Split) -> Iterator[Claim]:
    """Was the threshold chosen on other images than those it is judged by?"""
    point = split["result"].get("operating_point") or {}
    if "settings" in point:
        at = f"rule `{point['rule']}`"
    elif "offsets" in point:
        at = "an offset for each class"
    elif point.get("threshold") is None:
        return
    else:
        at = f"threshold {number(point['threshold'])}"
    if point.get("min_area"):
        at += f" and minimum area {text.area(point['min_area'])}"
    at += "".join(f", {name} {value}" for name, value in text.rule(point).items())
    source = point.get("source_split") or "a split that is not recorded"
    if any("operating point" in why for why in derived_numbers.optimistic(run, split)):
        answer = "no"
        words = f"was chosen on the {split['name']} images themselves: optimistic"
    elif point.get("source_split") is None or point.get("split_hash") is None:
        answer = "unclear"
        words = f"comes from {source}; that these are other images is not shown"
    else:
        answer = "yes"
        words = f"was chosen on {source} and then applied to {split['name']}"
    yield Claim(answer=answer, text=f"The operating point ({at}) {words}.")


def _of(row: Row) -> str:
    """Says that a row averages over classes, where it does."""
    return ", mean over classes" if row["class"] == derived_numbers.MEAN else ""


def transfer(run: Run) -> Iterator[Claim]:
    """Does test stay within what validation promised?"""
    if not {"test", "validation"} <= set(run["splits"]):
        return
    test, validation = run["splits"]["test"], run["splits"]["validation"]
    rows = derived_numbers.metric_rows(validation)
    promised = {(row["name"], row["class"]): row for row in rows}
    each: class_claims.Each = {}
    for row in derived_numbers.headline(run, test):
        other = promised.get((row["name"], row["class"]))
        if other is None or None in (row["high"], other["low"], other["value"]):
            continue
        if row["high"] < other["low"]:  # the intervals do not even touch
            answer, words = "no", "falls short of"
        elif row["high"] < other["value"]:
            answer, words = "unclear", "may fall short of"
        else:
            answer, words = "yes", "agrees with"
        if class_numbers.several(test) and row["class"] != derived_numbers.MEAN:
            each[row["class"]] = answer, f"{_interval(row)} against {_interval(other)}"
            continue
        words = (
            f"Test {words} validation on `{row['name']}`{_of(row)}: "
            f"{_interval(row)} against {_interval(other)} where the choices were made."
        )
        yield Claim(answer=answer, text=words)
    metric = derived_numbers.headline(run, test)[0]["name"]
    yield from class_claims.in_each(
        f"Test agrees with validation on `{metric}`",
        {"no": "falls short", "unclear": "may fall short"},
        each,
    )


def convergence(run: Run) -> Iterator[Claim]:
    """Had validation stopped improving when the run ended? By `end_of_curve`."""
    end = end_of_curve.end(run)
    if end is None:
        return
    if end.gain is None:
        change = ""
    else:
        change = f"{end.gain:+.2g} over it, noise {end.noise:.2g}"
    answer, words = {
        "early": (
            "yes",
            "The run was long enough: its best epoch lies before its last third",
        ),
        "flat": (
            "yes",
            "The run was long enough: validation no longer improves in its last third "
            f"({change}; with 95 % confidence it rises by less than "
            f"{number(end_of_curve.MOST, 'percent')} of the best)",
        ),
        "improving": (
            "no",
            "The run may have been too short: validation still improves in its last "
            f"third ({change})",
        ),
        "undecided": ("unclear", _undecided(end, change)),
    }[end.answer]
    words += (
        f". Best `{end.column}` {number(end.best)} in epoch "
        f"{number(end.epoch, 'count')} of {number(end.epochs, 'count')}, "
        f"{number(end.last)} at the last."
    )
    yield Claim(answer=answer, text=words)


def _undecided(end: end_of_curve.End, change: str) -> str:
    """Why the end of a curve does not say whether a run was long enough."""
    words = "Whether the run was long enough is not decided: its best epoch lies in "
    words += f"its last third, and {text.plural(end.count, 'validation')} there "
    if end.gain is None:
        few = f"cannot tell a rise from a flat end ({end_of_curve.FEWEST} can)"
        return words + few
    return f"{words}({change}) show neither a sure rise nor a flat end"


def overfitting(run: Run) -> Iterator[Claim]:
    """Does validation keep up with training, by one metric, in the best epoch?"""
    name = derived_numbers.selection_column(run)
    if name is None or pick(run["config"], "supervision", "name") not in (None, "full"):
        return  # Dice on a few labelled pixels is none on whole masks
    epochs, values = derived_numbers.column(run, name)
    epoch = epochs[derived_numbers.best_index(name, values)]
    row = next(r for r in run["history"] if r["epoch"] == epoch)
    for bare in (name.removeprefix("validation/"), *derived_numbers.DICE):
        training = row.get(bare, row.get(f"train/{bare}"))
        validation = row.get(f"validation/{bare}")
        if "dice" not in bare or None in (training, validation):
            continue
        ahead = training - validation > GAP
        words = (
            f"Training {'IS' if ahead else 'is not'} ahead of validation by more than "
            f"{number(GAP)} on `{bare}` in the best epoch: {number(training)} against "
            f"{number(validation)}."
        )
        yield Claim(answer="no" if ahead else "yes", text=words)
        return


def sampling(run: Run) -> Iterator[Claim]:
    """Was the share of positives that was asked for the share that was fed?"""
    if derived_numbers.sampler(run) in NATURAL:
        return  # nothing else than the share of the data was asked for
    shares = derived_numbers.shares(run)
    if shares is None or shares["worst_gap"] is None:
        return
    kept = shares["worst_gap"] <= SHARE_TOLERANCE
    target = number(shares["first"], "percent")
    if shares["last"] != shares["first"]:
        target += f" to {number(shares['last'], 'percent')}"
    words = (
        f"Sampling {'fed' if kept else 'did NOT feed'} the share of positives it was "
        f"asked for: target {target}, realised {number(shares['realised'], 'percent')} "
        f"overall, largest gap of an epoch {number(shares['worst_gap'], 'percent')}."
    )
    yield Claim(answer="yes" if kept else "no", text=words)


def weights(run: Run) -> Iterator[Claim]:
    """Are the weights that a loss used those of the inverse share it asked for?"""
    if pick(run["config"], "supervision", "name") not in (None, "full"):
        return  # they follow from the labelled pixels, which the card does not count
    rows = [row for row in derived_numbers.class_weights(run) if row["expected"]]
    for name, block in derived_numbers.weighing(run).items():
        asked, cap = block["class_weights"], block.get("class_weight_cap")
        used = [row["used"].get(name) for row in rows]
        if asked not in INVERSE or cap or not used or None in used:
            continue
        pairs = zip(used, rows, strict=True)
        gap = max(abs(weight / row["expected"] - 1) for weight, row in pairs)
        follow = gap <= WEIGHT_TOLERANCE
        words = (
            f"The class weights that `{name}` used ({', '.join(map(number, used))}) "
            f"{'follow' if follow else 'do NOT follow'} from the training pixels as "
            f"N / (K n), as `{asked}` asks: largest relative difference "
            f"{number(gap, 'plain')}."
        )
        yield Claim(answer="yes" if follow else "no", text=words)


def integrity(run: Run) -> Iterator[Claim]:
    """Were steps lost, and are the splits what the data card says they are?"""
    skipped = run["info"].get("skipped_steps")
    if skipped:
        total = number(run["info"].get("total_steps"), "count")
        words = f"{text.plural(skipped, 'step')} skipped as non-finite, of {total}."
        yield Claim(answer="no", text=words)
    elif skipped is not None:
        yield Claim(answer="yes", text="No step was skipped as non-finite.")
    card = pick(run["info"], "dataset", "split_hash") or {}
    for name, split in run["splits"].items():
        scored, stored = split["result"].get("split_hash"), card.get(name)
        if scored is None or stored is None:
            continue
        words = "is the one" if scored == stored else "is NOT the one"
        words = (
            f"The {name} split that was scored {words} of the data card "
            f"(`{scored[:12]}` against `{stored[:12]}`)."
        )
        yield Claim(answer="yes" if scored == stored else "no", text=words)
