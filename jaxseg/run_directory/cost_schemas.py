"""The shape of eval/cost.json."""

from typing import TypedDict


class Cost(TypedDict):
    """eval/cost.json: what one prediction took, on the machine that measured it."""

    detail: str
    size: list[int]  # height, width and channels of what the network sees
    batch: int
    passes: int
    latency_ms_p50: float
    latency_ms_p95: float
    images_per_second: float
    weights_mib: float
    parameters: int
    device: str
    cpus: int
    platform: str
    jax: str
    step: int
