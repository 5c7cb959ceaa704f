"""Draws run lengths, tables, JSON files of a run, and words of the command line."""

import functools
import json
import random

from support import records

from fuzz.scars import changed, scarred, text, value, whole

_SPLITS = ("train", "validation", "test", "unlabelled", "", "Train", "tst")
_HEADS = (
    "ImageId,EncodedPixels",
    "new_filename,ImageId,has_pneumo",
    "stem,split,group",
    "stem;split",
    "step,epoch,loss",
    "split,position,id,group,label,height,width,ignored,c0,c1",
    "",
)
_POINT = {"threshold": 0.5, "min_area": 0.0, "objective": "dice", "value": 0.5}
_POINT |= {"source_split": "validation", "split_hash": "a" * 64, "rule": "threshold"}


def run_lengths(rng: random.Random) -> bytes:
    """Run lengths as UTF-8: right ones, and what spreadsheets make of them."""
    count = rng.choice((0, 1, 2, 2, 4, 6, 20, 1000))
    words = []
    for _ in range(count):
        number = str(whole(rng, rng.randrange(8), odd=0.05, most=2**40))
        words.append(number if rng.random() < 0.98 else text(rng))
    if rng.random() < 0.05:
        words.insert(0, "-1")
    gap = rng.choice((" ",) * 12 + ("  ", "\t", ",", "\xa0", "\n", "", ";"))
    line = rng.choice(("", "", "", " ", "\n")) + gap.join(words)
    return scarred(rng, line.encode("utf-8", "surrogatepass"), odd=0.1)


def table(rng: random.Random) -> bytes:
    """A CSV file with one of the headers that jaxseg reads."""
    head = rng.choice(_HEADS)
    gap = ";" if ";" in head else ","
    lines = [head] if rng.random() < 0.97 else []
    for row in range(rng.choice((0, 1, 2, 3, 5))):
        cells = [_cell(rng, name, row) for name in head.split(gap)]
        if rng.random() < 0.04:
            cells = cells[:-1] if rng.random() < 0.5 else [*cells, text(rng)]
        lines.append(gap.join(cells))
    end = rng.choice(("\n",) * 6 + ("\r\n", "\r", "\n\n"))
    whole_text = end.join(lines) + rng.choice(("", end))
    code = rng.choice(("utf-8",) * 12 + ("utf-8-sig", "utf-16", "cp1252", "utf-32"))
    return scarred(rng, whole_text.encode(code, "replace"), odd=0.1)


def _cell(rng: random.Random, name: str, row: int) -> str:
    """A value that fits the column, or not."""
    if rng.random() < 0.04:
        return rng.choice((text(rng), '"', '"a', 'a"b"', "x" * 140_000))
    usual = {
        "split": _SPLITS[row % 3],
        "stem": f"im{row}",
        "id": f"im{row}",
        "ImageId": f"im{row}",
        "new_filename": f"im{row}.png",
        "EncodedPixels": rng.choice(("-1", "1 2", "0 1 3 4")),
        "group": rng.choice(("", "g", f"g{row}")),
        "has_pneumo": str(row % 2),
    }
    return usual.get(name, str(whole(rng, row, odd=0.05)))


@functools.cache
def _jsons() -> tuple[str, ...]:
    """Right contents of the JSON files of a run."""
    from jaxseg.config import base

    config = base.base().to_dict()
    point = {"step": 4, "operating_point": _POINT, "temperature": None}
    row = {"name": "dice", "class": "a", "value": 0.5, "low": 0.4, "high": 0.6}
    result = {name: 1 for name in ("images", "positive_images", "pixels", "step")}
    result |= {"positive_pixels": 1, "ignored_pixels": 0, "classes": ["a", "b"]}
    result |= {"split": "test", "split_hash": "a", "operating_point": _POINT}
    result |= {"metrics": [row | {"support_images": 1}], "baselines": [], "curves": {}}
    every = (records.record(), records.card(), config, point, result)
    return tuple(json.dumps(each) for each in every)


def run_json(rng: random.Random) -> bytes:
    """A JSON file of a run, with a few values changed."""
    tree = json.loads(rng.choice(_jsons()))
    tree = changed(rng, tree, rng.choice((0, 1, 1, 1, 2, 4)))
    words = json.dumps(tree, ensure_ascii=rng.random() < 0.9)
    if rng.random() < 0.03:
        nested = rng.choice((10, 1000, 100_000))
        words = rng.choice(("[" * nested, '{"a":' * nested, "9" * 5000, "1e999", "NaN"))
    return scarred(rng, words.encode("utf-8", "surrogatepass"), odd=0.1)


def overrides(rng: random.Random) -> bytes:
    """Words of a command line, a line each, after --config=clicks:smoke."""
    words = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        key = rng.choice([*_keys()])
        default = _keys()[key]
        if rng.random() < 0.15:
            key = scarred(rng, key.encode(), odd=1.0).decode("utf-8", "replace")
        written = rng.choice(("--config.{}={}",) * 9 + ("-config.{}={}", "--config.{}"))
        literal = default if rng.random() < 0.1 else _literal(rng)
        words.append(written.format(key, literal))
    lines = "\n".join(word.replace("\n", " ") for word in words)
    return lines.encode("utf-8", "replace")


@functools.cache
def _keys() -> dict[str, str]:
    """{key: its default as it is written}; "" for blocks and keys that are none."""
    from jaxseg.config import base

    config = base.base()
    own = ("loss.mine.weight", "loss.mine.module", "model.fields.x", "nothing")
    keys = dict.fromkeys((*base.keys(config), *own, "seed.x"), "")
    for key in keys:
        value = config
        for part in key.split("."):
            value = value.get(part, "") if hasattr(value, "keys") else ""
        keys[key] = "" if hasattr(value, "keys") else str(value)
    return keys


_PLAIN = ("True", "false", "None", "()", "(1,)", "(1, 2)", "((0.0, 1.0),)", "unet")
_WRONG = ("(" * 200, "[1", "{1: 2}", "1 if", "9" * 5000, "__import__('os')")


def _literal(rng: random.Random) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        return str(whole(rng, 1, odd=0.5))
    if kind == 1:
        return repr(rng.choice((0.5, 1e-3, -1.0, float("nan"), float("inf"), 1e308)))
    if kind == 2:
        return rng.choice(_PLAIN)
    if kind == 3:
        return rng.choice(_WRONG)
    return text(rng) if kind == 4 else json.dumps(value(rng))
