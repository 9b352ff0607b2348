"""Reads the EXIF orientation of image files and turns their pixels, in a TensorFlow graph."""

import tensorflow as tf

_SEARCHED_BYTES = 1 << 14  # at the start of JPEG and PNG files; EXIF data begins there
_MAX_ENTRIES = 64  # entries of the first directory that are looked at
_ORIENTATION = 0x0112
# what precedes EXIF data in JPEG, PNG and WebP files, and the byte order that it begins with;
# \C is any byte
_EXIF_START = r"^\C*?(?:Exif\x00\x00|eXIf|EXIF\C{4}(?:Exif\x00\x00)?)(?:MM\x00\*|II\*\x00)"
_HEADER_SIZE = 4  # the byte order and the number 42


def apply_orientation(pixels: tf.Tensor, encoded: tf.Tensor, is_jpeg: bool = False) -> tf.Tensor:
    """Turns and mirrors the pixels of a file as its EXIF orientation asks for.

    Args:
        pixels: Pixels of shape (rows, columns, channels).
        encoded: Content of the JPEG, PNG or WebP file, a scalar string tensor.
        is_jpeg: Whether it is known to be a JPEG file.
    """
    searched = _SEARCHED_BYTES if is_jpeg else _count_searched_bytes(encoded)
    orientation = _read_orientation(tf.strings.substr(encoded, 0, searched), encoded)

    def turn():
        # 5 to 8 are transposed; then rows or columns are reversed
        turned = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
        reversed_rows = tf.reduce_any(orientation == [3, 4, 7, 8])
        reversed_columns = tf.reduce_any(orientation == [2, 3, 6, 7])
        axes = tf.where(tf.stack([reversed_rows, reversed_columns]))[:, 0]
        return tf.reverse(turned, axes)

    return tf.cond(orientation == 1, lambda: pixels, turn)


def _count_searched_bytes(encoded: tf.Tensor) -> tf.Tensor:
    """Returns up to which byte EXIF data may begin."""
    header = tf.strings.join([tf.strings.substr(encoded, 0, 21), "\0" * 21])
    is_webp = tf.strings.substr(header, 8, 8) == b"WEBPVP8X"
    # WebP files have EXIF data at their end; a bit of the header tells whether there is any
    flags = tf.io.decode_raw(header, tf.uint8)[20]
    searched = tf.where(tf.bitwise.bitwise_and(flags, 8) > 0, tf.strings.length(encoded), 0)
    return tf.where(is_webp, searched, _SEARCHED_BYTES)


def _read_orientation(window: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in EXIF data that begins in the window, int32, 1 (upright) to 8."""

    def search():
        rest = tf.strings.regex_replace(window, _EXIF_START, "", replace_global=False)
        start = tf.strings.length(window) - tf.strings.length(rest) - _HEADER_SIZE
        return tf.cond(
            start < 0,
            lambda: tf.constant(1),
            lambda: _parse_orientation(tf.strings.substr(encoded, start, 1 << 16)),
        )

    # most files have none, for which the pattern would take as long as the decoding
    has_order = _contains(window, b"MM\x00*") | _contains(window, b"II*\x00")
    return tf.cond(has_order, search, lambda: tf.constant(1))


def _contains(text: tf.Tensor, part: bytes) -> tf.Tensor:
    """Whether a scalar string has a part."""
    return tf.size(tf.raw_ops.StringSplitV2(input=[text], sep=part, maxsplit=1).values) > 1


def _parse_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in EXIF data, which has the structure of a TIFF file."""
    is_big_endian = tf.strings.substr(exif, 0, 1) == b"M"

    def read_numbers(start, count, size):
        # missing bytes are read as zeros
        content = tf.strings.substr(exif, tf.minimum(start, tf.strings.length(exif)), count * size)
        content = tf.strings.join([content, "\0" * (count * size)])
        bytes_ = tf.reshape(tf.io.decode_raw(content, tf.uint8)[: count * size], [count, size])
        bytes_ = tf.where(is_big_endian, bytes_, bytes_[:, ::-1])
        weights = tf.constant([256**i for i in reversed(range(size))], tf.int64)
        return tf.cast(tf.reduce_sum(tf.cast(bytes_, tf.int64) * weights, axis=1), tf.int32)

    directory = tf.clip_by_value(read_numbers(4, 1, 4)[0], 0, 1 << 16)
    count = read_numbers(directory, 1, 2)[0]
    # an entry has 12 bytes: its tag (2), type (2), number of values (4) and a value (2 of 4)
    entries = tf.reshape(read_numbers(directory + 2, _MAX_ENTRIES * 6, 2), [_MAX_ENTRIES, 6])
    is_orientation = (entries[:, 0] == _ORIENTATION) & (tf.range(_MAX_ENTRIES) < count)
    value = tf.reduce_max(tf.where(is_orientation, entries[:, 4], 0))
    return tf.where((value >= 1) & (value <= 8), value, 1)
