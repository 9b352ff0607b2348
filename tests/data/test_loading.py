import os

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from support.files import write_image

from zoo.data.config import DataConfig
from zoo.data.holdout import draw_holdout_rows
from zoo.data.images.decoding import resize_image
from zoo.data.loading import dataset_slug, load_data
from zoo.data.memory import choose_budget
from zoo.data.sources import tfds as tfds_source
from zoo.data.sources.tfds import DatasetUnavailableError
from zoo.data.sources.tfds_columns import read_records, read_table
from zoo.data.sources.tfds_features import make_decoder
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Stream, take_inputs
from zoo.data.tables.labels import Target
from zoo.errors import UserError


def rows_of(split):
    return sorted((x.tobytes(), y) for x, y in zip(split.x, split.y, strict=True))


def test_holdout_is_seeded_and_never_everything():
    rows = draw_holdout_rows(100, 0.1, 0)
    assert rows.sum() == 10 and (rows == draw_holdout_rows(100, 0.1, 0)).all()
    assert (rows != draw_holdout_rows(100, 0.1, 1)).any()
    assert draw_holdout_rows(2, 0.5, 0).sum() == 1 and draw_holdout_rows(3, 0.001, 0).sum() == 1


def test_select_rows_composes():
    stream = Stream(6, reader=None).select_rows(np.array([1, 1, 1, 0, 0, 1], bool))
    selection = stream.select_rows(np.array([0, 1, 0, 1], bool))
    assert len(selection) == 2 and np.flatnonzero(selection.rows).tolist() == [1, 5]
    arrays = Arrays(np.arange(6), np.arange(6)).select_rows(stream.rows)
    assert arrays.x.tolist() == [0, 1, 2, 5]


def test_mnist_5k(tfds_dir):
    data = load_data(DataConfig("mnist_5k", data_dir=str(tfds_dir)))
    assert (len(data.train), len(data.validation), len(data.test)) == (3600, 400, 1000)
    assert data.spec == Spec("image", (28, 28, 1), tuple("0123456789"))
    assert np.bincount(data.test.y).tolist() == [100] * 10
    assert data.train.x.dtype == np.uint8 and data.train.x.max() == 255
    assert data.splits["validation"] == "a seeded 10% of train"
    train, validation, test = map(rows_of, (data.train, data.validation, data.test))
    assert not set(train) & set(validation) and not set(train) & set(test)
    assert len(set(train + validation + test)) == 5000


def test_memory_and_stream_hold_the_same(tfds_dir):
    memory = load_data(DataConfig("mnist_5k", data_dir=str(tfds_dir), seed=3))
    stream = load_data(DataConfig("mnist_5k", data_dir=str(tfds_dir), seed=3, memory_budget=0))
    assert isinstance(memory.train, Arrays) and isinstance(stream.train, Stream)
    for split_name in ("train", "validation", "test"):
        streamed = [y for _, y in getattr(stream, split_name).read(None).as_numpy_iterator()]
        assert (np.array(streamed) == getattr(memory, split_name).y).all()
    np.testing.assert_array_equal(take_inputs(stream.test, 5), take_inputs(memory.test, 5))


@pytest.mark.parametrize("split", ["train", "train[1337:2900]", "test[:5%]+train[-70:]"])
def test_files_are_read_as_tfds_reads_them(tmp_path_factory, split):
    builder = tfds.builder("mnist_5k", data_dir=tmp_path_factory.getbasetemp() / "shards")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=3))
    one_by_one = tfds.ReadConfig(interleave_cycle_length=1)
    expected = list(builder.as_dataset(split=split, read_config=one_by_one).as_numpy_iterator())
    _, decode = make_decoder(builder, "mnist_5k", split, ["image"], Target(None), DataConfig())
    images = list(read_records(builder, split).map(decode).as_numpy_iterator())
    assert len(images) == len(expected) > 100
    labels = read_table(builder, split, ["label"], "mnist_5k").frame["label"]
    assert labels.tolist() == [str(example["label"]) for example in expected]
    for example, image in zip(expected, images, strict=True):
        np.testing.assert_array_equal(image, example["image"])


def test_files_of_another_format_are_refused(tfds_dir, monkeypatch):
    other = property(lambda _: tfds.core.FileFormat.ARRAY_RECORD)
    monkeypatch.setattr(tfds.core.DatasetInfo, "file_format", other)
    with pytest.raises(UserError, match="as array_record: expected tfrecord: prepare it again"):
        load_data(DataConfig("mnist_5k", data_dir=str(tfds_dir)))


def test_train_split_expression(tfds_dir):
    data = load_data(DataConfig("mnist_5k", data_dir=str(tfds_dir), train_split="train[:50%]"))
    assert len(data.train) + len(data.validation) == 2000 and len(data.test) == 1000
    # what is trained on is not scored
    data = load_data(DataConfig("mnist_5k", data_dir=str(tfds_dir), train_split="train+test"))
    assert data.splits["test"] == "a seeded 10% of train+test"
    assert len(data.train) + len(data.validation) + len(data.test) == 5000


def test_without_a_network_the_default_is_replaced_and_says_so(tfds_dir, monkeypatch):
    monkeypatch.setattr(tfds_source, "is_reachable", lambda urls: False)
    data = load_data(DataConfig(None, default="mnist", data_dir=str(tfds_dir)))
    assert data.name == "mnist_5k" and "mnist was replaced" in data.notes[0]
    with pytest.raises(DatasetUnavailableError, match="--dataset=mnist_5k"):
        load_data(DataConfig("mnist", data_dir=str(tfds_dir)))
    with pytest.raises(DatasetUnavailableError, match="does not answer"):
        load_data(DataConfig(None, default="cifar10", data_dir=str(tfds_dir)))


class Broken(tfds.core.GeneratorBasedBuilder):
    """A dataset whose preparation is cut off in the middle, until it is told not to be."""

    name = "zoo_broken"
    VERSION = tfds.core.Version("1.0.0")
    cut_off = True

    def _info(self):
        features = {"x": tfds.features.Tensor(shape=(2,), dtype=np.float32), "y": np.float32}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("x", "y")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(20):
            if i == 10 and self.cut_off:
                raise ConnectionError("the line went dead")
            yield i, {"x": np.array([i, -i], "float32"), "y": float(i)}


def test_a_preparation_that_was_cut_off_leaves_nothing_that_looks_prepared(tmp_path):
    with pytest.raises(DatasetUnavailableError, match="the line went dead"):
        load_data(DataConfig("zoo_broken", data_dir=str(tmp_path)))
    assert not Broken(data_dir=str(tmp_path)).is_prepared()
    Broken.cut_off = False
    data = load_data(DataConfig("zoo_broken", data_dir=str(tmp_path)))
    assert data.spec == Spec("features", (2,), None, ("x_0", "x_1"))
    assert len(data.train) + len(data.validation) + len(data.test) == 20
    assert data.train.y.shape == (len(data.train), 1)


class Columns(tfds.core.GeneratorBasedBuilder):
    """Scalars in a dict, whole numbers that are no ClassLabel, and a test split without labels."""

    name = "zoo_columns"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"a": np.float32, "b": np.int32, "grade": np.int64}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=({"a": "a", "b": "b"}, "grade"),
        )

    def _split_generators(self, dl_manager):
        return {s: self._generate_examples(s) for s in ("train", "validation")}

    def _generate_examples(self, split):
        for i in range(30 if split == "train" else 6):
            yield i, {"a": i / 2, "b": i, "grade": 3 + i % 3}


def test_scalar_columns_and_labels_that_are_numbers(tmp_path):
    data = load_data(DataConfig("zoo_columns", data_dir=str(tmp_path)))
    assert data.spec == Spec("features", (2,), ("3", "4", "5"), ("a", "b"))
    assert ((data.train.x[:, 1] % 3) == data.train.y).all()
    # no test split: the validation split is scored, validation is cut from train
    assert data.splits["test"] == "validation" and len(data.test) == 6
    assert len(data.train) == 27 and len(data.validation) == 3


class Sizes(tfds.core.GeneratorBasedBuilder):
    """Images of several sizes, beside a feature of several lengths that nobody asked for."""

    name = "zoo_sizes"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(),
            "boxes": tfds.features.Sequence(np.int64),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(30):
            image = np.full((20 + i % 3, 30 + i % 5, 3), 8 * i, "uint8")
            yield i, {"image": image, "boxes": list(range(i)), "label": i % 2}


@pytest.mark.parametrize("budget", [None, 0])
def test_images_of_several_sizes(tmp_path, budget):
    data = load_data(DataConfig("zoo_sizes", data_dir=str(tmp_path), memory_budget=budget))
    assert data.spec == Spec("image", (21, 32, 3), ("0", "1"))
    for x, y in zip(
        take_inputs(data.test, 3),
        [y for _, y in zip(range(3), labels(data.test), strict=False)],
        strict=True,
    ):
        assert x.std() == 0 and (x[0, 0, 0] // 8) % 2 == y
    seed = tf.constant([1, 2], tf.int64)
    if budget == 0:
        values = [int(x[0, 0, 0]) for x, _ in data.train.read(seed)]
        assert len(set(values)) == len(data.train)
    resized = load_data(DataConfig("zoo_sizes", data_dir=str(tmp_path), image_size=(9, 9)))
    assert resized.spec.shape == (9, 9, 3)
    with pytest.raises(UserError, match="no images to resize"):
        load_data(DataConfig("zoo_hidden", data_dir=str(tmp_path), image_size=(9, 9)))


def labels(split):
    return split.y if isinstance(split, Arrays) else [int(y) for _, y in split.read(None)]


class Hidden(tfds.core.GeneratorBasedBuilder):
    """As in GLUE, the labels of the test split are -1."""

    name = "zoo_hidden"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "x": tfds.features.Tensor(shape=(1,), dtype=np.float32),
            "label": tfds.features.ClassLabel(names=["no", "yes"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("x", "label"),
        )

    def _split_generators(self, dl_manager):
        return {s: self._generate_examples(s) for s in ("train", "validation", "test")}

    def _generate_examples(self, split):
        for i in range(20):
            yield i, {"x": np.array([i], "float32"), "label": -1 if split == "test" else i % 2}


def test_a_split_without_labels_is_neither_trained_on_nor_scored(tmp_path):
    data = load_data(DataConfig("zoo_hidden", data_dir=str(tmp_path)))
    assert data.splits == {
        "train": "train",
        "test": "validation",
        "validation": "a seeded 10% of train",
    }
    with pytest.raises(UserError, match="no labels"):
        load_data(DataConfig("zoo_hidden", data_dir=str(tmp_path), train_split="test"))


def test_csv_classification(iris_csv):
    data = load_data(DataConfig(f"csv:{iris_csv}", label="species"))
    assert data.spec.class_names == ("setosa", "versicolor", "virginica")
    assert data.spec.feature_names[0] == "sepal_length"
    assert data.train.x.dtype == np.float32 and data.train.x.shape[1:] == (4,)
    assert len(data.train) + len(data.validation) + len(data.test) == 150


def test_csv_regression_and_files_by_split(tmp_path, price_csv):
    data = load_data(DataConfig(f"csv:{price_csv}", label="price"))
    assert data.spec.class_names is None and data.train.y.shape[1:] == (1,)
    frame = pd.read_csv(price_csv)
    frame[:400].to_csv(tmp_path / "train.csv", index=False)
    frame[["price", "age", "size"]][400:].to_csv(tmp_path / "test.csv", index=False)
    data = load_data(DataConfig(f"csv:{tmp_path}", label="price"))
    assert len(data.test) == 200
    # columns go by name, not by place
    record = data.raw_test.x[0]
    np.testing.assert_allclose([record["size"], record["age"]], frame[["size", "age"]].iloc[400])


def test_whole_numbers_and_truths_are_classes(tmp_path):
    for column, names in (([3, 1] * 5, ("1", "3")), ([True, False] * 5, ("False", "True"))):
        pd.DataFrame({"x": range(10), "y": column}).to_csv(tmp_path / "t.csv", index=False)
        data = load_data(DataConfig(f"csv:{tmp_path / 't.csv'}", label="y"))
        assert data.spec.class_names == names
        everything = np.concatenate([data.train.y, data.validation.y, data.test.y])
        assert np.bincount(everything).tolist() == [5, 5]


def test_folder_of_images_by_class(photo_folder):
    data = load_data(DataConfig(f"folder:{photo_folder}"))
    assert data.spec == Spec("image", (40, 48, 3), ("blue", "red"))
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [48, 6, 6]
    for split in splits:  # the label is the colour of the disc in the middle
        middle = split.x[:, 18:22, 22:26].mean(axis=(1, 2))
        assert ((middle[:, 0] > middle[:, 2]) == (split.y == 1)).all()


def test_folder_size_grey_and_splits(tmp_path):
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        for i in range(count):
            pixels = random.integers(0, 256, (20, 24), "uint8")
            write_image(tmp_path / split / f"class{i % 2}" / f"{i}.png", pixels)
    data = load_data(DataConfig(f"folder:{tmp_path}"))
    assert data.spec.shape == (20, 24, 1)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [12, 4, 4]
    resized = load_data(DataConfig(f"folder:{tmp_path}", image_size=(10, 12)))
    assert resized.spec.shape == (10, 12, 1)
    streamed = load_data(DataConfig(f"folder:{tmp_path}", memory_budget=0))
    for (x, y), a, b in zip(streamed.test.read(None), data.test.x, data.test.y, strict=True):
        assert (x.numpy() == a).all() and int(y) == b


def test_proportions_and_colours_of_a_tfds_dataset(tfds_dir):
    settings = {"data_dir": str(tfds_dir), "train_split": "train[:40]"}
    plain = load_data(DataConfig("mnist_5k", **settings))
    changed = load_data(
        DataConfig("mnist_5k", image_size=(14, 28), resize="crop", color="rgb", **settings)
    )
    assert changed.spec.shape == (14, 28, 3) and changed.spec.resize == "crop"
    np.testing.assert_array_equal(changed.train.x, plain.train.x[:, 7:21].repeat(3, axis=-1))


def test_resize_is_near_pillow():
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (31, 45, 3), "uint8")
    given = resize_image(tf.constant(pixels), (16, 20, 3)).numpy()
    expected = np.asarray(Image.fromarray(pixels).resize((20, 16), Image.BILINEAR))
    assert np.abs(given.astype(int) - expected).max() <= 2


def test_memory_budget_is_a_quarter():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert choose_budget(None) == pytest.approx(memory / 4, rel=0.01)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("mnist", "mnist"),
        ("glue/mrpc", "glue-mrpc"),
        ("csv:a/b/cars.csv", "cars"),
        ("folder:x/photos/", "photos"),
        ("mnist:3.*.*", "mnist-3.*.*"),
    ],
)
def test_name_of(dataset, name):
    assert dataset_slug(dataset) == name


@pytest.mark.realdata
def test_real_mnist():
    data = load_data(DataConfig("mnist", data_dir=os.environ["TFDS_DATA_DIR"]))
    assert (len(data.train), len(data.validation), len(data.test)) == (54_000, 6_000, 10_000)
    assert np.bincount(data.test.y).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    # the published mean and deviation of the training pixels are 0.1307 and 0.3081
    pixels = np.concatenate([data.train.x, data.validation.x]) / 255
    assert (round(pixels.mean(), 4), round(pixels.std(), 4)) == (0.1307, 0.3081)


def test_a_folder_of_datasets_that_cannot_be_written():
    """As where HOME is not set or is read-only."""
    with pytest.raises(UserError, match=r"mnist_5k is not prepared, and /proc/1/.* --data_dir$"):
        load_data(DataConfig("mnist_5k", data_dir="/proc/1/tensorflow_datasets"))
