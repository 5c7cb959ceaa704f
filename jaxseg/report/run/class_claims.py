"""Tests that every class is predicted and there to be found; joins their claims."""

from collections.abc import Iterator

from jaxseg.report import class_numbers, text
from jaxseg.report.blocks import Claim
from jaxseg.report.read import Run, Split
from jaxseg.report.text import number

Each = dict[str, tuple[str, str]]  # class -> (answer, the numbers behind it)


def in_each(words: str, otherwise: dict[str, str], each: Each) -> Iterator[Claim]:
    """One claim of several classes, which names those that `words` do not hold for.

    `otherwise` has words for the answers no and unclear. Nothing of no class.
    """
    if not each:
        return
    answers = [answer for answer, _ in each.values()]
    of = text.plural(len(each), "class", "classes")
    told = f"{words} in {answers.count('yes')} of {of}"
    held = [f"`{c}`" for c, (own, _) in each.items() if own == "yes"]
    told += f" ({', '.join(held)})" if 0 < len(held) < len(each) else ""
    for answer, lead in otherwise.items():
        rest = [f"`{c}` {why}" for c, (own, why) in each.items() if own == answer]
        told += f"; {lead}: {', '.join(rest)}" if rest else ""
    worst = next(a for a in ("no", "unclear", "yes") if a in answers)
    yield Claim(answer=worst, text=f"{told}.")


def claims(run: Run, split: Split) -> Iterator[Claim]:
    """A failed claim for each dead or absent class; nothing where none was counted."""
    rows = class_numbers.table(split) if class_numbers.several(split) else []
    if not rows:
        return
    never = class_numbers.never_predicted(split)
    absent = class_numbers.without_support(split)
    for row in never:
        words = (
            f"Class `{row['class']}` is NEVER PREDICTED on {split['name']}, though "
            f"{text.plural(row['support_pixels'], 'pixel')} in "
            f"{text.plural(row['support_images'], 'image')} are of it"
            f"{_until(run, row['class'])}."
        )
        yield Claim(answer="no", text=words)
    for row in absent:
        words = (
            f"Class `{row['class']}` does NOT occur in the truth of {split['name']}: "
            "how well it is found is not measured, and no mean counts it. "
            f"{text.plural(row['predicted_pixels'], 'pixel')} "
            f"{'was' if row['predicted_pixels'] == 1 else 'were'} predicted as it."
        )
        yield Claim(answer="no", text=words)
    if not never:
        present = number(len(rows) - len(absent), "count")
        words = f"Each of the {present} classes in the truth of {split['name']} is "
        yield Claim(answer="yes", text=f"{words}predicted somewhere.")


def _until(run: Run, name: str) -> str:
    """Was the class predicted on validation in any epoch?"""
    share = class_numbers.history(run, "validation/predicted_share").get(name)
    if share is None:
        return ""
    epochs, values = share
    if not values.any():
        return "; neither was it on validation, in any epoch"
    last = number(epochs[values > 0][-1], "count")
    return f"; on validation it was predicted last after epoch {last}"
