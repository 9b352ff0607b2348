"""Which files of a folder are images, and how those are read that TensorFlow does not."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support.images import encode_image, image_of, with_orientation

from zoo.data.images.image_files import (
    format_skipped,
    list_image_files,
    list_image_suffixes,
    make_decodable,
    read_image_file,
    read_image_header,
)
from zoo.errors import UserError


def fill(folder, *names, content=b""):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_suffixes_of_pillow_in_lower_case():
    expected = {".png", ".jpg", ".jpe", ".jfif", ".mpo", ".webp", ".tif", ".bmp", ".gif", ".jp2"}
    assert expected <= list_image_suffixes()
    assert not {".eps", ".pdf", ".mpg", ".txt", ".csv"} & list_image_suffixes()


def test_images_are_found_and_the_rest_is_counted(tmp_path):
    images = ("b.JPG", "a a.png", "ä/ü.webp", "sub/deep/c.TIFF")
    fill(tmp_path, *images, "notes.txt", "x.heic", "sub/y.heic", "no_suffix")
    fill(
        tmp_path, "._b.JPG", ".DS_Store", "Thumbs.db", "__MACOSX/c.png", ".ipynb_checkpoints/d.png"
    )
    found = list_image_files(tmp_path)
    assert found.paths == tuple(sorted(str(tmp_path / name) for name in images))
    assert found.hidden == 5 and found.others == {".txt": 1, ".heic": 2, "": 1}
    assert format_skipped(found.hidden, found.others) == [
        "5 hidden or system files",
        "4 files that Pillow does not read as images (.heic, .txt, no suffix)",
    ]


def test_links_are_followed_once(tmp_path):
    fill(tmp_path, "there/a.png", "here/b.png")
    os.symlink(tmp_path / "there", tmp_path / "here" / "linked")
    os.symlink(tmp_path / "here", tmp_path / "here" / "loop")
    os.symlink(tmp_path / "there" / "a.png", tmp_path / "here" / "c.png")
    names = [
        os.path.relpath(path, tmp_path / "here")
        for path in list_image_files(tmp_path / "here").paths
    ]
    assert names == ["b.png", "c.png", "linked/a.png"]


def test_what_tensorflow_decodes_is_left_alone():
    for kind, mode in (("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "I;16"), ("WEBP", "RGBA")):
        content = encode_image(image_of(mode, 0), kind)
        assert make_decodable(content) is content


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "AVIF"])
def test_other_formats_become_png(kind):
    assert make_decodable(encode_image(image_of("RGB", 0), kind)).startswith(b"\x89PNG")


def test_pixels_without_a_known_range_are_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(encode_image(np.ones((4, 4), "float32"), "TIFF"))
    with pytest.raises(UserError, match=r"a.tif: not a readable image \(pixels of 32 bits"):
        read_image_file(str(tmp_path / "a.tif"))


def test_broken_files_are_named(tmp_path):
    whole = encode_image(image_of("RGB", 0), "BMP")
    for name, content in (("empty.bmp", b""), ("text.bmp", b"no image"), ("cut.bmp", whole[:99])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: not a readable image"):
            read_image_file(str(tmp_path / name))
    with pytest.raises(UserError, match=r"gone.bmp: No such file or directory"):
        read_image_file(str(tmp_path / "gone.bmp"))


def test_images_of_absurd_size_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.data.images.image_files.MAX_PIXELS", 100)
    (tmp_path / "a.bmp").write_bytes(encode_image(image_of("RGB", 0), "BMP"))
    for read in (read_image_file, read_image_header):
        with pytest.raises(UserError, match=r"a\.bmp: an image has more than"):
            read(str(tmp_path / "a.bmp"))


@pytest.mark.parametrize(
    ("content", "size", "grey", "trait"),
    [
        (encode_image(image_of("RGB", 0), "PNG"), (9, 14), False, None),
        (encode_image(image_of("1", 0), "BMP"), (9, 14), True, None),
        (encode_image(image_of("L", 0), "GIF"), (9, 14), True, None),
        (encode_image(image_of("I;16", 0), "PNG"), (9, 14), True, "16 bits"),
        (encode_image(image_of("RGBA", 0), "WEBP"), (9, 14), False, "drawn on white"),
        (encode_image(image_of("CMYK", 0), "JPEG"), (9, 14), False, "CMYK"),
        (with_orientation(image_of("RGB", 0), "JPEG", 6), (14, 9), False, "EXIF orientation"),
        (with_orientation(image_of("RGB", 0), "TIFF", 6), (14, 9), False, "EXIF orientation"),
        (with_orientation(image_of("RGB", 0), "JPEG", 3), (9, 14), False, "EXIF orientation"),
        (
            encode_image(
                image_of("RGB", 0), "GIF", save_all=True, append_images=[image_of("RGB", 1)]
            ),
            (9, 14),
            False,
            "several frames",
        ),
    ],
)
def test_headers_tell_size_colours_and_what_is_changed(tmp_path, content, size, grey, trait):
    (tmp_path / "image").write_bytes(content)
    header = read_image_header(str(tmp_path / "image"))
    assert header.size == size and header.is_grey == grey
    assert bool(header.traits) == bool(trait) and (not trait or trait in header.traits[0])


def test_palettes_of_greys_are_grey():
    image = Image.fromarray(np.arange(16, dtype="uint8").reshape(4, 4)).convert("P")
    image.putpalette([value for grey in range(16) for value in (grey * 16,) * 3])
    assert make_decodable(encode_image(image, "TIFF"))[25] == 0  # the colour type of a PNG: grey


CODE = """
import sys
from zoo.data.images.image_files import list_image_files, read_image_file
for path in list_image_files(sys.argv[1]).paths:
    read_image_file(path)
"""


@pytest.mark.parametrize("locked", ["dog", "dog/0.png"])
def test_files_without_permission_say_so(tmp_path, locked):
    fill(tmp_path, "dog/0.png")
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    if os.geteuid() == 0:  # root reads everything unless it gives its rights up
        if not shutil.which("setpriv"):
            pytest.skip("root without setpriv")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    (tmp_path / locked).chmod(0)
    done = subprocess.run(command, capture_output=True, text=True)
    (tmp_path / locked).chmod(0o755)
    assert f"{tmp_path / locked}: Permission denied" in done.stderr.splitlines()[-1]
