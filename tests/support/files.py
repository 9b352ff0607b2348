"""Small inputs, and folders that are filled once for all processes of the tests."""

import dataclasses
import fcntl
import os
from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Writes pixels as an image file, in a folder that is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def share_folder(tmp_path_factory):
    """Sets where `fill_once` makes its folders: beside those of all processes of the tests."""
    global base
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent


def fill_once(name, fill):
    """The folder `name`, which `fill` fills once for all processes of the tests."""
    folder, done = base / name, base / f"{name}.done"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            fill(folder)
            done.touch()
    return folder


def read_few(read):
    """`read_data` with 64 examples at most to validate and to test."""

    def read_and_cut(*args, **options):
        data = read(*args, **options)
        splits = {name: getattr(data, name) for name in ("validation", "test")}
        cut = {
            name: split.select_rows(np.arange(len(split)) < 64) for name, split in splits.items()
        }
        return dataclasses.replace(data, **cut)

    return read_and_cut
