"""Shows the images in which objects were missed or invented most, with outlines."""

import io
import pathlib

from PIL import Image

from jaxseg.errors import DataError
from jaxseg.report import blocks, text
from jaxseg.report.blocks import Block, table
from jaxseg.report.figures import Picture
from jaxseg.report.read import Run, Split
from jaxseg.report.run.cases import EXTRA, MISSED, RIGHT
from jaxseg.report.text import number
from jaxseg.run_directory import files
from jaxseg.run_directory.object_schemas import ObjectResult, WorstImage

_LARGEST = 1200  # a larger picture of an image is made smaller
_SMALLEST = 360  # pixels of a smaller one are repeated: outlines are one pixel wide
LEGEND = {
    "green: true object that is matched at IoU 0.5": RIGHT,
    "yellow: true object that is missed": MISSED,
    "red: predicted object that matches none": EXTRA,
}


def blocks_of(run: Run, split: Split, record: ObjectResult) -> list[Block | None]:
    """A table of these images, what colours mean, and the pictures that were drawn.

    Raises DataError naming a picture that is missing or cannot be read.
    """
    if not record["worst"]:
        return []
    rows = [
        [
            f"`{row['id']}`",
            number(row["true"], "count"),
            number(row["predicted"], "count"),
            number(row["f1_50"]),
            number(row["aji"]),
        ]
        for row in record["worst"]
    ]
    heads = ["Image", "True objects", "Predicted", "F1 at IoU 0.5", "AJI"]
    title = f"Images of {split['name']} where objects went worst"
    folder = run["workdir"] / "eval" / f"{split['name']}_objects"
    drawn = [
        _picture(folder / row["picture"], f"{split['name']}_objects_{i}", row)
        for i, row in enumerate(record["worst"], start=1)
        if row.get("picture")
    ]
    entries = [
        {"colour": f"#{bytes(colour).hex()}", "words": words}
        for words, colour in LEGEND.items()
    ]
    return [
        table(heads, rows, title=title),
        blocks.legend(entries) if drawn else None,
        blocks.pictures(drawn),
    ]


def _picture(path: pathlib.Path, name: str, row: WorstImage) -> Picture:
    """The picture of an image as evaluation drew it, at a size that can be read."""
    files.check_regular(path)
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{path} is missing: evaluate the split again.") from None
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}.") from error
    image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
    times = -(-_SMALLEST // max(image.size))
    size = image.width * times, image.height * times
    image = image.resize(size, Image.Resampling.NEAREST)
    data = io.BytesIO()
    image.save(data, format="PNG")
    words = (
        f"{row['id']}: {text.plural(row['true'], 'true object')}, "
        f"{number(row['predicted'], 'count')} predicted, F1 {number(row['f1_50'])}"
    )
    return {
        "name": "".join(c if c.isalnum() and c.isascii() else "_" for c in name),
        "png": data.getvalue(),
        "svg": None,
        "alt": f"Outlines of objects in {row['id']}",
        "caption": words,
        "width": image.width,
        "height": image.height,
    }
