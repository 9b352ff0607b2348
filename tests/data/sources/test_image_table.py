"""Images whose labels are in a table: labels.csv beside them, and a CSV of their paths."""
# ruff: noqa: E501, a table

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.files import write_image

from zoo.data.config import DataConfig
from zoo.data.fingerprint import compute_fingerprint
from zoo.data.loading import read_data, read_source
from zoo.data.splits import read_labels
from zoo.errors import UserError


@pytest.fixture
def photos(tmp_path):
    """Twelve grey images; the pixels of each are its number."""
    for i in range(12):
        write_image(tmp_path / f"{i}.png", np.full((6, 8), i, "uint8"))
    return tmp_path


def write(path, /, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)


def read(name, **settings):
    return read_source(DataConfig(name, **settings))[1]


def numbers(source, split="train"):
    """The numbers of the images of a split, by their names, and their targets."""
    found = source.splits[split]
    return [int(Path(path).stem) for path in found.list_paths()], read_labels(found).tolist()


NAMES = [f"{i}.png" for i in range(12)]


@pytest.mark.parametrize(
    ("kind", "columns", "label", "task", "targets"),
    [
        ("folder", {"y": ["cat", "dog"] * 6}, None, "classification", [0, 1] * 6),
        ("csv", {"y": np.arange(12) * 0.5}, None, "regression", [[i * 0.5] for i in range(12)]),
        ("folder", {"y": ["b|a", "", "b", "c"] * 3}, "y", "multilabel", [[1, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]] * 3),
        ("csv", {"a": [0, 1] * 6, "b": [1, 1] * 6}, "b,a", "multilabel", [[1, 0], [1, 1]] * 6),
    ],
    ids=["classes", "numbers", "bars", "columns"],
)  # fmt: skip
def test_each_task(photos, kind, columns, label, task, targets):
    file = photos / "labels.csv"
    write(file, picture=NAMES, **columns)
    source = read(f"{kind}:{photos if kind == 'folder' else file}", label=label)
    assert source.spec.task == task and source.spec.shape == (6, 8, 1)
    assert numbers(source) == (list(range(12)), targets)
    if label is None:
        assert f"{file}: the column 'y' is the label" in source.notes
    examples = source.splits["train"].read(None).take(2).as_numpy_iterator()
    assert [(int(x[0, 0, 0]), y.tolist()) for x, y in examples] == list(enumerate(targets[:2]))


def test_files_by_their_name_alone_and_without_a_suffix(photos):
    write_image(photos / "more" / "12.png", np.full((6, 8), 12, "uint8"))
    write(photos / "labels.csv", id=[*range(12), "more/12.png"], y=[0, 1] * 6 + [1])
    assert numbers(read(f"folder:{photos}"))[0] == list(range(13))


@pytest.mark.parametrize("kind", ["folder", "csv"])
def test_absolute_paths_and_accents_of_a_mac(kind, photos):
    write_image(photos / "cafe\u0301" / "12.png", np.full((6, 8), 12, "uint8"))
    ids = [*(photos / name for name in NAMES), "caf\u00e9/12.png"]
    write(photos / "labels.csv", id=ids, y=[0, 1] * 6 + [1])
    place = photos if kind == "folder" else photos / "labels.csv"
    assert numbers(read(f"{kind}:{place}", label="y"))[0] == list(range(13))


def test_paths_without_suffixes(photos):
    for folder in "ab":
        write_image(photos / folder / "12.png", np.full((6, 8), 12, "uint8"))
    write(photos / "labels.csv", id=[*range(12), "a/12", "b/12"], y=[0, 1] * 7)
    assert numbers(read(f"folder:{photos}"))[0] == [*range(12), 12, 12]


def test_paths_of_windows_and_a_table_in_capitals(photos):
    write_image(photos / "more" / "12.png", np.full((6, 8), 12, "uint8"))
    write(photos / "labels.csv", id=[*NAMES, "more\\12.png"], y=[0, 1] * 6 + [1])
    assert numbers(read(f"csv:{photos / 'labels.csv'}", label="y"))[0] == list(range(13))
    (photos / "labels.csv").rename(photos / "Labels.CSV")
    assert numbers(read(f"folder:{photos}"))[0] == list(range(13))


def test_what_is_left_out_is_told(photos):
    names = [*NAMES[:8], "0.png", "gone.png", *NAMES[8:10]]
    write(photos / "labels.csv", file=names, y=["a", "b"] * 4 + ["a", "b", "a", ""])
    source = read(f"folder:{photos}", label="y")
    assert numbers(source)[0] == list(range(9))
    told = " / ".join(source.notes)
    assert "left out: 2 images without a row in labels.csv" in told
    assert "left out: 1 row whose file is not there (gone.png)" in told
    assert "left out: 1 row with the image of another row" in told
    assert "left out: 1 row without a label" in told


def test_splits_of_a_column_of_folders_and_of_files(photos):
    parts = ["train"] * 8 + ["Val", "val", "test", "Testing"]
    write(photos / "labels.csv", file=NAMES, y=["a", "b"] * 6, split=parts)
    source = read(f"folder:{photos}")
    assert {name: numbers(source, name)[0] for name in source.splits} == {
        "train": list(range(8)),
        "validation": [8, 9],
        "test": [10, 11],
    }
    assert source.origins["test"] == f"test rows of {photos / 'labels.csv'}"
    for i, part in enumerate(["train"] * 8 + ["test"] * 4):
        write_image(photos / "by_folder" / part / f"{i}.png", np.full((6, 8), i, "uint8"))
    root = photos / "by_folder"
    names = [f"train/{i}.png" for i in range(8)] + [f"test/{i}.png" for i in range(8, 12)]
    write(root / "labels.csv", file=names, y=["a", "b"] * 6)
    source = read(f"folder:{root}")
    assert numbers(source, "test")[0] == list(range(8, 12)) and len(source.splits["train"]) == 8
    assert "the folders of the images are taken for their splits: test, train" in source.notes[2]
    (root / "labels.csv").unlink()
    write(root / "train" / "metadata.csv", file_name=NAMES[:8], y=["a", "b"] * 4)
    write(root / "test" / "metadata.csv", file_name=NAMES[8:], y=["a", "b"] * 2)
    source = read(f"folder:{root}")
    assert numbers(source, "test") == (list(range(8, 12)), [0, 1] * 2)


def test_groups_and_broken_files(photos):
    write(
        photos / "labels.csv", file=NAMES, y=["a", "b"] * 6, who=[f"p{i // 3}" for i in range(12)]
    )
    (photos / "4.png").write_bytes(b"\x89PNG")
    data = read_data(DataConfig(f"folder:{photos}", label="y", group="who", skip_broken=True))
    splits = [data.train, data.validation, data.test]
    assert sum(map(len, splits)) == 11
    groups = [set(split.groups.tolist()) for split in splits]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 4
    assert any("skipped 1 image that cannot be read" in note for note in data.notes)


def test_a_table_of_numbers_may_name_images(photos):
    write(photos / "t.csv", path=NAMES, size=[3, 1, 2] * 4, y=[0, 1] * 6)
    source = read(f"csv:{photos / 't.csv'}", label="y")
    assert source.spec.kind == "image"
    assert "(--columns=path:drop learns from the other columns instead)" in source.notes[0]
    assert f"{photos / 't.csv'}: these columns are not read: size" in source.notes
    settings = {"label": "y", "columns": (("path", "drop"),)}
    assert read(f"csv:{photos / 't.csv'}", **settings).spec.kind == "features"
    write(photos / "t.csv", path=[f"no/{name}" for name in NAMES], size=[3, 1, 2] * 4, y=[0, 1] * 6)
    source = read(f"csv:{photos / 't.csv'}", label="y")
    assert source.spec.kind == "features"
    assert "column 'path' looks like paths of images, but none is there" in source.notes[0]


def test_paths_may_be_relative_to_the_working_folder(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    names = [f"{photos.name}/{name}" for name in NAMES]
    for file in (photos / "labels.csv", photos / "lists/t.csv"):
        file.parent.mkdir(exist_ok=True)
        write(file, path=names, y=[0, 1] * 6)
        kind = f"folder:{photos.name}" if file.stem == "labels" else f"csv:{file}"
        assert numbers(read(kind, label="y"))[0] == list(range(12))


def test_a_table_without_names_of_columns_is_told(photos):
    pd.DataFrame({"file": NAMES, "y": ["a", "b"] * 6}).to_csv(
        photos / "labels.csv", index=False, header=False
    )
    notes = read(f"folder:{photos}", label="a").notes
    assert any("the name of a column, 0.png, is an image: if the first" in note for note in notes)


def test_the_place_of_the_files_does_not_count(photos):
    write(photos / "labels.csv", file=NAMES, y=["a", "b"] * 6)
    found = []
    for place in (photos, photos.with_name("moved")):
        if place != photos:
            photos.rename(place)
        for name in (f"folder:{place}", f"csv:{place / 'labels.csv'}"):
            data = read_data(DataConfig(name, label="y"))
            found.append(compute_fingerprint(data, data.spec)["train"])
    assert found[0] == found[2] and found[1] == found[3]


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"file": NAMES, "a": [0, 1] * 6, "b": [0, 1] * 6}, {}, "no column to predict: .*A,B; the columns are file, a, b"),
        ({"file": NAMES, "y": [0, 1] * 6}, {"label": "z"}, "label='z': .*labels.csv has no such column"),
        ({"file": ["x"] * 12, "y": [0, 1] * 6}, {}, "none of its columns, file, y, names images of .*such as"),
        ({"file": NAMES, "y": [0, 1] * 6, "split": ["train"] * 11 + ["later"]}, {}, "line 13: column 'split' holds 'later' .*expected train, validation or test"),
        ({"file": NAMES, "y": [0, 1] * 6, "split": ["test"] * 12}, {}, "no labelled row is of the training split"),
        ({"file": ["1.png", *NAMES[1:]], "y": [0, 1] * 6}, {}, "line 3: .*1.png has another row with another label"),
        ({"file": NAMES, "y": [0, 1] * 6}, {"columns": (("y", "number"),)}, "omit --columns"),
        ({"file": NAMES, "y": [0, 1] * 6}, {"text": ("y",)}, "has no columns: omit --text"),
    ],
)  # fmt: skip
def test_mistakes(photos, columns, settings, message):
    write(photos / "labels.csv", **columns)
    with pytest.raises(UserError, match=message):
        read(f"folder:{photos}", **settings)


def test_folders_of_classes_have_no_table(photo_folder):
    name = f"folder:{photo_folder}"
    with pytest.raises(UserError, match=r"label=y: .*no columns: omit --label, or put a table"):
        read(name, label="y")
    with pytest.raises(UserError, match=r"task=multilabel: .* has a folder per class: omit --task"):
        read(name, task="multilabel")
    # a model may have been trained on a table, and be scored on such a folder
    source = read(name, label="y", known_classes=("blue", "red"))
    assert f"{name}: the labels are the folders of the images; label is not used" in source.notes
