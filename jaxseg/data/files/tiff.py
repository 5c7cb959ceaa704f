"""Reads TIFF files of one two-dimensional image with any number of channels."""

import pathlib

import numpy as np
import tifffile

from jaxseg.data.files import nodata, orientation, tiff_pages
from jaxseg.data.files.raw import Raw, check_pixels
from jaxseg.errors import DataError

_MAX_CHANNELS = 64
_UNNAMED_CHANNELS = 8  # an axis without a name, this short, is taken for channels
_MUCH_LONGER = 4  # times, are the sides of an image than such an axis that comes last
_COLOURS = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3, "PALETTE": 1, "YCBCR": 3}
_REDUCED = 1  # bit of the tag NewSubfileType: a smaller copy of another page
_DESCRIBED = {"ome": "OME", "imagej": "ImageJ", "shaped": "tifffile"}
_ALPHA = (1, 2)  # values of the tag ExtraSamples: multiplied in, or not
_LUMA = (299, 1000, 587, 1000, 114, 1000)  # of red, green, blue, where no tag says it
_BLACK_WHITE = (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)


def read(path: pathlib.Path, max_pixels: int, page: int | None = None) -> Raw:
    """The upright pixels of a TIFF file, channels last; any exception when damaged.

    Channels may come first or last, as samples or as pages. A stack over depth or time
    is a DataError, and so is everything of which the tags do not say what it means.
    With a `page`, counted from 0, that one is read, whatever the others are.
    """
    with open(path, "rb") as file:
        tags = tiff_pages.directories(file, path.stat().st_size)
    with tifffile.TiffFile(path, _multifile=False) as file:
        series, used, order = checked(file, tags, max_pixels, page)
        turned = orientation_of(used)
        array, lossy = _decode(series, used)
        array = _channels_last(array, series.axes, order)
        return _described(
            orientation.upright(array, turned),
            used[0],
            orientation=turned,
            lossy=lossy,
            pages=order == "first",
            nodata=nodata.of_page(used[0]),
        )


def checked(
    file: tifffile.TiffFile, tags: list[set[int]], max_pixels: int, page: int | None
) -> tuple[tifffile.TiffPageSeries, list[tifffile.TiffPage], str]:
    """(the series of an image, its pages, where its channels are: see `_axes`).

    `tags` are those of `tiff_pages.directories`. Raises DataError, or anything at all
    for damaged tags, where the image cannot be decoded right or is too large.
    """
    pages = {page.offset: page for page in file.pages}
    if len(pages) != len(tags):
        raise DataError(f"of its {len(tags)} pages {len(pages)} can be read.")
    for each in pages.values():
        check_pixels((each.imagelength, each.imagewidth), max_pixels)
    series, used = _one_series(file, pages) if page is None else _one(pages, page)
    order = _axes(series)
    height, width = (series.shape[series.axes.index(a)] for a in "YX")
    if order == "last":  # unnamed: tifffile called the real axes Q, Y, X
        height, width = series.shape[:2]
    channels = int(np.prod(series.shape)) // max(height * width, 1)
    check_pixels((height, width), max_pixels, channels)
    for each in used:
        tiff_pages.check(each, tags[[*pages].index(each.offset)], max_pixels)
    _check_colours(used[0])
    return series, used, order


def _one_series(
    file: tifffile.TiffFile, pages: dict[int, tifffile.TiffPage]
) -> tuple[tifffile.TiffPageSeries, list[tifffile.TiffPage]]:
    """(the only series of a file, its pages as their own tags describe them)."""
    whole = [s for s in file.series if not s.keyframe.subfiletype & _REDUCED]
    if len(whole) != 1:
        raise DataError(
            f"it holds {len(whole)} images of different sizes or kinds; save the one "
            "to use in a file of its own."
        )
    series = whole[0]
    for kind, name in _DESCRIBED.items():
        if getattr(file, f"is_{kind}") and series.kind != kind:
            raise DataError(
                f"its {name} description does not fit its pages, or refers to other "
                "files; save it again as a file of its own."
            )
    offsets = [page.offset for page in series.pages if page is not None]
    if not offsets or len(offsets) < len(series.pages) or set(offsets) - set(pages):
        raise DataError("some of the planes it promises are not in it.")
    used = [pages[offset] for offset in offsets]
    if len({page.hash for page in used}) > 1:
        raise DataError(
            f"its {len(used)} pages are stored in different ways; save each as a file "
            "of its own."
        )
    return series, used


def _one(
    pages: dict[int, tifffile.TiffPage], number: int
) -> tuple[tifffile.TiffPage, list[tifffile.TiffPage]]:
    """(a page in the place of a series, that page alone)."""
    if not 0 <= number < len(pages):
        raise DataError(
            f"it has {len(pages)} page(s), counted from 0; there is no page {number}."
        )
    page = [*pages.values()][number].aspage()
    return page, [page]


def _axes(series: tifffile.TiffPageSeries) -> str:
    """Where the channels are: "named", or "first" or "last" of three unnamed axes.

    Pages without a name are channels where they are few. Only an array that one program
    has saved whole may have them last: there the "pages" are the rows of the image.
    """
    axes, shape = series.axes, series.shape
    long = {a: n for a, n in zip(axes, shape, strict=True) if a not in "YX" and n > 1}
    named = {a: n for a, n in long.items() if a in "SC"}
    if np.prod(list(named.values()) or [1]) > _MAX_CHANNELS:
        raise DataError(f"it has {named} channels; at most {_MAX_CHANNELS} are read.")
    if len(long) == len(named) <= 1:
        return "named"
    if len(shape) == 3 and axes[0] in "QI":
        whole = series.kind == "shaped"
        if whole and shape[-1] <= _UNNAMED_CHANNELS < min(shape[:2]):
            if min(shape[:2]) >= _MUCH_LONGER * shape[-1]:
                return "last"
        elif shape[0] <= _UNNAMED_CHANNELS:
            return "first"
    raise DataError(
        f"it is a stack, axes {axes} of {shape}; save each slice as a file of its own, "
        "or name the axis of channels C."
    )


def _channels_last(array: np.ndarray, axes: str, order: str) -> np.ndarray:
    if order == "last":
        return array
    if order == "first":
        return np.moveaxis(array, 0, -1)
    channel = next(
        (a for a in axes if a in "SC" and array.shape[axes.index(a)] > 1), ""
    )
    keep = [axes.index(a) for a in "YX" + channel]
    rest = [i for i in range(array.ndim) if i not in keep]
    return array.transpose(keep + rest).reshape(*(array.shape[i] for i in keep[:2]), -1)


def orientation_of(pages: list[tifffile.TiffPage]) -> int:
    """The orientation 1 to 8 of all pages, from the TIFF tag and from XMP (tag 700)."""
    turned = set()
    for page in pages:
        xmp = page.tags.valueof(700, b"")
        xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
        tag = page.tags.valueof(orientation.TAG)
        turned.add(orientation.choose(tag, xmp, "TIFF"))
    if len(turned) > 1:
        raise DataError(
            f"its pages have the orientations {sorted(turned)}; save them upright."
        )
    return turned.pop()


def _check_colours(page: tifffile.TiffPage) -> None:
    """Raises DataError for colours that are no RGB, greyscale or palette."""
    name = getattr(page.photometric, "name", str(page.photometric))
    if name not in _COLOURS:
        shown = "CMYK (SEPARATED)" if name == "SEPARATED" else name
        raise DataError(f"its colours are {shown}; save it as RGB or greyscale.")
    samples, extra = page.samplesperpixel, len(page.extrasamples)
    needed = _COLOURS[name]
    if samples < needed:
        raise DataError(f"its colours are {name}, but it has {samples} samples.")
    more = samples - needed
    if name in ("PALETTE", "YCBCR", "MINISWHITE") and more > _alphas(page):
        raise DataError(f"its colours are {name}, but it has {samples} samples.")
    if extra > samples or not _alphas(page) < min(2, samples):
        raise DataError(f"{extra} of its {samples} samples are extra; it is damaged.")
    small = page.dtype == bool or (page.dtype.kind == "u" and page.bitspersample <= 16)
    if name in ("PALETTE", "YCBCR", "MINISWHITE") and not small:
        raise DataError(
            f"its colours are {name}, but its numbers are {page.dtype}; save it as RGB "
            "or as greyscale in which black is 0 (MINISBLACK)."
        )


def _alphas(page: tifffile.TiffPage) -> int:
    return sum(kind in _ALPHA for kind in page.extrasamples)


def _decode(
    series: tifffile.TiffPageSeries, pages: list[tifffile.TiffPage]
) -> tuple[np.ndarray, bool]:
    """(the array in the axes of the series, whether its values may be changed)."""
    size = int(np.prod(series.shape))
    one = int(np.prod(pages[0].shape))
    if size == one * len(pages):
        decoded = [tiff_pages.decode(page) for page in pages]
        array = np.stack([array for array, _ in decoded]).reshape(series.shape)
        return _as_rgb(array, series.axes, pages[0]), any(lossy for _, lossy in decoded)
    if len(pages) > 1 or series.dataoffset is None or size % one:
        raise DataError(
            f"it promises {series.shape} pixels, but its pages hold {one} each."
        )
    # planes that follow one another behind a single page, as ImageJ writes large ones
    return series.asarray(maxworkers=1), False


def _as_rgb(array: np.ndarray, axes: str, page: tifffile.TiffPage) -> np.ndarray:
    """The array, whose luminance and chroma have become red, green and blue.

    JPEG is converted when it is decoded. TIFF 6.0, section 21, 1992,
    https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
    """
    jpeg = page.compression == tiff_pages.JPEG and page.planarconfig == 1
    if page.photometric.name != "YCBCR" or (jpeg and not page.extrasamples):
        return array
    if page.dtype != np.uint8 or 530 not in page.tags or page.extrasamples:
        raise DataError("its colours are YCbCr of an unusual kind; save it as RGB.")
    luma = _fractions(page.tags.valueof(529, _LUMA))
    black, white = _fractions(page.tags.valueof(532, _BLACK_WHITE)).reshape(3, 2).T
    ycc = np.moveaxis(array.astype(np.float64), axes.index("S"), -1)
    ycc = (ycc - black) * np.array([255, 127, 127]) / (white - black)
    y, blue, red = np.moveaxis(ycc, -1, 0)
    red = red * (2 - 2 * luma[0]) + y
    blue = blue * (2 - 2 * luma[2]) + y
    green = (y - luma[0] * red - luma[2] * blue) / luma[1]
    rgb = np.stack([red, green, blue], axes.index("S"))
    return np.rint(rgb.clip(0, 255)).astype(np.uint8)


def _fractions(values: tuple[int, ...]) -> np.ndarray:
    pairs = np.array(values, np.float64).reshape(-1, 2)
    return pairs[:, 0] / pairs[:, 1]


def _described(array: np.ndarray, page: tifffile.TiffPage, **more) -> Raw:
    """The Raw of decoded pixels, with what the tags of their page say about them."""
    bits, white_is_zero = page.bitspersample, page.photometric.name == "MINISWHITE"
    if bits == 1:  # white is painted, whichever bit says so
        array, white_is_zero = array.astype(np.uint8) ^ white_is_zero, False
    extra = page.extrasamples
    alpha = next((k for k, kind in enumerate(extra) if kind in _ALPHA), None)
    if alpha is not None:
        alpha += page.samplesperpixel - len(extra)
    if page.photometric.name == "RGB" and page.samplesperpixel == 4 and not extra:
        alpha = 3  # OpenCV does not say so
        opaque = 1 if array.dtype.kind == "f" else 2**bits - 1
        if (array[..., alpha] != opaque).any():
            raise DataError(
                "it is RGB with a fourth channel of which no tag says whether it is "
                "transparency; save it with the tag ExtraSamples, or without it."
            )
    palette = _palette(page) if page.photometric.name == "PALETTE" else None
    if palette is not None and array.shape[-1] != page.samplesperpixel:
        raise DataError(
            f"it has a palette, and {array.shape[-1]} pages; save each as a file of "
            "its own, or without palette."
        )
    return Raw(
        array, bits, palette=palette, alpha=alpha, white_is_zero=white_is_zero, **more
    )


def _palette(page: tifffile.TiffPage) -> np.ndarray:
    """The colours u8 [n, 4] of a page; a map that stays below 256 was meant in 8 bits.

    libtiff and what builds on it read such maps so.
    """
    colours = page.colormap
    if colours is None or colours.shape != (3, 2**page.bitspersample):
        raise DataError("its palette is missing or has a wrong size.")
    shift = 8 if colours.max() > 255 else 0
    palette = np.full((max(colours.shape[1], 256), 4), 255, np.uint8)
    palette[: colours.shape[1], :3] = (colours >> shift).astype(np.uint8).T
    return palette
