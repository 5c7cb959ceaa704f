"""Draws scores against the share of positives that keep their masks, for the README.

    python -m jaxseg.sweep --config=configs/cracks.py:demo --workdir=runs/masks
    python tests/benchmarks/mask_shares.py runs/masks tests/benchmarks/mask_shares.svg

Prints the table as well: means over seeds with Student's t intervals.
"""

import json
import pathlib
import re
import sys

import numpy as np
from scipy import stats

SCORES = {
    "decision": "image AP of the decision",
    "segmentation": "image AP of the segmentation alone",
    "dice": "Dice of cracks, pooled",
}


def read(root: pathlib.Path) -> dict[float, dict[str, list[float]]]:
    """{share of masks: {score: its value in each seed}} of the finished members."""
    out: dict[float, dict[str, list[float]]] = {}
    for path in sorted(root.glob("masks*-seed*/eval/test.json")):
        share = float(re.match(r"masks([\d.]+)-", path.parts[-3])[1])
        result = json.loads(path.read_text())
        values = out.setdefault(share, {name: [] for name in SCORES})
        for row in result["image_level"]["scores"]:
            of = {metric["name"]: metric["value"] for metric in row["metrics"]}
            values[row["score"]].append(of["average_precision"])
        values["dice"] += [
            row["value"]
            for row in result["metrics"]
            if (row["name"], row["class"]) == ("dice_pooled", result["classes"][1])
        ]
    return dict(sorted(out.items()))


def mean(values: list[float]) -> tuple[float, float]:
    """(mean, half of its 95 % interval) over seeds."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1)
    return float(np.mean(values)), float(half / len(values) ** 0.5)


def table(scores: dict[float, dict[str, list[float]]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [f"| masks kept | {' | '.join(SCORES.values())} |"]
    lines += ["|--:|" + "---|" * len(SCORES)]
    for share, values in scores.items():
        cells = []
        for name in SCORES:
            middle, half = mean(values[name])
            low, high = max(middle - half, 0), min(middle + half, 1)
            cells.append(f"{middle:.3f} [{low:.3f}, {high:.3f}]")
        lines.append(f"| {share:.0%} | {' | '.join(cells)} |")
    return lines


def draw(scores: dict[float, dict[str, list[float]]], path: pathlib.Path) -> None:
    """Writes the figure; the line across is that of all masks."""
    import matplotlib

    matplotlib.use("svg")
    # the same bytes each time, and text as text
    matplotlib.rcParams.update({"svg.hashsalt": "jaxseg", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.4), layout="constrained")
    places = np.arange(len(scores))
    for k, (name, words) in enumerate(SCORES.items()):
        middle, half = np.array([mean(v[name]) for v in scores.values()]).T
        color = ("#0072b2", "#e69f00", "#009e73")[k]
        ends = [
            middle - np.clip(middle - half, 0, 1),
            np.clip(middle + half, 0, 1) - middle,
        ]
        axes.errorbar(
            places + 0.05 * (k - 1),
            middle,
            ends,
            fmt="o-",
            capsize=3,
            color=color,
            label=words,
        )
        axes.axhline(middle[-1], color=color, linestyle=":", linewidth=1)
    axes.set(xticks=places, ylim=(0, 1.02), ylabel="score on 60 test images")
    axes.set_xticklabels([f"{share:.0%}" for share in scores])
    axes.set_xlabel("positives of training that keep their masks (dotted: all of them)")
    axes.legend(frameon=False, fontsize="small", loc="lower right")
    axes.grid(axis="y", alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    values = read(pathlib.Path(sys.argv[1]))
    print("\n".join(table(values)))
    draw(values, pathlib.Path(sys.argv[2]))
