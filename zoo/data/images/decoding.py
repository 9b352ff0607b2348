"""Decodes and resizes images to uint8 pixels of one size, in training and in serving alike."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from zoo.data.images.exif import apply_orientation
from zoo.data.images.image_files import MAX_PIXELS, TOO_MANY_PIXELS, read_image_file
from zoo.errors import UserError, one_line

MAX_DEFAULT_SIZE = 224
# what TensorFlow raises of a file that cannot be read or decoded
UNREADABLE = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.FailedPreconditionError,
)
REMEDY = "replace or remove the file, or pass --skip_broken"

# First byte of PNG, BMP and GIF files, and the weight of each header byte in (rows, columns).
_FIRST_BYTES = np.frombuffer(b"\x89BG", "uint8").astype("int64")
_SIZE_WEIGHTS = np.zeros((3, 2, 30), "int64")
_SIZE_WEIGHTS[0, [[0], [1]], [range(16, 20), range(20, 24)]] = 256 ** np.arange(3, -1, -1)
_SIZE_WEIGHTS[1, [[0], [1]], [range(18, 22), range(22, 26)]] = 256 ** np.arange(4)
_SIZE_WEIGHTS[2, [[0], [1]], [range(6, 8), range(8, 10)]] = 256 ** np.arange(2)
_HEADER_SIZE = 54  # of a BMP file, the longest header that is read
# Other formats, such as JPEG XL, are refused: their pixels are not counted before they are decoded.
_KNOWN_FORMATS = r"(\CPNG|GIF8|BM|RIFF\C{4}WEBP)\C*"  # besides JPEG; \C is any byte
_UNKNOWN_FORMAT = "Unknown image file format: expected JPEG, PNG, WebP, BMP or GIF"
# a grey or RGB file with a transparent colour; its pixels come after the chunks with settings
_PNG_PIXELS, _TRANSPARENT_COLOUR = r"IDAT\C*", r"\CPNG\C{21}[\x00\x02]\C*tRNS\C*"
_LONGEST_SETTINGS = 1 << 16  # bytes
_UNSUPPORTED_PNG = "a PNG file with a transparent colour: save it with an alpha channel"
_UNSUPPORTED_BMP = "a BMP file with compression or fewer than 8 bits: save it as PNG"


def load_image(path: tf.Tensor, shape: tuple[int, ...], resize: str) -> tf.Tensor:
    """Reads one image file of any format that Pillow knows, and decodes it by `decode_image`.

    Args:
        path: Path of the file, a scalar string tensor.
        shape: As in `decode_image`.
        resize: As in `decode_image`.

    Raises:
        tf.errors.OpError: one of `UNREADABLE`, if the file cannot be read or decoded.
    """
    content = tf.io.read_file(path)

    def convert():
        encoded = tf.numpy_function(lambda name: read_image_file(name.decode()), [path], tf.string)
        return tf.ensure_shape(encoded, [])

    # a JPEG file, as which most come, is not converted: no thread waits for Python
    encoded = tf.cond(_is_jpeg(content), lambda: content, convert)
    return decode_image(encoded, shape, resize)


def decode_image(encoded: tf.Tensor, shape: tuple[int, ...], resize: str = "stretch") -> tf.Tensor:
    """Decodes one JPEG, PNG, WebP, BMP or GIF (its first frame), turns it upright and resizes it.

    The pixels are those of Pillow: turned by the EXIF orientation, drawn on white where they are
    transparent (but black in a GIF, whose decoder knows no transparency), with the higher 8 of 16
    bits.

    Args:
        encoded: Content of the file, a scalar string tensor.
        shape: (rows, columns, channels) of the result; 1 channel for greyscale, 3 for RGB, 4 for
            RGB and opacity.
        resize: How other sizes are fitted, as in `resize_image`.

    Returns:
        uint8 tensor of shape `shape`.

    Raises:
        tf.errors.InvalidArgumentError: if the image cannot be decoded, or its header states more
            than `MAX_PIXELS` pixels.
    """
    return fit_image(_decode_upright(encoded), shape, resize)


def fit_image(pixels: tf.Tensor, shape: tuple[int, ...], resize: str) -> tf.Tensor:
    """Converts decoded pixels to the channels and the size of a shape, as `decode_image` does."""
    if pixels.shape[-1] != shape[-1]:
        pixels = _convert_channels(pixels, shape[-1])
    return resize_image(pixels, shape, resize)


def convert_to_grey(pixels: tf.Tensor) -> tf.Tensor:
    """Converts uint8 RGB of shape (..., 3) to greyscale (..., 1), with the weights of Pillow."""
    red, green, blue = tf.split(tf.cast(pixels, tf.int32), 3, axis=-1)
    grey = 19595 * red + 38470 * green + 7471 * blue + (1 << 15)
    return tf.cast(tf.bitwise.right_shift(grey, 16), tf.uint8)


def resize_image(pixels: tf.Tensor, shape: tuple[int, ...], resize: str = "stretch") -> tf.Tensor:
    """Resizes uint8 pixels of shape (rows, columns, channels), bilinear with antialiasing.

    Args:
        pixels: The image.
        shape: Shape of the result.
        resize: "stretch" to the size; "crop" the middle, as large as fits, before; or "pad" with
            black at the borders, after.
    """
    if pixels.shape[:2] == shape[:2]:
        return tf.ensure_shape(pixels, shape)
    size = tf.constant(shape[:2])
    if resize == "crop":
        pixels = _slice_middle(pixels, _fit_size(size, tf.shape(pixels)[:2]))
    elif resize == "pad":
        size = _fit_size(tf.shape(pixels)[:2], size)
    resized = tf.image.resize(tf.cast(pixels, tf.float32), size, antialias=True)
    # the weights of the pixels are positive: no sum of them is out of range once it is rounded
    resized = tf.cast(tf.round(resized), tf.uint8)
    if resize == "pad":
        before = (shape[:2] - size) // 2
        after = shape[:2] - size - before
        resized = tf.pad(resized, tf.concat([tf.stack([before, after], 1), [[0, 0]]], 0))
    return tf.ensure_shape(resized, shape)


def choose_image_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Returns the median (rows, columns) of image sizes, each at most `MAX_DEFAULT_SIZE`."""
    rows, columns = np.median(np.array(sizes), axis=0)
    return min(round(rows), MAX_DEFAULT_SIZE), min(round(columns), MAX_DEFAULT_SIZE)


def find_image_fault(path: str) -> str:
    """Returns why an image file cannot be read, beginning with its path, or "" if it can."""
    try:
        _decode_pixels(tf.constant(read_image_file(path)))
    except UserError as error:
        return str(error)
    except (tf.errors.OpError, ValueError) as error:
        if TOO_MANY_PIXELS in str(error):
            return f"{path}: {TOO_MANY_PIXELS}"
        return f"{path}: not a readable image (its content is damaged)"
    return ""


def unreadable_file_error(paths: Sequence[str], error: tf.errors.OpError) -> UserError:
    """Returns the error for failed decoding, which names the first file that cannot be decoded."""
    faults = filter(None, map(find_image_fault, paths))
    fault = next(faults, f"an example cannot be decoded: {one_line(error.message)}")
    return UserError(f"{fault}: {REMEDY}")


# traced once for all datasets and signatures, since its graph is large
@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def _decode_upright(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes as `_decode_pixels`, and turns the image upright."""
    # one branch for JPEG files: the operations of the other would take as long as the decoding
    return tf.cond(
        _is_jpeg(encoded),
        lambda: apply_orientation(_decode_jpeg(encoded), encoded, is_jpeg=True),
        lambda: apply_orientation(_decode_others(encoded), encoded),
    )


def _decode_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes to uint8 pixels (rows, columns, channels): 1, 2 (grey, opacity), 3 or 4 channels."""
    return tf.cond(
        _is_jpeg(encoded), lambda: _decode_jpeg(encoded), lambda: _decode_others(encoded)
    )


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    # the position of the size in a JPEG header varies, so TensorFlow's parser reads it
    count = tf.reduce_prod(tf.image.extract_jpeg_shape(encoded, tf.int64)[:2])
    fits = tf.debugging.Assert(count <= MAX_PIXELS, [TOO_MANY_PIXELS])
    with tf.control_dependencies([fits]):  # a graph may otherwise run the decoder first
        # the method of Pillow, which is not TensorFlow's default
        return tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE")


def _decode_others(encoded: tf.Tensor) -> tf.Tensor:
    is_other = tf.strings.regex_full_match(tf.strings.substr(encoded, 0, 12), _KNOWN_FORMATS)
    is_known = tf.debugging.Assert(is_other, [_UNKNOWN_FORMAT])
    # a search through all of a file would take as long as a fifth of the decoding
    head = tf.strings.substr(encoded, 0, _LONGEST_SETTINGS)
    settings = tf.strings.regex_replace(head, _PNG_PIXELS, "", replace_global=False)
    has_colour = tf.strings.regex_full_match(settings, _TRANSPARENT_COLOUR)
    is_supported = tf.debugging.Assert(~has_colour, [_UNSUPPORTED_PNG])
    with tf.control_dependencies([is_known, is_supported]):
        fits = tf.debugging.Assert(_count_pixels(encoded) <= MAX_PIXELS, [TOO_MANY_PIXELS])

    def decode_general():
        return tf.io.decode_image(encoded, channels=0, expand_animations=False)

    with tf.control_dependencies([fits]):
        is_bmp = tf.strings.substr(encoded, 0, 2) == b"BM"
        return tf.cond(is_bmp, lambda: _decode_bmp(encoded), decode_general)


def _is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"


def _decode_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a BMP file: TensorFlow's decoder takes the indices of a palette for its colours."""
    header = _read_bytes(encoded, _HEADER_SIZE)
    header_size, offset = (
        tf.reduce_sum(header[i : i + 2] * tf.constant([1, 256], tf.int64)) for i in (14, 10)
    )
    has_palette = header[28] == 8
    supported = (header_size >= 40) & (tf.reduce_sum(header[30:34]) == 0) & (header[28] >= 8)
    supported = tf.debugging.Assert(supported, [_UNSUPPORTED_BMP])
    with tf.control_dependencies([supported]):
        pixels = tf.io.decode_bmp(encoded)

    def look_colours_up():
        start = 14 + header_size
        size = tf.clip_by_value(offset - start, 0, 1024)
        content = tf.strings.substr(encoded, tf.minimum(start, offset), size)
        padded = tf.io.decode_raw(tf.strings.join([content, "\0" * 1024]), tf.uint8)[:1024]
        palette = tf.reshape(padded, [256, 4])[:, 2::-1]  # blue, green, red, unused
        return tf.gather(palette, tf.cast(pixels[..., 0], tf.int32))

    # the fourth of 32 bits per pixel is unused
    return tf.cond(has_palette, look_colours_up, lambda: pixels[..., :3])


def _convert_channels(pixels: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts pixels of 1 to 4 channels to greyscale (1), RGB (3) or RGB with opacity (4)."""
    count = tf.shape(pixels)[-1]

    def convert():
        colours = count - tf.cast(count % 2 == 0, tf.int32)
        rgb = tf.repeat(pixels[..., :colours], 3 // colours, axis=-1)
        opaque = tf.fill(tf.concat([tf.shape(pixels)[:2], [1]], 0), tf.constant(255, tf.uint8))
        opacity = tf.concat([pixels[..., colours:], opaque], axis=-1)[..., :1]
        if channels == 4:
            return tf.concat([rgb, opacity], axis=-1)
        on_white = tf.cond(count % 2 == 0, lambda: _draw_on_white(rgb, opacity), lambda: rgb)
        return convert_to_grey(on_white) if channels == 1 else on_white

    converted = tf.cond(count == channels, lambda: pixels, convert)
    return tf.ensure_shape(converted, [None, None, channels])


def _draw_on_white(rgb: tf.Tensor, opacity: tf.Tensor) -> tf.Tensor:
    share = tf.cast(opacity, tf.int32)
    mixed = tf.cast(rgb, tf.int32) * share + 255 * (255 - share)
    return tf.cast((mixed + 127) // 255, tf.uint8)  # rounded


def _count_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Returns rows times columns (int64) from the header of a file that is no JPEG."""
    numbers = _read_bytes(encoded, 30)

    def count_general():
        one_hot_format = tf.cast(numbers[0] == _FIRST_BYTES, tf.int64)
        sizes = tf.einsum("f,fsb,b->s", one_hot_format, _SIZE_WEIGHTS, numbers)
        # BMP files that store the top row first have a negative number of rows.
        return tf.reduce_prod(tf.minimum(sizes, 2**32 - sizes))

    is_webp = tf.strings.substr(encoded, 0, 4) == b"RIFF"
    return tf.cond(is_webp, lambda: _count_webp(encoded, numbers), count_general)


def _count_webp(encoded: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Returns rows times columns of a WebP file, whose first chunk is of one of three kinds."""
    chunk = tf.strings.substr(encoded, 12, 4)

    def read(start, count):
        return tf.reduce_sum(numbers[start : start + count] * 256 ** np.arange(count))

    def count_lossless():  # 14 bits each
        bits = read(21, 4)
        return (bits % 2**14 + 1) * (bits // 2**14 % 2**14 + 1)

    lossy = (read(26, 2) % 2**14) * (read(28, 2) % 2**14)
    extended = (read(24, 3) + 1) * (read(27, 3) + 1)
    return tf.where(chunk == b"VP8X", extended, tf.where(chunk == b"VP8L", count_lossless(), lossy))


def _read_bytes(encoded: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the first bytes of a string as int64 (count,), with zeros where it is too short."""
    content = tf.strings.join([tf.strings.substr(encoded, 0, count), "\0" * count])
    return tf.cast(tf.io.decode_raw(content, tf.uint8)[:count], tf.int64)


def _fit_size(size: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """Returns the largest (rows, columns) of the proportions of `size` within `limit`, int32."""
    size, limit = tf.cast(size, tf.float64), tf.cast(limit, tf.float64)
    fitted = tf.round(size * tf.reduce_min(limit / size))
    return tf.cast(tf.clip_by_value(fitted, 1, limit), tf.int32)


def _slice_middle(pixels: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns the middle part of the given (rows, columns)."""
    start = (tf.shape(pixels)[:2] - size) // 2
    return tf.slice(pixels, tf.concat([start, [0]], 0), tf.concat([size, [-1]], 0))
