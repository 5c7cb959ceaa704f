"""Shows how well probabilities are calibrated: tables, diagrams, tested sentences."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from jaxseg.report import figures, text
from jaxseg.report.blocks import Block, Claim, pictures, table
from jaxseg.report.figures import INK, SERIES, Picture
from jaxseg.report.read import Split, pick
from jaxseg.report.text import number

_Z = 1.96  # standard deviations of a 95 % interval
_SCORES = ("ece", "ece_confidence", "maximum_calibration_error", "brier", "nll")


def blocks(splits: Sequence[Split], *, drawn: bool = True) -> list[Block | None]:
    """Tables, and diagrams of the first; [] of splits scored without calibration."""
    splits = [s for s in splits if s["result"].get("calibration")]
    if not splits:
        return []
    diagrams = (_pixels(splits[0]), _images(splits[0])) if drawn else ()
    return [_scores(splits), _temperatures(splits), pictures(diagrams)]


def _scores(splits: list[Split]) -> Block:
    rows, certain = [], []
    for split in splits:
        block, name = split["result"]["calibration"], split["name"]
        pixel, after = block["pixel"], pick(block, "after_temperature", "pixel")
        rows.append([(name, "pixels"), *_cells(pixel, "pixel")])
        if after:
            scaled = f"pixels, temperature {number(block['temperature']['value'])}"
            scaled += " (optimistic)" * block["temperature"]["optimistic"]
            rows.append([(name, scaled), *_cells(after, "pixel")])
        rows += _prevalence(name, pixel)
        level = "images, by `max_probability`"
        rows.append([(name, level), *_cells(block["image"], "image")])
        certain.append(
            f"on {name} {text.plural(pixel['certain'], 'pixel')} at exactly 0 or 1, "
            f"{number(pixel['certain_wrong'], 'count')} of them wrong"
        )
    low, high = splits[0]["result"]["calibration"]["pixel"]["clip"]
    note = (
        "ECE: the gap between mean probability and observed share of foreground, in "
        f"{len(pixel['rows'])} rows of equal width weighted by their counts; of "
        "confidence: the same of the probability of the answer. ± bounds the error of "
        "the histogram. NLL in nats, with probabilities kept "
        f"{number(low, 'plain')} from 0 and {number(1 - high, 'plain')} from 1: "
        f"{'; '.join(certain)}. Prevalence alone: "
        "a constant score that knows the share of foreground of these very images. "
        "No model is trained to make the highest probability that of any foreground in "
        "an image: its row says how far it can be read so."
    )
    heads = ["Split and level", "ECE", "ECE of confidence", "Worst row", "Brier", "NLL"]
    title = "How far probabilities can be believed"
    return table([*heads, "Support"], rows, title=title, note=note)


def _cells(level: dict[str, Any], unit: str) -> list[tuple[str, str]]:
    cells = []
    for name in _SCORES:
        bound = level.get(f"{name}_error_bound")
        small = f"± {number(bound)}" if unit == "pixel" and bound is not None else ""
        if name == "maximum_calibration_error" and level[name] is not None:
            small = text.plural(level["maximum_calibration_error_support"], unit)
        cells.append((number(level[name], "plain"), small))
    positive = f"{number(level['support_positives'], 'count')} of foreground"
    return [*cells, (text.plural(level["support"], unit), positive)]


def _prevalence(name: str, pixel: dict[str, Any]) -> list[list[Any]]:
    base = pixel["of_prevalence"]
    if base is None:
        return []
    cells = [number(base[key], "plain") for key in ("brier", "nll")]
    none = number(0.0, "plain")  # the gaps of a score that is the share itself
    support = text.plural(pixel["support"], "pixel")
    return [[(name, "prevalence alone"), none, none, none, *cells, support]]


def _temperatures(splits: list[Split]) -> Block | None:
    temperatures = [s["result"]["calibration"]["temperature"] for s in splits]
    rows = [
        [
            split["name"] + (" (optimistic)" if fitted["optimistic"] else ""),
            (number(fitted["value"]), "at its limit" if fitted["at_limit"] else ""),
            fitted["source_split"],
            number(fitted["nll_before"], "plain"),
            number(fitted["nll_after"], "plain"),
            text.plural(fitted["support_pixels"], "pixel"),
        ]
        for split, fitted in zip(splits, temperatures, strict=True)
        if fitted
    ]
    heads = ["Applied to", "Temperature", "Fitted on", "NLL there before", "and after"]
    note = (
        "p becomes sigmoid(logit(p) / temperature), for the rows that say so and "
        "nowhere else. It is monotone: no curve, no threshold and no mask changes."
    )
    heads.append("Support")
    return table(heads, rows, title="Temperature", note=note) if rows else None


def _pixels(split: Split) -> Picture | None:
    block = split["result"]["calibration"]
    after = pick(block, "after_temperature", "pixel")
    series = [("as predicted", _filled(block["pixel"]))]
    if after:
        label = f"temperature {number(block['temperature']['value'])}"
        series.append((label, _filled(after)))
    counts = [row["count"] for row in series[0][1]]
    if not counts:
        return None
    caption = (
        f"On {split['name']}. Dotted: mean probability and observed share agree. "
        "Below the line the model is too sure of foreground. Markers grow with the "
        f"logarithm of the pixels in a row: {number(min(counts), 'count')} to "
        f"{number(max(counts), 'count')} as predicted."
    )
    draw = partial(_draw, series=series, what="pixels that are", spans=False)
    return figures.plot("reliability", "Pixels: reliability", caption, draw)


def _images(split: Split) -> Picture | None:
    rows = _filled(split["result"]["calibration"]["image"])
    if not rows:
        return None
    caption = (
        f"On {split['name']}; the score of an image is its highest probability. Bars: "
        "95 % (Wilson) from the images in a row."
    )
    draw = partial(_draw, series=[("", rows)], what="images with", spans=True)
    return figures.plot("image_reliability", "Images: reliability", caption, draw)


def _filled(level: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a reliability diagram that hold anything."""
    return [row for row in level["rows"] if row["count"]]


def _draw(axes: Axes, series: list[tuple[str, Any]], what: str, spans: bool) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
    for i, (label, rows) in enumerate(series):
        x, y, n = (
            np.array([r[k] for r in rows]) for k in ("mean", "observed", "count")
        )
        style = dict(color=SERIES[i], linestyle=figures.DASHES[i], linewidth=1.3)
        axes.plot(x, y, label=label, **style)
        axes.scatter(x, y, s=9 * (1 + np.log10(n)), color=SERIES[i], zorder=3)
        if spans:
            axes.vlines(x, *_wilson(y, n), color=SERIES[i], linewidth=1)
    figures.unit_square(axes)
    axes.set(xlabel="mean probability", ylabel=f"share of {what} foreground")


def _wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends [n], [n] of the 95 % interval of a share (Wilson, 1927)."""
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) * _Z / (1 + _Z**2 / n)
    return middle - half, middle + half


def claims(split: Split) -> Iterator[Claim]:
    """Do probabilities say more than the prevalence, and does the temperature help?"""
    block = split["result"].get("calibration") or {}
    pixel, after = block.get("pixel"), pick(block, "after_temperature", "pixel")
    if not pixel or pixel["nll"] is None:
        return
    name, nll, bound = split["name"], pixel["nll"], pixel["nll_error_bound"]
    base = pixel["of_prevalence"]["nll"]
    answer = _compare(base - nll, bound)
    words = {"yes": "say more", "no": "do NOT say more", "unclear": "may say more"}
    words = (
        f"Pixel probabilities {words[answer]} than the prevalence alone on {name}: NLL "
        f"{_bounded(nll, bound)} against {number(base, 'plain')}."
    )
    yield Claim(answer=answer, text=words)
    if after:
        gain, fitted = nll - after["nll"], block["temperature"]
        answer = _compare(gain, bound + after["nll_error_bound"])
        words = {"yes": "lowers", "no": "does NOT lower", "unclear": "may lower"}
        lowers = words[answer]
        where = f"{name} (it was fitted on {fitted['source_split']})"
        if fitted["optimistic"]:
            answer, where = "unclear", f"{name}, the images it was fitted on"
        words = (
            f"The temperature {number(fitted['value'])} {lowers} the pixel NLL of "
            f"{where}: {_bounded(nll, bound)} becomes "
            f"{_bounded(after['nll'], after['nll_error_bound'])}, ECE "
            f"{number(pixel['ece'], 'plain')} becomes {number(after['ece'], 'plain')}."
        )
        yield Claim(answer=answer, text=words)


def _compare(gain: float, bound: float) -> str:
    return "yes" if gain > bound else "no" if gain <= 0 else "unclear"


def _bounded(value: float, bound: float) -> str:
    return f"{number(value, 'plain')} (± {number(bound)})"
