"""fashion_mnist from the files of a Debian package: tiny files of the same format."""

import gzip
import struct

import numpy as np
import pytest
import tensorflow_datasets as tfds

from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.data.sources import fashion_mnist
from zoo.data.sources import tfds as tfds_source

TRAIN, TEST = 40, 10


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder of idx files as that of the package, of 50 images; returns those of the test."""
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    monkeypatch.setattr(fashion_mnist, "FOLDER", folder)
    module = __import__(tfds.builder_cls("fashion_mnist").__module__, fromlist=["_"])
    for split, name, count in (
        ("train", "_TRAIN_EXAMPLES", TRAIN),
        ("t10k", "_TEST_EXAMPLES", TEST),
    ):
        monkeypatch.setattr(module, name, count)
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), "uint8")
        images[:, 0, 0] = np.arange(count)
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype("uint8"))
    return images


def test_installed_files_replace_the_download(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "is_reachable", lambda urls: pytest.fail("asked a server"))
    config = DataConfig("fashion_mnist", data_dir=str(tmp_path / "tfds"))
    data = load_data(config)
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 4, TEST)
    assert data.spec.class_names[0] == "T-shirt/top" and data.version == "3.0.1"
    rows = np.argsort(data.test.x[:, 0, 0, 0])
    np.testing.assert_array_equal(data.test.x[rows, ..., 0], installed)
    assert data.test.y[rows].tolist() == list(range(TEST))
    assert data.notes[0] == (
        f"fashion_mnist was prepared from {fashion_mnist.FOLDER}, Debian's package "
        "dataset-fashion-mnist, without a download"
    )
    # from then on it is any prepared dataset
    monkeypatch.setattr(fashion_mnist, "FOLDER", tmp_path / "removed")
    again = load_data(config)
    assert again.notes == data.notes[1:] and again.fingerprint == data.fingerprint


def test_without_the_files_the_package_is_advised(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "FOLDER", tmp_path / "none")
    monkeypatch.setattr(tfds_source, "is_reachable", lambda urls: False)
    with pytest.raises(tfds_source.DatasetUnavailableError, match="package dataset-fashion-mnist"):
        load_data(DataConfig("fashion_mnist", data_dir=str(tmp_path)))


def test_a_missing_file_is_named(installed, tmp_path):
    (fashion_mnist.FOLDER / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises((OSError, tfds_source.DatasetUnavailableError), match="t10k-labels"):
        load_data(DataConfig("fashion_mnist", data_dir=str(tmp_path / "tfds")))
