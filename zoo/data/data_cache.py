"""A cache of prepared data: what was parsed, tokenized or decoded once is read from files.

The name of an entry tells the settings and versions that the data was made with. The entry itself
tells the state of the files that the data was read from: their sizes and times.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from zoo.data.config import DataConfig
from zoo.data.data_files import (
    DamagedFileError,
    UnstorableDataError,
    read_checked_record,
    read_data_files,
    write_checked_record,
    write_data,
)
from zoo.data.loading import prepare_and_fingerprint, read_data
from zoo.data.memory import choose_budget
from zoo.data.sources.file_parts import list_parts
from zoo.data.sources.table_files import TABLE_KINDS
from zoo.data.splits import Data, Stream
from zoo.errors import one_line
from zoo.storage.atomic import DRAFT_PREFIX

_SOURCES = "sources.json"
_PREPARED_VARIABLE = "TFDS_DATA_DIR"
_PACKAGES = ("tensorflow", "keras", "keras_hub", "tensorflow_text", "numpy", "pandas", "pyarrow",
             "pillow", "tensorflow_datasets")  # fmt: skip
_DRAFT_SECONDS = 24 * 3600  # after which a draft is one of a process that was killed

State = dict[str, str]  # of files and folders, by their paths


def load_cached_data(config: DataConfig, directory: str) -> tuple[Data, tuple[str, ...]]:
    """Returns the data of `zoo.data.loading.load_data`, from the cache if it has an entry.

    Args:
        config: Settings of the data.
        directory: Folder of the cache, which is created if it is not there.

    Returns:
        The data, which is the same with and without the cache; and sentences for the user.

    Raises:
        UserError: as `load_data`. An error in the cache is none: the sentences tell it.
    """
    folder = Path(os.path.expanduser(directory))
    key, notes = _compute_key(config), list[str]()
    for entry in sorted(folder.glob(f"{key}-*")):
        try:
            if _has_changed(entry):
                notes.append("the files have changed since they were kept in the cache")
                continue
            return read_data_files(entry), (f"data: read from the cache {entry}",)
        except DamagedFileError as error:
            notes.append(f"an entry of the cache is damaged, and is made again: {error}")
            shutil.rmtree(entry, ignore_errors=True)
    before = _read_states(_list_files(config))
    raw = read_data(config)
    data = prepare_and_fingerprint(raw, config)
    if config.name is None and data.name != config.default:
        return data, (*notes, "data: not kept in the cache, since it replaces another dataset")
    try:
        sources = _read_states([*before, *_list_folders(config, raw)])
        if before.items() - sources.items():
            raise UnstorableDataError("its files have changed while they were read")
        entry, size = _keep(data, sources, folder, key)
        notes.append(f"data: kept in the cache {entry} ({size / 2**20:,.1f} MiB)")
    except UnstorableDataError as error:
        notes.append(f"data: not kept in the cache: {error}")
    except OSError as error:
        notes.append(f"data: not kept in the cache {folder}: {error.strerror or one_line(error)}")
    return data, tuple(notes)


def _compute_key(config: DataConfig) -> str:
    """Returns what names the entries of the same settings, versions and code."""
    settings = dataclasses.asdict(dataclasses.replace(config, mapped_dir=None))
    settings["memory_budget"] = choose_budget(config.memory_budget)
    places = os.getcwd(), os.environ.get(_PREPARED_VARIABLE)  # of relative paths, of TFDS
    versions = {name: _find_version(name) for name in _PACKAGES}
    code = _read_states(str(file) for file in Path(__file__).parents[1].rglob("*.py"))
    content = json.dumps([settings, places, versions, code], sort_keys=True, default=repr)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def _find_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _list_files(config: DataConfig) -> list[str]:
    """Returns the user's files and folders that the data is read from."""
    paths: list[str] = []
    for name in (config.name or config.default, *config.added):
        kind, _, path = name.partition(":")
        if kind == "folder" or kind in TABLE_KINDS:
            file = Path(os.path.expanduser(path))
            has_parts = kind != "folder" and file.is_file()
            paths += map(str, list_parts(file) if has_parts else [file])
    preset = os.path.expanduser(config.preset)
    return [*paths, preset] if preset and os.path.exists(preset) else paths


def _list_folders(config: DataConfig, raw: Data) -> set[str]:
    """Returns the folders of prepared datasets, and of images that a table names."""
    prepared = config.data_dir or os.environ.get(_PREPARED_VARIABLE) or "~/tensorflow_datasets"
    names = [name for name in (raw.name, *config.added) if ":" not in name]
    folders = {os.path.join(os.path.expanduser(prepared), name.split("/")[0]) for name in names}
    images = [path for split in (raw.train, raw.validation, raw.test)
              if isinstance(split, Stream) for path in split.list_paths()]  # fmt: skip
    if images:  # and where others would be looked for
        files = (file for file in _list_files(config) if os.path.isfile(file))
        folders |= {os.path.dirname(path) for path in (*images, *files)}
    return folders


def _read_states(paths: Iterable[str]) -> State:
    """Returns a hash of the sizes and times of files, and of all files in folders."""
    return {path: _read_state(path) for path in paths}


def _read_state(path: str) -> str:
    digest = hashlib.sha256()
    for name, status in _iterate_files(path, frozenset()):
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(
            "utf-8", "surrogateescape"))  # fmt: skip
    return digest.hexdigest()[:20]


def _iterate_files(path: str, above: frozenset[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Yields a file, or those of a folder and its subfolders, with their status, in order."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if not os.path.isdir(path):
            yield path, os.stat(path)
            return
        real = os.path.realpath(path)
        if real in above:  # a link to a folder above would be followed forever
            return
        for name in sorted(os.listdir(path)):
            yield from _iterate_files(os.path.join(path, name), above | {real})


def _has_changed(entry: Path) -> bool:
    """Whether files that the data of an entry was read from have changed.

    Raises:
        DamagedFileError: if the entry does not tell.
    """
    states = read_checked_record(entry / _SOURCES)
    return _read_states(states) != states


def _keep(data: Data, sources: State, folder: Path, key: str) -> tuple[Path, int]:
    """Writes an entry in place of earlier ones of the same settings; returns it and its bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    state = hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()[:12]
    entry = folder / f"{key}-{state}"
    _remove_old_drafts(folder)
    # a folder of its own, since two processes may write the same entry
    draft = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=folder))
    try:
        write_data(data, draft)
        write_checked_record(draft / _SOURCES, dict(sources))
        size = sum(file.stat().st_size for file in draft.iterdir())
        for other in folder.glob(f"{key}-*"):
            if other != entry:
                shutil.rmtree(other, ignore_errors=True)
        if not entry.exists():
            with contextlib.suppress(FileExistsError):
                draft.rename(entry)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return entry, size


def _remove_old_drafts(folder: Path) -> None:
    for draft in folder.glob(f"{DRAFT_PREFIX}*"):
        with contextlib.suppress(OSError):
            if draft.stat().st_mtime < time.time() - _DRAFT_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)
