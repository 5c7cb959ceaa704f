"""Turns the lung mask and the infection mask of a film into class ids, and counts.

Background, lung and infection are painted in this order, so infection covers lung, also
where it leaves it. What no mask says stays unlabelled: in films of COVID-19 without an
infection mask nobody knows which pixels of the lung are infected.
"""

import json
import pathlib

import numpy as np

from jaxseg.data.datasets import _defect_source
from jaxseg.data.files import images
from jaxseg.data.preparation import convert
from jaxseg.errors import DataError
from jaxseg.labels import IGNORE, Example

CLASSES = {
    "infection3": ("background", "lung", "infection"),
    "four_class": ("background", "lung", "covid_infection", "non_covid_lung"),
    "lung": ("background", "lung"),
    "infection": ("background", "infection"),
}
INFECTIONS = ("infection", "covid_infection")  # names of what infection masks mark
# {labels: (class of lung, of infection, of the lung of other pneumonias)}, 0 = none
_IDS = {"infection3": (1, 2, 1), "four_class": (1, 2, 3), "lung": (1, 1, 1)}
_IDS |= {"infection": (0, 1, 0)}


def example(root: pathlib.Path, job: convert.Job) -> tuple[Example, dict]:
    """(the example of a Film, what is counted in it); Refused for an unfit one.

    Refuses masks that hold anything but 0 and 255 or have another size, infection in a
    film that is not of COVID-19, none in one that is unless it is allowed, and more
    infection outside the lung than a share.
    """
    _, group, colour, text = json.loads(job.note)
    note = json.loads(text)
    paths = [root / name for name in job.files]
    try:
        picture = images.read_picture(paths[0])
        masks = [_binary(paths[0], picture, path) for path in paths[1:]]
    except DataError as error:
        raise convert.Refused(str(error)) from error
    lung, infection = masks[0], masks[1] if len(masks) > 1 else None
    outside = 0
    if infection is not None:
        outside = int(np.count_nonzero(infection & ~lung))
        if wrong := _unlikely(paths[2], note, infection, outside):
            raise convert.Refused(wrong)
    labels = paint(lung, infection, labels=note["labels"], kind=note["kind"])
    out = _defect_source.finish(
        job, picture.pixels, labels, _label(labels, note), group=group, colour=colour
    )
    infected = None if infection is None else int(np.count_nonzero(infection))
    covered = lung if infection is None else lung | infection
    return out, {
        "kind": note["kind"],
        "subset": note["subset"],
        "infected_pixels": infected,
        "lung_pixels": int(np.count_nonzero(covered)),
        "outside_pixels": outside,
        **_defect_source.columns(out),
    }


def paint(
    lung: np.ndarray, infection: np.ndarray | None, *, labels: str, kind: str
) -> np.ndarray:
    """Class ids u8 [h, w] from masks bool [h, w]; `labels` is a key of CLASSES.

    `infection` None = no mask of it is there; in a film of COVID-19 the lung is then
    not labelled, unless lungs are all that is looked for.
    """
    of_lung, of_infection, of_others = _IDS[labels]
    value = of_others if kind == "non_covid" else of_lung
    if infection is None and kind == "covid19" and labels != "lung":
        value = IGNORE
    out = np.where(lung, value, 0).astype(np.uint8)
    if infection is not None and labels != "lung":
        out[infection] = of_infection
    return out


def _label(mask: np.ndarray, note: dict) -> int:
    """1 or 0 where two classes leave no doubt about the whole image, else -1."""
    if len(CLASSES[note["labels"]]) > 2:
        return -1
    if (mask == 1).any():
        return 1
    return -1 if (mask == IGNORE).any() else 0


def _binary(
    image_path: pathlib.Path, image: images.Picture, path: pathlib.Path
) -> np.ndarray:
    """Mask bool [h, w] of a file with 0 and 255; DataError for anything else."""
    read = images.read_labels(path)
    if wrong := images.different(image_path, image, path, read):
        raise DataError(wrong)
    values = images.alone(path, read)
    there = np.unique(values)
    if set(there.tolist()) <= {0, 255}:
        return values == 255
    if set(there.tolist()) <= {0, 1}:
        raise DataError(
            f"{path} holds 0 and 1, but masks are 0 and 255 here: multiply it by 255 "
            "and save it again."
        )
    raise DataError(
        f"{path} holds {len(there)} values from {there[0]} to {there[-1]}; a mask is "
        "0 and 255 alone: save it again without smoothing or resizing."
    )


def _unlikely(path, note: dict, infection: np.ndarray, outside: int) -> str:
    """What is wrong with the infection mask of a film of this kind; "" if nothing."""
    marked = int(np.count_nonzero(infection))
    if note["kind"] != "covid19" and marked:
        return (
            f"{path} marks {marked} pixels of a film that is not of COVID-19, where "
            "infection masks are empty: correct the mask, or move the film."
        )
    if note["kind"] == "covid19" and not marked and note["empty"] == "refuse":
        return (
            f"{path} is empty, but its film is of COVID-19; restore the mask, or set "
            "empty=count where nothing is to be seen."
        )
    if marked and outside > note["outside"] * marked:
        return (
            f"{path} marks {marked} pixels, {outside / marked:.1%} of them outside the "
            f"lung mask; allowed are {note['outside']:.1%} (outside={note['outside']:g}"
            "): the masks may have been swapped or moved."
        )
    return ""
