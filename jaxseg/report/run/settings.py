"""Shows the config of a run, and the code and machine that it was made with."""

import json
import shlex

from jaxseg.report import text
from jaxseg.report.blocks import Block, code, columns, folded, pairs, table
from jaxseg.report.read import Run, pick
from jaxseg.report.text import number, plain

_FIRST = {  # blocks of the config that come first, in this order
    "model": "Model",
    "optim": "Training",
    "loss": "Loss",
    "sampler": "Sampling",
    "augment": "Augmentation",
    "data": "Data",
}


def config(run: Run) -> list[Block | None]:
    """The larger blocks first, then the rest, then all of it as JSON."""
    config, grouped = run["config"], {}
    for key in sorted(config, key=lambda k: (list(_FIRST) + [k]).index(k)):
        nested = isinstance(config[key], dict)
        title = _FIRST.get(key, key.capitalize()) if nested else "General"
        grouped.setdefault(title, []).extend(text.flat(config[key], key))
    general = grouped.pop("General", [])
    if general:
        grouped["General"] = general
    whole = json.dumps(config, indent=2, ensure_ascii=False)
    reasons = (config.get("auto") or {}).get("reasons") or []
    chosen = [
        [key, plain(pick(config, *key.split("."))), reason]
        for key, _, reason in (line.partition(": ") for line in reasons)
    ]
    heads = ["Setting", "Chosen", "Reason"]
    return [
        table(heads, chosen, title="Chosen from data and machine") if chosen else None,
        columns([pairs(title, rows) for title, rows in grouped.items()]),
        folded("Every setting that the run depends on", [code(whole)]),
    ]


def environment(run: Run) -> list[Block | None]:
    """When, where and by which code and command the run was made."""
    info, history = run["info"], run["history"]
    seconds, images = info.get("seconds"), info.get("images_seen")
    speed = images / seconds if seconds and images is not None else None
    waits = [r["data_wait_share"] for r in history if r.get("data_wait_share")]
    facts = [(k, plain(info.get(k))) for k in ("recipe", "status", "git", "platform")]
    facts += [
        ("created", plain(info.get("created"))),
        ("finished", plain(info.get("finished"))),
        ("time of all epochs", number(seconds, "seconds")),
        ("images per second", number(speed, "plain")),
        ("waiting for data", number(max(waits, default=None), "percent") + " at worst"),
        ("resumed", plain(info.get("resumed"))),
        *text.flat(info.get("devices") or {}, "devices"),
    ]
    command = info.get("command")
    if isinstance(command, list):
        command = shlex.join(map(str, command))
    parts = [pairs("Run", facts)]
    if info.get("versions"):
        parts.append(pairs("Versions", text.flat(info["versions"])))
    return [
        columns(parts),
        _sources(run),
        folded("Command", [code(command)]) if command else None,
    ]


def _sources(run: Run) -> Block | None:
    """The recipe and the modules of the user's own; None of runs of before."""
    words = {(True, False): "committed", (True, True): "changed since it was committed"}
    rows = [
        [
            (f"`{name}`", row["kind"]),
            f"`{row['sha256'][:12]}`",
            words.get((row["tracked"], row["changed"]), "not in git"),
        ]
        for name, row in (run["info"].get("sources") or {}).items()
    ]
    heads = ["File or module", "SHA-256", "State"]
    title = "Recipe, and parts that the revision does not tell"
    return table(heads, rows, title=title) if rows else None
