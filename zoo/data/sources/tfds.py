"""Reads datasets of TensorFlow Datasets (TFDS) by name."""

import contextlib
import dataclasses
import inspect
import io
import re
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

import requests
import tensorflow_datasets as tfds
from etils import epath

from zoo.data.config import DataConfig
from zoo.data.sources import (
    fashion_mnist,
    mnist_5k,  # noqa: F401, registered on import
    synthetic_reviews,  # noqa: F401, registered on import
)
from zoo.data.sources.tfds_columns import choose_columns
from zoo.data.sources.tfds_splits import (
    choose_splits,
    find_gaps,
    is_plain,
    read_streams,
    read_tables,
)
from zoo.data.splits import LabelledSplits
from zoo.errors import UserError, one_line
from zoo.schema import suggest_closest
from zoo.storage.atomic import check_writable
from zoo.storage.downloads import is_reachable

_SHOWN = 10  # configs in a message
_NETWORK_ERRORS = (requests.RequestException, URLError, ConnectionError, TimeoutError)


class DatasetUnavailableError(UserError):
    """The dataset is not prepared and cannot be downloaded."""


def load_tfds(name: str, config: DataConfig) -> LabelledSplits:
    """Reads the labelled splits of a TFDS dataset, which is prepared if needed.

    Inputs and label are the columns given by `config.text` and `config.label` or, if these are not
    set, the supervised keys of the dataset. Without supervised keys they are the only image, the
    texts or all numbers and classes, and the column "label". Examples without a label are left out.
    Columns that are no plain numbers, or have gaps, are read as those of a table.

    Args:
        name: TFDS name, with a config if needed.
        config: Further settings; its `name` is not used.

    Raises:
        DatasetUnavailableError: if the dataset is not prepared and cannot be downloaded.
        UserError: if the name or a split is unknown, or no model can read the data.
    """
    builder, prepared_notes = open_builder(name, config.data_dir)
    expressions, split_notes = choose_splits(builder, name, config.train_split)
    columns, label, column_notes = choose_columns(builder, name, config)
    config = dataclasses.replace(config, label=label)
    notes = prepared_notes + split_notes + column_notes
    if not is_plain(builder, columns, config):
        source = read_tables(builder, name, expressions, columns, config, notes)
    else:
        source = read_streams(builder, name, expressions, columns, config, notes)
        if source.spec.kind == "features" and (gaps := find_gaps(source)):
            notes += (f"{name}: {gaps}: its numbers are read as the columns of a table",)
            source = read_tables(builder, name, expressions, columns, config, notes)
    return dataclasses.replace(
        source,
        version=str(builder.version),
        origins={split_name: expressions[split_name] for split_name in source.splits},
    )


def open_builder(
    name: str, data_dir: str | None
) -> tuple[tfds.core.DatasetBuilder, tuple[str, ...]]:
    """Opens a TFDS dataset, which is prepared if needed.

    Args:
        name: TFDS name, with a config if needed.
        data_dir: Folder of prepared datasets; None for TFDS' own.

    Returns:
        The builder, and a note if it was prepared from installed files.

    Raises:
        DatasetUnavailableError: if the dataset is not prepared and cannot be downloaded.
        UserError: if the name is unknown, or the files have another format than TFRecord.
    """
    builder = _make_builder(name, data_dir)
    notes: tuple[str, ...] = ()
    if builder.name == fashion_mnist.NAME and not builder.is_prepared():
        builder, notes = _use_installed_files(builder, data_dir)
    _prepare_builder(builder, name)
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"{name} is prepared in {builder.data_dir} as {builder.info.file_format.value}: "
            "expected tfrecord: prepare it again with TFDS' file_format='tfrecord'"
        )
    return builder, notes


def _use_installed_files(
    builder: tfds.core.DatasetBuilder, data_dir: str | None
) -> tuple[tfds.core.DatasetBuilder, tuple[str, ...]]:
    """Returns the builder of installed files, where these are, and a note on them."""
    installed = fashion_mnist.make_installed_builder(data_dir)
    if installed is None:
        return builder, ()
    note = (
        f"{fashion_mnist.NAME} was prepared from {fashion_mnist.FOLDER}, Debian's package "
        f"{fashion_mnist.PACKAGE}, without a download"
    )
    return installed, (note,)


def _make_builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    try:
        _place_builder(name)
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        suggestion = suggest_closest(name.split("/")[0], known)
        raise UserError(
            f"no dataset is named {name!r}.{suggestion} Expected one of the "
            f"{len(known)} datasets of TFDS (mnist, cifar10, iris, ...), folder:PATH with one "
            "subfolder of images per class, csv:PATH or jsonl:PATH"
        ) from None
    except Exception as error:
        raise UserError(f"dataset {name!r}: {_explain_name(name, error)}") from error


def _explain_name(name: str, error: Exception) -> str:
    """Returns why TFDS has no builder of a name, in its words where no better ones are known."""
    if "Parsing builder name" in str(error):
        return (
            "expected a name such as mnist, glue/mrpc or mnist:3.0.1, or the path of files after "
            "their kind, such as csv:PATH"
        )
    if wrong := re.search("cannot be loaded at version (.+), only: (.+)", one_line(error)):
        return f"there is no version {wrong[1]}, only {wrong[2].rstrip('.')}"
    dataset, _, config = name.partition(":")[0].partition("/")
    with contextlib.suppress(Exception):  # of code that TFDS imports
        configs = list(tfds.builder_cls(dataset).builder_configs)
        if config and config not in configs:
            others = f", ... ({len(configs)})" if configs[_SHOWN:] else ""
            return (
                f"{dataset} has no config {config!r}.{suggest_closest(config, configs)} "
                f"It has: {', '.join(configs[:_SHOWN]) or 'none'}{others}"
            )
    return f"{type(error).__name__}: {one_line(error)}"


def _place_builder(name: str) -> None:
    """Tells TFDS where a builder is that a single .py file defines; it expects a package."""
    with contextlib.suppress(tfds.core.DatasetNotFoundError):
        builder = tfds.builder_cls(name.partition("/")[0].partition(":")[0])
        if "." not in builder.__module__ and builder.__dict__.get("pkg_dir_path") is None:
            builder.pkg_dir_path = epath.Path(inspect.getfile(builder)).parent


def _prepare_builder(builder: tfds.core.DatasetBuilder, name: str) -> None:
    if builder.is_prepared():
        return
    advice = (
        "connect to the network, pass a folder that contains it with --data_dir, or use "
        "--dataset=mnist_5k or --dataset=synthetic_reviews, which need no download"
    )
    if builder.name == fashion_mnist.NAME:
        advice = f"install Debian's package {fashion_mnist.PACKAGE}, {advice}"
    if "://" not in str(builder.data_dir):
        try:
            check_writable(Path(builder.data_dir))
        except UserError as error:
            raise DatasetUnavailableError(
                f"{name} is not prepared, and {error} with --data_dir"
            ) from error
    urls = list(builder.url_infos or ())
    if urls and not is_reachable(urls):
        raise DatasetUnavailableError(
            f"{name} is not prepared in {builder.data_dir} and its server "
            f"{urlsplit(urls[0]).hostname} does not answer: {advice}"
        )
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    try:
        if urls:
            builder.download_and_prepare(download_config=config)
        else:
            # TFDS would announce a download although there is none
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                builder.download_and_prepare(download_config=config)
    except _NETWORK_ERRORS as error:
        raise DatasetUnavailableError(
            f"{name} cannot be downloaded ({type(error).__name__}: {one_line(error)}): {advice}"
        ) from error
    except OSError:
        raise  # a fault of the disk
    except Exception as error:
        raise DatasetUnavailableError(
            f"{name} cannot be prepared ({type(error).__name__}: {one_line(error)}): {advice}"
        ) from error
