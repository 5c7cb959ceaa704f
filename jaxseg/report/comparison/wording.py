"""Prints the values, differences and p-values of a comparison."""

import math
import re
from collections.abc import Mapping
from typing import Any

from jaxseg.report.comparison.paired_tests import Test
from jaxseg.report.text import UNDEFINED


def value(score: float | None) -> str:
    """A score with four decimals: runs may differ in the fourth."""
    if score is None or not math.isfinite(score):
        return UNDEFINED
    if 0 < abs(score) < 0.001:
        return f"{score:.2g}"
    return f"{score:.4f}" if abs(score) < 10 else f"{score:.2f}"


def signed(gap: float | None) -> str:
    """A difference with its one sign: `+0.0265`, `-0.0098`, `0`."""
    if gap is None or not math.isfinite(gap):
        return UNDEFINED
    if gap == 0:
        return "0"
    if abs(gap) < 0.001:
        return f"{gap:+.2g}"
    return f"{gap:+.4f}" if abs(gap) < 10 else f"{gap:+.2f}"


def percent(share: float | None) -> str:
    """A share with its sign, for what may grow or shrink: `90.69 %`, `-3.10 %`."""
    return UNDEFINED if share is None else f"{100 * share:.2f} %"


def p_value(p: float | None) -> str:
    """`0.25`, `0.0012`, `below 0.0001`."""
    if p is None:
        return UNDEFINED
    return "below 0.0001" if p < 1e-4 else f"{p:.2g}"


def span(row: dict[str, Any]) -> str:
    """`[0.9296, 0.9548]`, or nothing where no interval is known."""
    if None in (row["low"], row["high"]):
        return ""
    return f"[{value(row['low'])}, {value(row['high'])}]"


def scored(row: dict[str, Any]) -> str:
    """Value of a score; an absent class reads `n/a (support 0)`, no score `n/a`."""
    if row["value"] is None:
        support = row.get("support_images")
        return UNDEFINED + (f" (support {support:,})" if support is not None else "")
    return value(row["value"])


def tested(test: Test) -> str:
    """Difference, interval and p-values of a test, in words."""
    words = f"difference {signed(test['value'])}"
    if test["low"] is not None:
        words += f" [{signed(test['low'])}, {signed(test['high'])}]"
    if test["adjusted"] is not None:
        words += f", Holm p = {p_value(test['adjusted'])} over images"
    if test["seeds"] is not None:
        words += f", Holm p = {p_value(test['seeds'])} over seeds"
    return words


def setting(value: Any) -> str:
    """A value of a config in full, so that what differs also looks different."""
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "empty"
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "true", False: "false"}[value]
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{32,}", value):
        return value[:12]  # enough of a hash to tell it from others
    if isinstance(value, Mapping):
        return "empty"  # any other mapping has been made flat
    return str(value) or "empty"
