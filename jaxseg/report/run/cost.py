"""Shows what one prediction costs, where it was measured."""

from jaxseg.report.blocks import Block, pairs
from jaxseg.report.read import Run
from jaxseg.report.text import number


def blocks(run: Run) -> list[Block]:
    """A table of eval/cost.json; [] without it."""
    cost = run["cost"]
    if cost is None:
        return []
    latency = [f"{cost[f'latency_ms_{p}']:.3g} ms" for p in ("p50", "p95")]
    facts = [
        ("latency, median", latency[0]),
        ("latency, 95th percentile", latency[1]),
        ("images per second", f"{cost['images_per_second']:.3g}"),
        ("weights", f"{cost['weights_mib']:.3g} MiB"),
        ("parameters", number(cost["parameters"], "count")),
        ("image", " x ".join(map(str, cost["size"])) + " (height x width x channels)"),
        ("images at a time", number(cost["batch"], "count")),
        ("passes", number(cost["passes"], "count")),
        ("device", f"{cost['device']}, {cost['cpus']} CPU cores"),
        ("platform", f"{cost['platform']}, jax {cost['jax']}"),
        ("what was timed", cost["detail"]),
    ]
    return [pairs("One prediction", facts)]
