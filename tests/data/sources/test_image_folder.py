"""Folders of images as people have them: what is a split, a class, an image, or none of them."""

import os

import numpy as np
import pytest
from PIL import Image
from support.files import write_image
from support.images import encode_image, read_by_pillow, with_orientation, write_odd_images

from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.data.sources.image_folder import load_image_folder
from zoo.errors import UserError
from zoo.evaluation.datasets import adopt_data_settings, read_scored_split

RANDOM = np.random.default_rng(0)
CLASSES = ("cat", "dog")


def fill(folder, *classes, count=4, suffix="png", shape=(6, 8, 3)):
    """Writes as many images of each class."""
    for name in classes or CLASSES:
        for i in range(count):
            write_image(folder / name / f"{i}.{suffix}", RANDOM.integers(0, 256, shape, "uint8"))


def read(folder, **settings):
    return load_image_folder(str(folder), DataConfig(**settings))


def count(splits):
    return {name: len(split) for name, split in splits.splits.items()}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("train", "val", "test"), ("train", "validation", "test")),
        (("Train", "Test"), ("train", "test")),
        (("training", "valid", "testing"), ("train", "validation", "test")),
        (("TRAIN", "dev"), ("train", "validation")),
        (("train", "Validation"), ("train", "validation")),
        (("training_set", "test_set"), ("train", "test")),
        (("Trainset", "dev-data"), ("train", "validation")),
        (("train ", "Test images"), ("train", "test")),
    ],
)
def test_folders_of_splits_by_all_their_names(tmp_path, names, found):
    for i, name in enumerate(names, 2):
        fill(tmp_path / name, count=i)
    splits = read(tmp_path)
    assert splits.spec.class_names == CLASSES
    assert count(splits) == {name: 2 * i for i, name in enumerate(found, 2)}
    unusual = set(names) - {"train", "val", "validation", "test"}
    assert bool(splits.notes) == bool(unusual)
    assert all(name in splits.notes[0] for name in unusual)


def test_classes_that_are_called_as_splits(tmp_path):
    fill(tmp_path, "training", "swimming")
    assert read(tmp_path).spec.class_names == ("swimming", "training")


@pytest.mark.parametrize(
    ("fillings", "told"),
    [
        ({"Test": CLASSES, "val": CLASSES}, "it has Test, val: expected train"),
        ({"train": CLASSES, "val": CLASSES, "valid": CLASSES}, "val and valid are both"),
        ({"": ("train", "test")}, "it has test, train: expected train, with a subfolder"),
        ({"": CLASSES, "test": CLASSES}, "it has cat, dog, test: expected train"),
        (
            {"train": CLASSES, "test": ("cat", "cow")},
            "cow: this class is not in the training folder, which has cat, dog",
        ),
        ({"": ("cat",)}, "has 1 class folder with images; expected at least 2"),
        (
            {"train": CLASSES, "test": ("cat", "Dog")},
            "Dog: this class is not in .*, which has cat, dog: pass --merge_label_case",
        ),
        ({"a/b": CLASSES}, r"has 1 class folder .*: pass folder:/.*/a/b$"),
    ],
)
def test_folders_that_are_neither_one_line_each(tmp_path, fillings, told):
    for folder, classes in fillings.items():
        fill(tmp_path / folder, *classes)
    with pytest.raises(UserError, match=told):
        read(tmp_path)


def test_folders_in_class_folders_and_classes_that_look_the_same_are_told(tmp_path):
    fill(tmp_path, "cat/black", "cat/white", "caf\u00e9", "cafe\u0301", "P", "\u0420")
    splits = read(tmp_path)
    assert splits.spec.class_names == ("P", "caf\u00e9", "cat", "\u0420")
    targets = [int(y) for _, y in splits.splits["train"].read(None)]
    assert np.bincount(targets).tolist() == [4, 8, 8, 4]
    alike, nested, merged = splits.notes
    assert "look the same and are different classes" in alike
    assert merged.endswith(
        f"folders whose names look the same are of one class: {tmp_path}/caf\u00e9"
    )
    assert nested.endswith(
        "the images in folders of class folders are of the outer class "
        f"({tmp_path / 'cat/black'}, {tmp_path / 'cat/white'})"
    )


def test_folders_that_may_be_splits_by_other_names_are_told(tmp_path):
    for name in ("seg_train", "seg_test"):
        fill(tmp_path / name)
    (note,) = read(tmp_path).notes
    assert note.endswith(
        ": each has the folders cat, dog; if these are the classes, call the folders around them "
        "train, validation and test"
    )


def test_a_link_to_a_folder_above_is_not_followed(tmp_path):
    fill(tmp_path)
    (tmp_path / "cat" / "all").symlink_to(tmp_path, target_is_directory=True)
    assert count(read(tmp_path)) == {"train": 8}


def test_what_is_skipped_is_counted_and_told(tmp_path):
    fill(tmp_path)
    for name in (
        "cat/._0.png",
        "cat/Thumbs.db",
        "dog/.ipynb_checkpoints/1.png",
        "__MACOSX/cat/0.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "cow").mkdir()
    (tmp_path / "dog" / "list.txt").touch()
    write_image(tmp_path / "loose.png", np.zeros((4, 4), "uint8"))
    splits = read(tmp_path)
    assert count(splits) == {"train": 8} and splits.spec.class_names == CLASSES
    (note,) = splits.notes
    assert note.endswith(
        "skipped 4 hidden or system files, 1 file that Pillow does not read as images (.txt), "
        f"1 class folder without images ({tmp_path / 'cow'}), 1 image outside of the class folders"
    )


def test_a_split_without_labels_and_other_folders_are_told(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path, "test", "unlabelled")
    splits = read(tmp_path)
    assert count(splits) == {"train": 8}
    assert "unlabelled is not used" in splits.notes[0]
    assert "test has no class folders and is not the test split" in splits.notes[1]


def test_odd_names_and_links(tmp_path):
    fill(tmp_path / "there", "x")
    fill(tmp_path / "data", "chat noir", "犬")
    os.symlink(tmp_path / "there" / "x", tmp_path / "data" / "linked")
    splits = read(tmp_path / "data")
    assert splits.spec.class_names == ("chat noir", "linked", "犬") and count(splits) == {
        "train": 12
    }


def test_every_format_has_the_same_pixels(tmp_path):
    pixels = RANDOM.integers(0, 256, (6, 8, 3), "uint8")
    for i, suffix in enumerate(("png", "bmp", "tif", "PPM", "tga", "webp")):
        options = {"lossless": True} if suffix == "webp" else {}
        for name in CLASSES:
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.{suffix}", **options)
    data = load_data(DataConfig(f"folder:{tmp_path}"))
    for split in (data.train, data.validation, data.test):
        assert (split.x == pixels).all()


def test_odd_pictures_have_the_pixels_of_pillow_in_training_and_evaluation(tmp_path):
    files = [file for name in CLASSES for file in write_odd_images(tmp_path / name)]
    expected = np.stack([read_by_pillow(file.read_bytes()) for file in files])
    splits = read(tmp_path)
    np.testing.assert_array_equal([x for x, _ in splits.splits["train"].read(None)], expected)
    told = ("EXIF", "white", "16 bits", "CMYK", "several frames")
    assert len(splits.notes) == 1 and all(trait in splits.notes[0] for trait in told)
    config = DataConfig(f"folder:{tmp_path}")
    config = adopt_data_settings(config, {"spec": {}}, splits.spec)
    data, _ = read_scored_split(config, "all", own=False)
    np.testing.assert_array_equal([x for x, _ in data.test.read(None)], expected)


def test_a_split_without_images_is_held_out(tmp_path):
    for split in ("train", "val"):
        fill(tmp_path / split, count=3 + len(split))
    for name in CLASSES:
        (tmp_path / "test" / name).mkdir(parents=True)
    data = load_data(DataConfig(f"folder:{tmp_path}"))
    assert len(data.test) == 12 and len(data.train) + len(data.validation) == 16
    assert any("the test split has no examples and is left out" in note for note in data.notes)


def test_copies_of_images_in_other_splits_are_told(tmp_path):
    for split in ("train", "val", "test"):
        fill(tmp_path / split)
    for i in range(2):
        copy = (tmp_path / f"train/cat/{i}.png").read_bytes()
        (tmp_path / f"test/dog/copy{i}.png").write_bytes(copy)
    note = "2 of 10 rows of the test split have the same inputs as rows of the training split"
    assert load_data(DataConfig(f"folder:{tmp_path}")).notes == (note,)


def test_photos_are_upright_and_their_size_is_as_shown(tmp_path):
    pixels = RANDOM.integers(0, 256, (6, 8, 3), "uint8")
    for name in CLASSES:
        for i in range(3):
            write_image(tmp_path / name / f"{i}.png", pixels)
        turned = with_orientation(np.rot90(pixels), "PNG", 6)
        (tmp_path / name / "turned.png").write_bytes(turned)
    splits = read(tmp_path)
    assert splits.spec.shape == (6, 8, 3)
    assert splits.notes == (
        "of the 8 training images, 2 are turned as their EXIF orientation asks for",
    )
    assert all((x.numpy() == pixels).all() for x, _ in splits.splits["train"].read(None))


@pytest.mark.parametrize(("color", "channels"), [(None, 1), ("auto", 1), ("rgb", 3), ("gray", 1)])
def test_colours_of_grey_images(tmp_path, color, channels):
    fill(tmp_path, shape=(6, 8), suffix="bmp")
    splits = read(tmp_path, color=color)
    assert splits.spec.shape == (6, 8, channels)
    x, _ = next(iter(splits.splits["train"].read(None)))
    assert (x.numpy() == np.asarray(Image.open(tmp_path / "cat" / "0.bmp"))[..., None]).all()


def test_one_image_with_colours_makes_all_rgb_unless_gray_is_asked_for(tmp_path):
    fill(tmp_path, shape=(6, 8))
    write_image(tmp_path / "cat" / "red.png", np.full((6, 8, 3), (255, 0, 0), "uint8"))
    assert read(tmp_path).spec.shape == (6, 8, 3)
    grey = read(tmp_path, color="gray")
    red = [x.numpy() for x, _ in grey.splits["train"].read(None)][4]
    assert grey.spec.shape == (6, 8, 1) and (red == 76).all()


def test_resize_is_kept_in_the_spec(tmp_path):
    fill(tmp_path, shape=(6, 12, 3))
    splits = read(tmp_path, image_size=(6, 6), resize="crop")
    assert splits.spec.resize == "crop" and splits.spec.shape == (6, 6, 3)
    x, _ = next(iter(splits.splits["train"].read(None)))
    assert (x.numpy() == np.asarray(Image.open(tmp_path / "cat" / "0.png"))[:, 3:9]).all()


def test_broken_files_are_named_or_skipped(tmp_path):
    fill(tmp_path)
    whole = encode_image(RANDOM.integers(0, 256, (99, 99, 3), "uint8"), "PNG")
    (tmp_path / "cat" / "empty.png").touch()
    (tmp_path / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    os.symlink(tmp_path / "nowhere", tmp_path / "dog" / "gone.png")
    with pytest.raises(UserError, match=r"png: .*or pass --skip_broken"):
        read(tmp_path)
    splits = read(tmp_path, skip_broken=True)
    assert count(splits) == {"train": 8}
    (note,) = splits.notes
    assert "skipped 3 images that cannot be read" in note
    for name in ("empty.png: not a readable", "cut.png: not a readable", "gone.png: No such file"):
        assert name in note
    # an evaluation of the same data reads them in the same way
    own = DataConfig(f"folder:{tmp_path}", skip_broken=True).to_settings()
    for same in (True, False):
        again = DataConfig(f"folder:{tmp_path}").adopt_settings(own, same_data=same)
        assert again.skip_broken == same


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_a_broken_file_that_no_header_tells_of_is_named_when_it_is_decoded(tmp_path, kind):
    fill(tmp_path)
    whole = encode_image(RANDOM.integers(0, 256, (99, 99, 3), "uint8"), kind)
    (tmp_path / "dog" / f"cut.{kind}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=rf"dog/cut.{kind}: not a readable image .* --skip_broken"):
        load_data(DataConfig(f"folder:{tmp_path}"))
    assert count(read(tmp_path, skip_broken=True)) == {"train": 8}


def test_known_classes_are_those_of_the_model(tmp_path):
    fill(tmp_path, "dog")
    splits = read(tmp_path, known_classes=("cat", "cow", "dog"))
    assert splits.spec.class_names == ("cat", "cow", "dog")
    assert [int(y) for _, y in splits.splits["train"].read(None)] == [2] * 4
    with pytest.raises(UserError, match="dog: this class is not in the model, which has cat, cow"):
        read(tmp_path, known_classes=("cat", "cow"))
    fill(tmp_path / "flat", "")
    with pytest.raises(UserError, match=r"flat has 0 class folders .*; expected those of"):
        read(tmp_path / "flat", known_classes=("cat", "dog"))
