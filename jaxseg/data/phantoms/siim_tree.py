"""Writes phantom films as the raw tree of the SIIM-ACR pneumothorax challenge.

The tree has the layout, the tags and the traps of the real one: DICOM files three
folders deep, a CSV whose second column name and values begin with a space, several
overlapping rows for one mask, films of one patient in several studies, and pixels
compressed or not, of 8 and 12 bits, bright or dark for dense.
SIIM-ACR Pneumothorax Segmentation, 2019,
https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation
"""

import io
import os
import uuid
from typing import NamedTuple

import numpy as np
from absl import logging
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from jaxseg.data.files import rle
from jaxseg.data.phantoms import _whole_folder, chest
from jaxseg.errors import ConfigError

IMAGES, TABLE = "dicom-images-train", "train-rle.csv"
_BLOCK = 8  # films that are planned together, so that small trees have every kind
_POSITIVE = (1, 1, 0, 0, 0, 0, 0, 0)
_ENCODING = ("jpeg",) * 5 + ("plain", "rle", "dark12")
_FAMILIES = (
    (0, 0, 1, 2, 3, 4, 5, 6),
    (0, 0, 0, 1, 2, 3, 4, 5),
    (0, 0, 1, 1, 2, 3, 4, 5),
)
_PATIENT, _PLAN, _ORDER = 1, 2, 3  # streams beside that of the film, which is 0
_JPEG_QUALITY = 95
_AIR = -1024  # rescaled value of the darkest pixel of a 12-bit film


class Film(NamedTuple):
    """What is decided about one film before it is drawn."""

    index: int
    patient: int
    positive: bool
    encoding: str  # jpeg, plain (8 bits), rle (8 bits) or dark12 (MONOCHROME1)


def plan(index: int, *, seed: int) -> Film:
    """Return the Film number `index`, a pure function of (seed, index).

    Of every eight films two are positive, two or three share a patient, five are
    JPEG, and the other three have one of the other encodings each.
    """
    block, place = divmod(index, _BLOCK)
    rng = np.random.default_rng((seed, block, _PLAN))
    family = rng.permutation(_FAMILIES[rng.integers(len(_FAMILIES))])
    positive, encoding = rng.permutation(_POSITIVE), rng.permutation(_ENCODING)
    return Film(
        index=index,
        patient=block * _BLOCK + int(family[place]),
        positive=bool(positive[place]),
        encoding=str(encoding[place]),
    )


def write(
    directory: str | os.PathLike, *, images: int, size: int = 256, seed: int = 0
) -> None:
    """Write a tree of `images` phantom films of size x size pixels to `directory`.

    The tree is a pure function of the arguments. It appears under its name only when
    it is complete. Raises DataError when `directory` exists already, ConfigError for
    fewer than one image, a negative seed, or a size that `chest` cannot draw.
    """
    if images < 1 or seed < 0:
        raise ConfigError(
            f"A tree of {images} images with seed {seed} cannot be written: at least "
            "one image and a seed of 0 or more are needed."
        )
    with _whole_folder.folder(directory, what="phantom films") as partial:
        rows = []
        for index in range(images):
            rows += _write_film(partial, plan(index, seed=seed), size=size, seed=seed)
        np.random.default_rng((seed, 0, _ORDER)).shuffle(rows)
        lines = ["ImageId, EncodedPixels"] + [f"{name}, {text}" for name, text in rows]
        (partial / TABLE).write_text("\n".join(lines) + "\n", encoding="ascii")
    logging.info("Wrote %d phantom films to %s.", images, directory)


def _write_film(root, film, *, size, seed):
    """Write the DICOM file of a film; return its rows (ImageId, run lengths)."""
    body_rng = np.random.default_rng((seed, film.patient, _PATIENT))
    name = str(uuid.UUID(bytes=body_rng.bytes(16), version=4))
    body = chest.body(body_rng)
    rng = np.random.default_rng((seed, film.index))
    bits = 12 if film.encoding == "dark12" else 8
    image, mask = chest.radiograph(
        rng, size=size, positive=film.positive, patient=body, bits=bits
    )
    same_study = rng.random() < 0.5
    dataset = _header(rng, body, name)
    study = ("patient", film.patient) if same_study else ("film", film.index)
    dataset.StudyInstanceUID = _uid(seed, "study", *study)
    dataset.SeriesInstanceUID = _uid(seed, "series", film.index)
    dataset.SOPInstanceUID = _uid(seed, "image", film.index)
    _set_pixels(dataset, image, film.encoding)
    image_id = str(dataset.SOPInstanceUID)
    folder = root / IMAGES / dataset.StudyInstanceUID / dataset.SeriesInstanceUID
    folder.mkdir(parents=True)
    dataset.save_as(folder / f"{image_id}.dcm", enforce_file_format=True)
    return [(image_id, rle.encode(part)) for part in _parts(rng, mask)]


def _uid(*sources):
    return uid.generate_uid(entropy_srcs=[repr(sources)])


def _header(rng, body, name):
    """Return a Dataset with what the real files say about patient and film."""
    view = "AP" if rng.random() < 0.4 else "PA"
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = uid.SecondaryCaptureImageStorage
    dataset.StudyDate = dataset.ContentDate = "19010101"
    dataset.StudyTime = dataset.ContentTime = "000000.00"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.Modality, dataset.ConversionType = "CR", "WSD"
    dataset.SeriesDescription = f"view: {view}"
    dataset.PatientName = dataset.PatientID = name
    dataset.PatientBirthDate = ""
    dataset.PatientSex, dataset.PatientAge = body["sex"], f"{body['age']:03d}Y"
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", view
    dataset.StudyID = dataset.PatientOrientation = ""
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    return dataset


def _set_pixels(dataset, image, encoding):
    """Put the image [h, w], bright for dense, into the dataset as `encoding` says."""
    dark = encoding == "dark12"
    stored = 12 if dark else 8
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if dark else "MONOCHROME2"
    dataset.Rows, dataset.Columns = image.shape
    dataset.PixelSpacing = [f"{350 / side:.6f}" for side in image.shape]  # 35 cm
    dataset.BitsAllocated = 8 * image.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = stored, stored - 1
    dataset.PixelRepresentation = 0
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    if encoding == "jpeg":
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY)
        data = buffer.getvalue()
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
        dataset.LossyImageCompressionRatio = f"{image.nbytes / len(data):.3f}"
        dataset.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
        dataset.PixelData = encapsulate([data])
        dataset["PixelData"].VR = "OB"
        return
    if dark:
        top = (1 << stored) - 1
        image = (top - image).astype("<u2")
        dataset.RescaleIntercept, dataset.RescaleSlope = _AIR, 1
        dataset.WindowCenter, dataset.WindowWidth = _AIR + (top + 1) / 2, top + 1
    if encoding == "rle":
        dataset.compress(
            uid.RLELossless,
            image,
            encoding_plugin="pydicom",
            generate_instance_uid=False,
        )
        return
    dataset.PixelData = image.tobytes()
    dataset["PixelData"].VR = "OW" if dark else "OB"


def _parts(rng, mask):
    """Return masks whose union is `mask`: on some films two or three, overlapping."""
    rows = np.flatnonzero(mask.any(1))
    count = int(rng.choice(3, p=[0.65, 0.25, 0.10])) + 1
    if len(rows) < 4 * count or count == 1:
        return [mask]
    cuts = np.linspace(rows[0], rows[-1] + 1, count + 1).astype(int)
    line = np.arange(len(mask))[:, None]
    bands = zip(cuts[:-1] - 1, cuts[1:] + 1, strict=True)
    parts = [mask & (line >= low) & (line < high) for low, high in bands]
    return [part for part in parts if part.any()]
