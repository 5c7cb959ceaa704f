"""Says in one line how an epoch went, and why training stopped before its end."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict


def text(
    row: Mapping[str, Any],
    best: Mapping[str, Any] | None,
    *,
    epochs: int,
    metric: str,
    name: str = "",
    saved: bool = True,
) -> str:
    """The line of the epoch whose row of history.csv is `row`, with what was saved.

    `best` are the notes of the best epoch so far, this one among them; `metric` is the
    one that chooses it; `name` is that of the run, where several train together.
    """
    parts = [f"{name}: " * bool(name) + f"epoch {row['epoch']}/{epochs}"]
    parts.append(f"loss {_number(row['loss'], 3)}")
    if row.get("validation/loss") is not None:
        parts.append(f"val loss {_number(row['validation/loss'], 3)}")
    if f"validation/{metric}" in row:
        value = row[f"validation/{metric}"]
        value = "n/a" if value is None else f"{value:.3f}"
        if best is not None:
            value += f" (best {best['value']:.3f} @{best['epoch']})"
        parts.append(f"val {metric} {value}")
    parts.append(f"{_number(row['images_per_second'], 2)} images/s")
    parts.append(_seconds(row["seconds"]))
    if row.get("skipped_steps"):
        parts.append(f"{row['skipped_steps']} steps skipped, not finite")
    if saved:
        is_best = best is not None and best["step"] == row["step"]
        parts.append(f"saved step {row['step']}" + " as the best" * is_best)
    return "  ".join(parts)


def early_stop(
    config: ConfigDict, best: Mapping[str, Any] | None, *, step: int, total: int
) -> dict[str, Any] | None:
    """Why training ended with `step` of `total` steps; None where it went to the end.

    {"step", "patience", "metric", "best_epoch", "words"}, a
    `course_schemas.EarlyStop`.
    """
    if step >= total:
        return None
    metric, patience = f"validation/{config.eval.metric}", config.eval.patience
    above = "was never defined" if best is None else _not_above(metric, best)
    words = (
        f"stopped early after step {step} of {total}: {above} "
        f"(config.eval.patience={patience})"
    )
    return {
        "step": step,
        "patience": patience,
        "metric": metric,
        "best_epoch": None if best is None else best["epoch"],
        "words": words,
    }


def _not_above(metric: str, best: Mapping[str, Any]) -> str:
    then = f"the {best['value']:.4f} of epoch {best['epoch']}"
    return f"{metric} was not above {then} since then"


def _number(value: Any, digits: int) -> str:
    """So many digits, and whole numbers whole: "0.52", "1234", "21"; "n/a" of None."""
    if value is None:
        return "n/a"
    value = float(value)
    return f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
