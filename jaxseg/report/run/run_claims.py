"""Tested sentences about the run itself: its length, its sampling, its data."""

from collections.abc import Iterator

from jaxseg.report import derived_numbers, text
from jaxseg.report.read import Run, pick

Claim = dict[str, str]
GAP = 0.05  # of a score: how far training may be ahead of validation
SHARE_TOLERANCE = 0.01  # of an epoch: rounding of a share to whole images
WEIGHT_TOLERANCE = 1e-3  # relative: cards may round what they store


def claims(run: Run) -> list[Claim]:
    """All claims that need no result of a test split."""
    checks = (convergence, overfitting, sampling, weights, integrity)
    return [claim for check in checks for claim in check(run)]


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
