"""Image files become the pixels that Pillow sees, eagerly and in a graph."""

import functools
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.images import (
    KINDS,
    SHAPE,
    draw_image_files,
    encode_image,
    image_of,
    read_by_pillow,
    with_orientation,
)

from zoo.data.images.decoding import convert_to_grey, decode_image, resize_image
from zoo.data.images.image_files import MAX_PIXELS, make_decodable


@functools.cache
def graph_of(*shape):
    """The decoder as the graph of an export has it."""
    return tf.function(
        lambda file: decode_image(file, shape), [tf.TensorSpec((), tf.string)], autograph=False
    )


@settings(max_examples=150, deadline=None)
@given(draw_image_files())
def test_any_image_that_pillow_writes_has_the_pixels_of_pillow(content):
    expected, file = read_by_pillow(content), tf.constant(make_decodable(content))
    np.testing.assert_array_equal(decode_image(file, expected.shape), expected)
    np.testing.assert_array_equal(graph_of(*expected.shape)(file), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_graph_alone_turns_photos_upright(kind, orientation):
    content = with_orientation(image_of("RGB", 0), kind, orientation)
    expected = read_by_pillow(content)
    np.testing.assert_array_equal(graph_of(*expected.shape)(tf.constant(content)), expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("value", "turned"), [(6, True), (0, False), (9, False)])
def test_exif_of_both_byte_orders_with_other_entries(order, value, turned):
    header = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 12) + b"gap!"
    entries = [(0x010F, 2, 4, b"abc\0"), (0x0112, 3, 1, struct.pack(order + "H", value) + b"\0\0")]
    exif = header + struct.pack(order + "H", len(entries))
    exif += b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    exif += bytes(4)  # no further directory
    content = encode_image(image_of("RGB", 0), "JPEG", exif=b"Exif\0\0" + exif)
    shape = (*(SHAPE[::-1] if turned else SHAPE), 3)
    np.testing.assert_array_equal(
        decode_image(tf.constant(content), shape), read_by_pillow(content)
    )


@pytest.mark.parametrize("cut", [0, 4, 9, 11, 20])
def test_exif_that_is_cut_short_leaves_a_photo_as_it_is(cut):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode_image(image_of("RGB", 0), "JPEG", exif=exif.tobytes()[: 6 + cut] or b"Exif")
    assert decode_image(tf.constant(content), (*SHAPE, 3)).shape == (*SHAPE, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_grey_is_that_of_pillow(kind):
    content = encode_image(image_of("RGB", 1), kind)
    expected = np.asarray(Image.fromarray(read_by_pillow(content)).convert("L"))
    pixels = decode_image(tf.constant(make_decodable(content)), (*expected.shape, 1))
    np.testing.assert_array_equal(pixels[..., 0], expected)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_a_graph_reads_the_colours_of_bmp_palettes(mode):
    content = encode_image(image_of(mode, 2), "BMP")
    pixels = graph_of(*SHAPE, 3)(tf.constant(content))
    np.testing.assert_array_equal(pixels, read_by_pillow(content))


def test_a_graph_reads_one_channel_of_bmp_and_gif():
    for kind in ("BMP", "GIF"):
        content = encode_image(image_of("L", 3), kind)
        expected = read_by_pillow(content)[..., :1]
        np.testing.assert_array_equal(decode_image(tf.constant(content), (*SHAPE, 1)), expected)


def test_opacity_is_kept_for_models_of_four_channels():
    image = image_of("RGBA", 0)
    pixels = decode_image(tf.constant(encode_image(image, "PNG")), (*SHAPE, 4))
    np.testing.assert_array_equal(pixels, np.asarray(image))
    grey = decode_image(tf.constant(encode_image(image.convert("L"), "PNG")), (*SHAPE, 4))
    assert (grey[..., 3] == 255).numpy().all()


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_a_transparent_colour_of_a_png_is_white(mode):
    image = image_of(mode, 0)
    image.putpixel((5, 5), 0)
    content = encode_image(image, "PNG", transparency=image.getpixel((5, 5)))
    expected = read_by_pillow(content)
    assert (expected[5, 5] == 255).all()
    pixels = decode_image(tf.constant(make_decodable(content)), (*SHAPE, 3))
    np.testing.assert_array_equal(pixels, expected)
    with pytest.raises(tf.errors.InvalidArgumentError, match="save it with an alpha channel"):
        graph_of(*SHAPE, 3)(tf.constant(content))


@pytest.mark.parametrize("frames", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_of_several(frames):
    first, second = image_of("RGB", 0), image_of("RGB", 1)
    content = encode_image(first, frames, save_all=True, append_images=[second])
    pixels = decode_image(tf.constant(make_decodable(content)), (*SHAPE, 3))
    np.testing.assert_array_equal(pixels, read_by_pillow(content))


def webp(chunk, size):
    """A WebP file that is all header."""
    return b"RIFF" + struct.pack("<I", 90) + b"WEBP" + chunk + struct.pack("<I", 80) + size


LOSSLESS = struct.pack("<I", 16_382 | 16_382 << 14)
BOMBS = {
    "lossy": webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383)),
    "lossless": webp(b"VP8L", b"\x2f" + LOSSLESS),
    "extended": webp(b"VP8X", bytes(4) + b"\xff\xff\x03\xff\xff\x03"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_webp_of_absurd_size(bomb):
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 89,478,485 pixels"):
        decode_image(tf.constant(BOMBS[bomb] + bytes(80)), (9, 9, 3))
    assert MAX_PIXELS == 89_478_485


@pytest.mark.parametrize("kind", ["VP8 ", "VP8L", "VP8X"])
def test_webp_of_each_kind_is_counted_and_decoded(kind):
    mode = "RGBA" if kind == "VP8X" else "RGB"
    content = encode_image(image_of(mode, 0), "WEBP", lossless=kind == "VP8L")
    assert content[12:16] == kind.encode()
    np.testing.assert_array_equal(
        decode_image(tf.constant(content), (*SHAPE, 3)), read_by_pillow(content)
    )


JPEG_XL = [b"\xff\x0a" + bytes(40), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40)]


@pytest.mark.parametrize("content", [*JPEG_XL, encode_image(image_of("RGB", 0), "TIFF")])
def test_formats_that_are_not_counted_are_refused(content):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown image file format"):
        decode_image(tf.constant(content), (9, 9, 3))


def test_bmp_that_the_graph_cannot_read_is_refused_and_converted():
    content = encode_image(image_of("1", 0), "BMP")
    with pytest.raises(tf.errors.InvalidArgumentError, match="save it as PNG"):
        decode_image(tf.constant(content), (9, 9, 3))
    pixels = decode_image(tf.constant(make_decodable(content)), (*SHAPE, 3))
    np.testing.assert_array_equal(pixels, read_by_pillow(content))


ROWS = tf.constant(np.arange(8 * 4 * 3).reshape(8, 4, 3).astype("uint8"))


def test_crop_takes_the_middle_and_pad_adds_black():
    np.testing.assert_array_equal(resize_image(ROWS, (4, 4, 3), "crop"), ROWS[2:6])
    padded = resize_image(ROWS, (8, 8, 3), "pad").numpy()
    np.testing.assert_array_equal(padded[:, 2:6], ROWS)
    assert not padded[:, :2].any() and not padded[:, 6:].any()
    shrunk = resize_image(ROWS, (4, 5, 3), "pad").numpy()
    assert shrunk[:, 1:3].all() and not shrunk[:, [0, 3, 4]].any()


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_proportions_are_kept(resize):
    """A disc stays a disc, whatever the proportions of the image are."""
    y, x = np.ogrid[:60, :120]
    disc = ((y - 30) ** 2 + (x - 60) ** 2 < 20**2)[..., None] * np.uint8(255)
    inside = resize_image(tf.constant(disc), (30, 30, 1), resize).numpy()[..., 0] > 127
    height, width = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert abs(int(height) - int(width)) <= 1


@settings(max_examples=60, deadline=None)
@given(*[st.integers(1, 40)] * 4, st.sampled_from(["stretch", "crop", "pad"]))
def test_every_size_fits_every_other(rows, columns, new_rows, new_columns, resize):
    pixels = tf.fill([rows, columns, 1], tf.constant(200, tf.uint8))
    resized = resize_image(pixels, (new_rows, new_columns, 1), resize).numpy()
    assert resized.shape == (new_rows, new_columns, 1)
    assert set(np.unique(resized)) <= ({0, 200} if resize == "pad" else {200})
    assert (resized == 200).any()


def test_grey_of_a_colour_is_weighted():
    colours = tf.constant([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], tf.uint8)
    assert convert_to_grey(colours).numpy().ravel().tolist() == [76, 150, 29]
