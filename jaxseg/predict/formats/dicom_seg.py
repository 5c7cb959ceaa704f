"""Writes class ids as a DICOM Segmentation beside the DICOM image they are of.

One binary segment a foreground class, with the patient, study and frame of reference of
the source (DICOM PS3.3 A.51, https://www.dicomstandard.org/current). Its identifiers
are made from the digests of image and run, and its dates are those of the source: the
same prediction gives the same bytes.
"""

import importlib.util
import io

import pydicom
from pydicom import uid

import jaxseg
from jaxseg.errors import ConfigError, DataError
from jaxseg.predict.masks import Labelled

FOLDER, SUFFIX = "segmentations", ".dcm"
_NEEDED = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_NEEDED += ("SOPClassUID", "Modality")
_MAY_BE_EMPTY = ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber")
_MAY_BE_EMPTY += ("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName")


def check() -> None:
    """Raises ConfigError, with the command that installs it, without `highdicom`."""
    if importlib.util.find_spec("highdicom") is None:
        raise ConfigError(
            "--format=dicom_seg needs the package highdicom: "
            'pip install "jaxseg[dicom]"'
        )


def encode(image: Labelled) -> bytes:
    """The bytes of the file; DataError for a source that is not DICOM, or lacks ids.

    An image in which nothing was predicted has an empty segment of each class.
    """
    import highdicom
    from highdicom.seg import Segmentation, SegmentDescription

    if image.source.suffix.lower() != ".dcm":
        raise DataError(
            f"{image.source} is not DICOM, so a DICOM segmentation has no image to "
            "belong to; choose another --format for it."
        )
    source = pydicom.dcmread(image.source, force=True, stop_before_pixels=True)
    missing = [name for name in _NEEDED if not source.get(name)]
    if missing:
        raise DataError(
            f"{image.source}: its header lacks {', '.join(missing)}, which a DICOM "
            "segmentation of it must name; choose another --format for it."
        )
    for name in _MAY_BE_EMPTY:  # many anonymised files lack them
        if name not in source:
            setattr(source, name, "")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="jaxseg",
        version=jaxseg.__version__,
        family=pydicom.sr.codedict.codes.DCM.ArtificialIntelligence,
    )
    tissue = pydicom.sr.codedict.codes.SCT.Tissue
    segments = [
        SegmentDescription(
            segment_number=c,
            segment_label=name[:64],
            segmented_property_category=tissue,
            segmented_property_type=tissue,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for c, name in enumerate(image.names[1:], 1)
    ]
    try:
        written = Segmentation(
            source_images=[source],
            pixel_array=image.classes[None],
            segmentation_type="BINARY",
            segment_descriptions=segments,
            series_instance_uid=_uid(image, "series"),
            series_number=1000,
            sop_instance_uid=_uid(image, "instance"),
            instance_number=1,
            manufacturer="jaxseg",
            manufacturer_model_name="jaxseg.predict",
            software_versions=jaxseg.__version__,
            device_serial_number="0",
            omit_empty_frames=False,
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"{image.source}: a DICOM segmentation of it cannot be written ({error}); "
            "choose another --format for it."
        ) from error
    _settle(written, source, image)
    out = io.BytesIO()
    written.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _uid(image: Labelled, what: str) -> uid.UID:
    return uid.generate_uid(entropy_srcs=[image.origin, what])


def _settle(written: pydicom.Dataset, source: pydicom.Dataset, image: Labelled) -> None:
    """Replaces what differs from one writing to the next: a new id, times of now."""
    day = str(source.get("StudyDate") or "19000101")
    hour = str(source.get("StudyTime") or "000000")
    for element in written.iterall():
        if element.keyword == "DimensionOrganizationUID":
            element.value = _uid(image, "dimensions")
        elif element.keyword == "ContributionDateTime":
            element.value = f"{day}{hour}"
    for name in ("Content", "InstanceCreation", "Series"):
        for kind, value in (("Date", day), ("Time", hour)):
            if name + kind in written:
                setattr(written, name + kind, value)
