"""Image files of all sorts in memory, and their pixels by Pillow alone."""

import io

import numpy as np
from hypothesis import strategies as st
from PIL import Image, ImageOps

KINDS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "AVIF", "PPM", "TGA", "ICO"]
MODES = ["RGB", "RGBA", "L", "LA", "1", "P", "CMYK", "I;16"]
SHAPE = (9, 14)


def encode_image(image, kind, **options):
    """The file of a Pillow image or of pixels."""
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def with_orientation(pixels, kind, orientation):
    """A file whose EXIF data ask for a rotation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode_image(pixels, kind, exif=exif)


def read_by_pillow(content):
    """The RGB pixels of a file: upright, on white, the higher 8 of 16 bits."""
    image = Image.open(io.BytesIO(content))
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        upright = Image.fromarray((np.asarray(upright) >> 8).astype("uint8"))
    if upright.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
    return np.asarray(upright.convert("RGB"))


def image_of(mode, seed):
    """A small image of one of MODES, always the same for a seed."""
    random = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 1 << 16, SHAPE, "uint16"))
    pixels = random.integers(0, 256, (*SHAPE, 4), "uint8")
    pixels[..., 0] = np.linspace(0, 255, SHAPE[1])
    pixels[: SHAPE[0] // 2, :, 3] = random.choice([0, 255])
    image = Image.fromarray(pixels)
    if mode == "P":
        return image.quantize(int(random.integers(2, 200)))
    return image.convert(mode) if mode in ("RGBA", "LA") else image.convert("RGB").convert(mode)


def write_odd_images(folder):
    """Writes an image of each odd sort, all of SHAPE, and returns the files, sorted by name."""
    palette = image_of("RGBA", 0).quantize(16)
    palette.info["transparency"] = bytes([0, 128] * 8)
    files = {
        "alpha.webp": encode_image(image_of("RGBA", 1), "WEBP"),
        "animated.gif": encode_image(
            image_of("P", 2), "GIF", save_all=True, append_images=[image_of("P", 3)]
        ),
        "bits.png": encode_image(image_of("I;16", 4), "PNG"),
        "bitmap.bmp": encode_image(image_of("P", 5), "BMP"),
        "cmyk.jpg": encode_image(image_of("CMYK", 6), "JPEG"),
        "palette.png": encode_image(palette, "PNG"),
        "PHOTO.JFIF": with_orientation(image_of("RGB", 7).rotate(90, expand=True), "JPEG", 6),
        "scan.tiff": encode_image(image_of("1", 8), "TIFF"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return sorted(map(folder.joinpath, files))


def draw_image_files():
    """A strategy for files of every kind and mode that Pillow writes, with any orientation."""

    def encode(kind, mode, seed, orientation):
        try:
            return with_orientation(image_of(mode, seed), kind, orientation)
        except (OSError, ValueError, KeyError):  # this format has no such mode
            return None

    arguments = (st.sampled_from(KINDS), st.sampled_from(MODES), st.integers(0, 9))
    return st.builds(encode, *arguments, st.integers(1, 8)).filter(bool)
