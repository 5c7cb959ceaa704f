"""Shows the images whose class was answered surest, the wrong answers first."""

from typing import Any

from jaxseg.report import blocks
from jaxseg.report.blocks import Block
from jaxseg.report.read import Split
from jaxseg.report.run import panels
from jaxseg.report.text import number

_HIGHLIGHTS = 3


def cases(split: Split) -> list[dict[str, Any]]:
    """Examples in their order, as `blocks.cases` takes them."""
    return [_case(split, case, i) for i, case in enumerate(split["class_cases"], 1)]


def section(split: Split, examples: list[dict[str, Any]]) -> list[Block | None]:
    """The words before the examples, and these; [] without any."""
    if not examples:
        return []
    words = (
        f"From {split['name']}. First the wrong answers of which the classifier is "
        "surest, then its surest right answer for each class."
    )
    if any("attention" in case for case in split["class_cases"]):
        words += (
            " Attention: where it looks for the class in the title, brighter for more "
            "(Grad-CAM; each picture is a share of its own maximum), with the outline "
            "of what the mask marks."
        )
    return [blocks.paragraph(words), blocks.cases(examples)]


def highlights(split: Split, examples: list[dict[str, Any]]) -> list[Block]:
    """The first examples, in a row; [] without any."""
    if not examples:
        return []
    drawn = [
        case["panels"][-1] | {"caption": f"{case['title']}, {case['score']}"}
        for case in examples[:_HIGHLIGHTS]
    ]
    words = f"Images of {split['name']}. All such cases are below."
    return [blocks.side_by_side(drawn), blocks.paragraph(words)]


def _case(split: Split, case: dict[str, Any], index: int) -> dict[str, Any]:
    kinds = {"input": "image", "attention": "attention"}
    shown = {
        word: panels.fit(panels.read(case[key], "RGB"))
        for word, key in kinds.items()
        if key in case
    }
    truth, said = (_names(case[key]) for key in ("truth", "predicted"))
    word = "Wrong" if case["role"] == "error" else "Right"
    title = f"{word}: {case['id']}, {truth} is called {said}"
    stem = f"{split['name']}_class_{index}_{case['role']}"
    drawn = [
        panels.picture(f"{stem}_{word}", panel, f"{title}, {word}")
        for word, panel in shown.items()
    ]
    strip = panels.side_by_side([*shown.values()])
    score = f"{case['image_class']} {number(case['probability'])}"
    return {
        "role": case["role"],
        "id": case["id"],
        "title": title,
        "score": score,
        "note": f"Probability of {score}, sure by {number(case['margin'])}.",
        "words": [*shown],
        "panels": drawn,
        "strip": panels.picture(stem, strip, f"{title}: {', '.join(shown)}"),
    }


def _names(names: list[str]) -> str:
    return " and ".join(names) or "none of the classes"
