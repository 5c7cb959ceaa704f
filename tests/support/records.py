"""The smallest records that have the shape of a run's files."""

from typing import Any


def card(**changes: Any) -> dict[str, Any]:
    """A data card of two classes."""
    split = {"images": 8, "positives": 4, "groups": 8, "pixels": [700, 100]}
    split |= {"ignored_pixels": 0, "unlabelled_images": 0}
    names = ("train", "validation", "test")
    return {
        "name": "toy",
        "version": "1.0.0",
        "source": "toy",
        "classes": ["background", "object"],
        "channels": 1,
        "dtype": "uint8",
        "splits": {name: dict(split) for name in names},
        "class_weights": [0.6, 4.0],
        "sizes": {"min": [10, 10], "max": [10, 10], "distinct": 1},
        "split_rule": "by name",
        "split_hash": {name: f"hash of {name}" for name in names},
        "refused": [],
        "extra": {},
        **changes,
    }


def record(**changes: Any) -> dict[str, Any]:
    """The content of run.json of a finished run, without anything optional."""
    return {
        "name": "toy",
        "recipe": "full",
        "created": "2026-01-02T03:04:05",
        "finished": "2026-01-02T03:14:05",
        "status": "finished",
        "resumed": 0,
        "epochs": 2,
        "versions": {},
        "git": None,
        "command": "python -m jaxseg.main",
        "batch_size": 4,
        "steps_per_epoch": 2,
        "total_steps": 4,
        "params": 1,
        "dataset": card(),
        "devices": {},
        **changes,
    }
