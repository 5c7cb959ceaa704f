"""Shows how a run was trained: the curves to look at first, and all the rest."""

from jaxseg.report.blocks import Block, pairs, paragraph, pictures
from jaxseg.report.figures import Picture
from jaxseg.report.read import Run
from jaxseg.report.run import class_plots, plots, tables
from jaxseg.report.text import number

_FIRST = ("loss", "dice", "decision", "class_history")
_FIRST += ("dice_by_class", "share_by_class")


def curves(run: Run) -> list[Block | None]:
    """Why it stopped early; loss and validation over epochs, by class of several."""
    stopped = run["info"].get("early_stop")
    words = paragraph(f"Training {stopped['words']}.") if stopped else None
    return [words, pictures(p for p in _drawn(run) if p["name"] in _FIRST)]


def details(run: Run) -> list[Block | None]:
    """Amounts, the best checkpoint, what changed on the way, and the other curves."""
    drawn = [plots.progression(run)]
    drawn += [p for p in _drawn(run) if p["name"] not in _FIRST]
    words = pairs("The run", _facts(run))
    return [words, tables.progression(run), pictures(drawn)]


def _drawn(run: Run) -> list[Picture]:
    every = [*plots.training(run), *class_plots.history(run)]
    return [picture for picture in every if picture is not None]


def _facts(run: Run) -> list[tuple[str, str]]:
    info, best = run["info"], run["info"].get("best")
    facts = [
        ("parameters", number(info.get("params"), "count")),
        ("images a step", number(info.get("batch_size"), "count")),
        ("steps an epoch", number(info.get("steps_per_epoch"), "count")),
        ("steps", number(info.get("total_steps"), "count")),
        ("epochs", number(len(run["history"]), "count")),
        ("images seen", number(info.get("images_seen"), "count")),
    ]
    if best:
        value = f"`{best.get('metric')}` {number(best.get('value'))}"
        where = f"epoch {number(best.get('epoch'), 'count')}"
        value += " after the epoch, at threshold 0.5 or of the most probable class"
        facts.append(("best checkpoint", f"{where}: {value}"))
    if info.get("early_stop"):
        facts.append(("ended", info["early_stop"]["words"]))
    for change in info.get("changes") or []:
        words = f"`{change['key']}` from {change['before']} to {change['after']}"
        facts.append((f"changed at step {number(change['step'], 'count')}", words))
    return facts
