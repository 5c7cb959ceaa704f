"""Shows how many objects an area holds, and whether they lie together or apart."""

from jaxseg.report import text
from jaxseg.report.blocks import Block, table
from jaxseg.report.object_numbers import UNITS, amount
from jaxseg.report.read import Split
from jaxseg.report.text import number
from jaxseg.run_directory.object_schemas import (
    DensityRecord,
    ObjectResult,
    PatternRecord,
)

_AREAS = {"mm2": "mm²", "megapixel": "megapixel"}
_Z = 1.96  # standard deviations of a 95 % interval


def density(split: Split, record: ObjectResult) -> Block:
    """Objects an area as all that show, and by two rules that are not biased."""
    dense = record["density"]
    rows = []
    for kind in ("true", "predicted"):
        cells = []
        for name in ("naive", "frame", "weighted"):
            gap = _gap(dense, name) if kind == "predicted" else ""
            cells.append((amount(dense[kind][name]), gap))
        undecided = number(dense["undecided"][kind], "count")
        rows.append([kind.capitalize(), *cells, undecided])
    lead = (
        "Naive counts every object that shows, also those that the edge of an image "
        "cuts, each of which would be counted again in the neighbouring image: it is "
        "too large, the more so the larger objects are. The counting frame (Gundersen, "
        "1977) and the weights (Miles and Lantuéjoul) are not biased by the edge."
    )
    note = (
        f"The frame lies {text.plural(dense['margin_px'], 'pixel')} within each "
        f"edge; {text.plural(dense['images'], 'image')} had room for one. Undecided: "
        "objects counted in a frame that the edge of their image cuts"
    )
    some = any(dense["undecided"].values())
    note += (
        ": they might not belong to it, so a wider margin is needed."
        if some
        else "; there is none, so the margin is wide enough."
    )
    note += " Percentages: how far predicted is from true."
    heads = [f"Objects per {_AREAS[dense['unit']]}", "Naive (too large)"]
    heads += ["Counting frame", "Weighted", "Undecided"]
    title = f"Density on {split['name']}"
    return table(heads, rows, title=title, lead=lead, note=note)


def _gap(dense: DensityRecord, name: str) -> str:
    true, predicted = dense["true"][name], dense["predicted"][name]
    if not true or predicted is None:
        return ""
    return f"{100 * (predicted / true - 1):+.1f} %"


def neighbours(split: Split, record: ObjectResult) -> Block:
    """Whether centroids lie together or apart, of truth and prediction."""
    unit, near = UNITS[record["unit"]], record["neighbours"]
    rows = [
        [
            (kind.capitalize(), _pattern_in_words(near[kind])),
            amount(near[kind]["mean_distance"]),
            number(near[kind]["index"]),
            number(near[kind]["index_uncorrected"]),
            amount(near[kind]["z"], sign=True),
            (
                text.plural(near[kind]["points"], "object"),
                text.plural(near[kind]["images"], "image"),
            ),
        ]
        for kind in ("true", "predicted")
    ]
    note = (
        f"Index: {near['policy']}. 1: at random; less: clustered; more: regular. "
        "Objects cannot overlap, so dense ones have an index above 1 even when nothing "
        "else orders them."
    )
    heads = ["Objects", f"Distance to the nearest, {unit}", "Index (Clark and Evans)"]
    heads += ["Index without edge correction", "z", "Support"]
    title = f"Nearest neighbours on {split['name']}"
    return table(heads, rows, title=title, note=note)


def _pattern_in_words(pattern: PatternRecord) -> str:
    if pattern["z"] is None:
        return "no image has two objects"
    if abs(pattern["z"]) < _Z:
        return "not told from random"
    return "clustered" if pattern["z"] < 0 else "regular"
