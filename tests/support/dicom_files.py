"""Small DICOM files and SIIM-ACR trees, written for tests."""

import io

import gdcm
import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from jaxseg.data.files import rle

JPEG, PLAIN, RLE = uid.JPEGBaseline8Bit, uid.ExplicitVRLittleEndian, uid.RLELossless


def dataset(stored, *, bits=8, syntax=PLAIN, **tags):
    """A Dataset of the stored values [h, w]; `tags` replace or (None) remove tags."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = PLAIN
    ds.SOPClassUID = uid.SecondaryCaptureImageStorage
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.PatientID = "1.2.3", "1.2.4", "someone"
    ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = 8 if bits <= 8 else 16
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    kind = stored.dtype.kind if bits > 8 else "u"
    if syntax == RLE:
        ds.compress(RLE, stored, encoding_plugin="pydicom", generate_instance_uid=False)
    elif syntax == JPEG:
        data = io.BytesIO()
        Image.fromarray(stored).save(data, "JPEG", quality=95)
        ds.PixelData = encapsulate([data.getvalue()])
        ds["PixelData"].VR = "OB"
    else:
        ds.PixelData = stored.astype(f"<{kind}{ds.BitsAllocated // 8}").tobytes()
        ds["PixelData"].VR = "OW" if bits > 8 else "OB"
    ds.file_meta.TransferSyntaxUID = syntax
    for name, value in tags.items():
        if value is None:
            del ds[name]
        else:
            setattr(ds, name, value)
    return ds


def write(path, stored, **kwargs):
    """The path of a new DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset(stored, **kwargs).save_as(path, enforce_file_format=True)
    return path


def gdcm_convert(path, process):
    """Compresses a DICOM file in place, by gdcm; `process` such as "Lossless_14"."""
    names = {
        "Lossless_14": gdcm.TransferSyntax.JPEGLosslessProcess14,
        "Lossless_14_1": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        "LS_lossless": gdcm.TransferSyntax.JPEGLSLossless,
    }
    reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(names[process]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def film(i, *, size=(24, 20)):
    """Film number i of a tree and its mask: every third one is positive."""
    rng = np.random.default_rng(i)
    image = rng.integers(20, 200, size).astype(np.uint8)
    mask = np.zeros(size, bool)
    if i % 3 == 0:
        mask[3 : 6 + i % 7, 4 : 7 + i % 5] = True
    return image, mask


def siim_tree(root, *, films=24, patients=16):
    """A DICOM tree with CSV; positive masks come as two overlapping rows."""
    rows = []
    for i in range(films):
        image, mask = film(i)
        name = f"1.2.3.{i}"
        write(
            root / f"dicom-images-train/1.2.4.{i}/1.2.5.{i}/{name}.dcm",
            image,
            syntax=(PLAIN, RLE)[i % 2],
            SOPInstanceUID=name,
            StudyInstanceUID=f"1.2.4.{i}",
            PatientID=f"patient{i % patients}",
        )
        upper, lower = mask.copy(), mask.copy()
        upper[5:], lower[:4] = False, False
        rows += [(name, part) for part in ([upper, lower] if mask.any() else [mask])]
    lines = ["ImageId, EncodedPixels"] + [f"{n}, {rle.encode(m)}" for n, m in rows]
    (root / "train-rle.csv").write_text("\n".join(lines) + "\n")
    return root


def png_tree(root, *, films=24):
    """The same films re-packaged as PNG."""
    home = root / "siim-acr-pneumothorax-data"
    (home / "png_images").mkdir(parents=True)
    (home / "png_masks").mkdir()
    lines = ["new_filename,ImageId,has_pneumo"]
    for i in range(films):
        image, mask = film(i)
        name = f"{i}_train_{int(mask.any())}_.png"
        Image.fromarray(image).save(home / "png_images" / name)
        Image.fromarray(255 * mask.astype(np.uint8)).save(home / "png_masks" / name)
        lines.append(f"{name},1.2.3.{i},{int(mask.any())}")
    (home / "stage_1_train_images.csv").write_text("\n".join(lines) + "\n")
    return root
