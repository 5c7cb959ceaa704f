"""Keeps what every case came to, so that a measurement goes on where it stopped."""

import json
import pathlib
from typing import NamedTuple


class Outcome(NamedTuple):
    """What became of one case; `fault` is "" where jaxseg kept its promise."""

    verdict: str  # one word that is counted: equal, refused, detected, harmless ...
    fault: str = ""
    note: str = ""
    tries: int = 1  # kills, say, of this case


class Row(NamedTuple):
    """An outcome with the part and the name of its case."""

    part: str
    case: str
    outcome: Outcome


class Ledger:
    """The outcomes in a file of one JSON object a line."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def rows(self) -> list[Row]:
        """Every outcome so far; a last line that a kill cut short is left out."""
        if not self.path.exists():
            return []
        lines = [x for x in self.path.read_text().splitlines() if x.endswith("}")]
        plain = map(json.loads, lines)
        return [Row(p["part"], p["case"], Outcome(**p["outcome"])) for p in plain]

    def add(self, row: Row) -> None:
        """Appends an outcome, on a line of its own."""
        line = row._asdict() | {"outcome": row.outcome._asdict()}
        with self.path.open("a") as file:
            file.write("\n" + json.dumps(line))


def table(rows: list[Row]) -> list[str]:
    """Lines of a Markdown table: how many cases of each kind ended in which way.

    The kind of a case is the first word of its name.
    """
    lines = ["| part | kind | cases | tries | ended | faults |"]
    lines += ["|---|---|--:|--:|---|--:|"]
    kinds = dict.fromkeys((row.part, row.case.split()[0]) for row in rows)
    for part, kind in kinds:
        group = [r for r in rows if (r.part, r.case.split()[0]) == (part, kind)]
        good = [r.outcome.verdict for r in group if not r.outcome.fault]
        counts = ", ".join(f"{good.count(v)} {v}" for v in sorted(set(good)))
        faults = len(group) - len(good)
        tries = sum(r.outcome.tries for r in group)
        lines.append(
            f"| {part} | {kind} | {len(group)} | {tries} | {counts} | {faults} |"
        )
    return lines


def faults(rows: list[Row]) -> list[str]:
    """A line for every case in which a promise was broken."""
    return [f"- {r.part}, {r.case}: {r.outcome.fault}" for r in rows if r.outcome.fault]
