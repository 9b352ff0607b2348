"""Finds image files in folders, and converts those that TensorFlow cannot decode as Pillow does.

TensorFlow and Pillow decode JPEG, PNG and WebP files to the same pixels, but for animated WebP and
PNG with a transparent colour. Pillow converts these and all others to PNG, in training and in the
client, so that both see the same pixels. Pillow is imported when it is needed: the client works
without it for the first kinds.
"""

import collections
import contextlib
import dataclasses
import functools
import io
import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from zoo.errors import UserError, format_count, one_line

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 89_478_485  # per image, the limit of Pillow: one GiB as float32 RGB
TOO_MANY_PIXELS = f"an image has more than {MAX_PIXELS:,} pixels"

_SYSTEM_FOLDERS = {"__macosx", "@eadir", "__pycache__", "$recycle.bin", "lost+found"}
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
# Pillow's formats without pixels of their own: stubs, and those that it runs Ghostscript for
_NO_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_ORIENTATION = 0x0112  # EXIF tag
_UNREADABLE = "not a readable image ({})"
_SHOWN = 3  # names in a message


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """The files of a folder and its subfolders.

    Attributes:
        paths: Paths of the images, sorted.
        hidden: Number of hidden files and folders, and of those that operating systems leave.
        others: Numbers of all other files by their suffix in lower case.
    """

    paths: tuple[str, ...]
    hidden: int
    others: collections.Counter[str]


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What the header of an image file states.

    Attributes:
        size: (rows, columns) as it is shown, after the rotation that its EXIF data asks for.
        is_grey: Whether it has no colours.
        traits: What is changed when the image is read, such as "have 16 bits per channel".
    """

    size: tuple[int, int]
    is_grey: bool
    traits: tuple[str, ...]


@functools.cache
def list_image_suffixes() -> frozenset[str]:
    """Returns the suffixes, in lower case, of the image formats that can be read."""
    from PIL import Image

    extensions = Image.registered_extensions()
    readable = Image.OPEN.keys() - _NO_PIXELS
    # Pillow opens .mpo, the JPEG of several pictures that phones write, as a JPEG
    return frozenset({".mpo"} | {suffix for suffix, name in extensions.items() if name in readable})


def is_hidden(path: str | Path) -> bool:
    """Returns whether a file or folder is hidden, or is one that an operating system left."""
    name = os.path.basename(path).lower()
    return name.startswith(".") or name in _SYSTEM_FOLDERS | _SYSTEM_FILES


def list_folder(folder: Path) -> list[Path]:
    """Returns the sorted entries of a folder.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise _unreadable_folder_error(error) from error


def list_image_files(folder: str | Path) -> ImageFiles:
    """Returns the images in a folder and its subfolders. Symbolic links are followed.

    Raises:
        UserError: if a folder cannot be read.
    """
    paths: list[str] = []
    others: collections.Counter[str] = collections.Counter()
    top = Path(os.path.realpath(folder))
    hidden, visited = 0, {str(path) for path in (top, *top.parents)}
    for parent, folders, files in os.walk(folder, onerror=_raise_unreadable, followlinks=True):
        shown_folders = [name for name in folders if not is_hidden(name)]
        shown_files = [name for name in files if not is_hidden(name)]
        hidden += len(folders) + len(files) - len(shown_folders) - len(shown_files)
        # a link to a folder above would be followed forever
        visited.add(os.path.realpath(parent))
        folders[:] = [
            name
            for name in shown_folders
            if os.path.realpath(os.path.join(parent, name)) not in visited
        ]
        for name in shown_files:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in list_image_suffixes():
                paths.append(os.path.join(parent, name))
            else:
                others[suffix] += 1
    return ImageFiles(tuple(sorted(paths)), hidden, others)


def format_skipped(hidden: int, others: collections.Counter[str]) -> list[str]:
    """Formats the numbers of files that are no images, such as "2 files that are no images"."""
    items = []
    if hidden:
        items.append(format_count(hidden, "hidden or system file"))
    if count := others.total():
        suffixes = ", ".join(suffix or "no suffix" for suffix, _ in others.most_common(_SHOWN))
        ellipsis = ", ..." if len(others) > _SHOWN else ""
        items.append(
            f"{format_count(count, 'file')} that Pillow does not read as images "
            f"({suffixes}{ellipsis})"
        )
    return items


def format_names(names: Sequence[str]) -> str:
    """Formats names as "a, b, c, ..."."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def read_image_file(path: str) -> bytes:
    """Returns the content of an image file, converted by `make_decodable`.

    Raises:
        UserError: if it cannot be read; the message begins with the path.
    """
    with _name_file(path):
        return make_decodable(Path(path).read_bytes())


def read_image_header(path: str) -> ImageHeader:
    """Reads size, colours and traits of an image file, without decoding its pixels.

    Raises:
        UserError: if it cannot be read or is too large; the message begins with the path.
    """
    with _name_file(path), Path(path).open("rb") as file, _open_image(file) as image:
        return _describe_image(image)


def make_decodable(content: bytes) -> bytes:
    """Returns an image file as it is if TensorFlow decodes it as Pillow does, or else as a PNG.

    The PNG has the first frame, turned as the EXIF orientation asks for, with 8 bits per channel:
    the higher 8 of 16, and 0 or 255 for one bit.

    Raises:
        UserError: if Pillow cannot decode the file, or it has more than `MAX_PIXELS` pixels.
    """
    if content.startswith(b"\xff\xd8\xff") or _is_plain_png(content) or _is_still_webp(content):
        return content
    try:
        from PIL import ImageOps
    except ImportError as error:
        raise UserError(
            "only JPEG, PNG and WebP files are read without Pillow: pip install pillow"
        ) from error
    file = io.BytesIO()
    with _open_image(io.BytesIO(content)) as image:
        # Pillow reads 16 bits of some formats as 32
        has_16_bits = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
        converted = _convert_mode(ImageOps.exif_transpose(image), has_16_bits)
    converted.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _is_plain_png(content: bytes) -> bool:
    """Returns whether the content is a PNG file without a transparent colour of grey or RGB."""
    has_colour = content[25:26] in (b"\0", b"\2") and b"tRNS" in content[: content.find(b"IDAT")]
    return content.startswith(b"\x89PNG\r\n\x1a\n") and not has_colour


def _is_still_webp(content: bytes) -> bool:
    """Returns whether the content is a WebP file without animation."""
    is_animated = content[12:16] == b"VP8X" and bool(content[20:21]) and content[20] & 2
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP" and not is_animated


@contextlib.contextmanager
def _name_file(path: str) -> Iterator[None]:
    """Context manager that raises errors as a UserError which begins with the path."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: check the file and its permissions") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


@contextlib.contextmanager
def _open_image(file: IO[bytes]) -> "Iterator[Image.Image]":
    """Context manager that opens an image, of which only the header is read.

    Raises:
        UserError: if Pillow cannot read or, inside of the context, decode it, or if it has more
            than `MAX_PIXELS` pixels.
    """
    from PIL import Image

    # on odd metadata, which is not used, and on large images, which are counted below
    warnings.filterwarnings("ignore", module=r"PIL\b")
    try:
        with Image.open(file) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(TOO_MANY_PIXELS)
            yield image
    except Image.DecompressionBombError as error:
        raise UserError(TOO_MANY_PIXELS) from error
    except Image.UnidentifiedImageError as error:
        raise UserError(_UNREADABLE.format("Pillow knows no such format")) from error
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise UserError(_UNREADABLE.format(one_line(error))) from error


def _convert_mode(image: "Image.Image", has_16_bits: bool) -> "Image.Image":
    """Converts an image to 8 bits per channel: RGB, RGBA or L.

    Args:
        image: The image.
        has_16_bits: Whether the values of its mode, if they are integers, are below 2**16.

    Raises:
        ValueError: if its pixels are of 32 bits, which have no range of their own.
    """
    from PIL import Image

    if image.mode.startswith("I") and has_16_bits:
        return Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
    if image.mode.startswith(("I", "F")):
        raise ValueError("pixels of 32 bits have no known range: save it with 8 or 16 bits")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("RGB", "L") else image.convert("L" if _is_grey(image) else "RGB")


def _describe_image(image: "Image.Image") -> ImageHeader:
    orientation = image.getexif().get(_ORIENTATION, 1)
    traits = []
    if orientation in range(2, 9):
        traits.append("are turned as their EXIF orientation asks for")
    if image.has_transparency_data and not image.mode.startswith("I"):
        traits.append("are drawn on white where they are transparent")
    if image.mode.startswith("I"):
        traits.append("have 16 bits per channel, of which the higher 8 are read")
    if image.mode == "CMYK":
        traits.append("are converted from CMYK to RGB")
    if getattr(image, "is_animated", False) and image.format != "MPO":
        traits.append("have several frames, of which the first is read")
    columns, rows = image.size
    # Pillow states the size of a TIFF as it is shown
    is_transposed = orientation in range(5, 9) and image.format != "TIFF"
    size = (columns, rows) if is_transposed else (rows, columns)
    return ImageHeader(size, _is_grey(image), tuple(traits))


def _is_grey(image: "Image.Image") -> bool:
    if image.mode == "P":
        palette = image.getpalette("RGB") or []
        return palette[0::3] == palette[1::3] == palette[2::3]
    return image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")


def _unreadable_folder_error(error: OSError) -> UserError:
    return UserError(
        f"{error.filename}: {error.strerror}: this folder cannot be read; check its permissions"
    )


def _raise_unreadable(error: OSError) -> None:
    raise _unreadable_folder_error(error) from error
