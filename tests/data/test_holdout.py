"""The rows that are held out: at random, in whole groups, and by time."""

import numpy as np
import pytest

from zoo.data.config import DataConfig
from zoo.data.holdout import choose_newest_rows, draw_holdout_groups
from zoo.data.loading import load_data, read_data
from zoo.errors import UserError


def write_table(path, rows, names="x,patient,day,y"):
    path.write_text("\n".join([names, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return f"csv:{path}"


def test_groups_stay_together_and_classes_are_shared():
    groups = np.repeat(np.arange(40), np.tile([1, 2, 3, 4], 10))
    classes = (groups % 5 == 0).astype("int64")
    rows = draw_holdout_groups(groups, 0.2, 0, classes)
    assert not set(groups[rows]) & set(groups[~rows])
    assert abs(rows.sum() - 20) <= 2 and abs(classes[rows].sum() - classes.sum() * 0.2) <= 2
    assert (rows == draw_holdout_groups(groups, 0.2, 0, classes)).all()
    assert (rows != draw_holdout_groups(groups, 0.2, 1, classes)).any()
    # however unequal the groups are, neither side is empty
    rows = draw_holdout_groups(np.repeat([7, 9], [99, 1]), 0.01, 0)
    assert 0 < rows.sum() < 100
    with pytest.raises(UserError, match="all of one group: expected two groups"):
        draw_holdout_groups(np.zeros(9, int), 0.2, 0)


def test_the_newest_rows_and_those_of_the_same_time():
    times = np.array([3.0, 1, 2, 9, 5, 9, 4, 0, 6, 7])
    assert np.flatnonzero(choose_newest_rows(times, 0.2)).tolist() == [3, 5]
    assert np.flatnonzero(choose_newest_rows(times, 0.1)).tolist() == [3, 5]
    assert np.flatnonzero(choose_newest_rows(times, 0.3)).tolist() == [3, 5, 9]
    with pytest.raises(UserError, match="all of one time"):
        choose_newest_rows(np.ones(5), 0.2)


def test_a_column_of_groups_is_no_input_and_is_recorded(tmp_path):
    rows = [(i % 7, f"p{i % 30}", "2026-01-01", "ab"[i % 30 // 10 % 2]) for i in range(300)]
    name = write_table(tmp_path / "t.csv", rows)
    data = load_data(DataConfig(name, label="y", group="patient"))
    assert [column.name for column in data.spec.columns] == ["x"]
    path = tmp_path / "t.csv"
    assert data.splits["test"] == f"a seeded 10% in whole groups of patient of {path}"
    assert data.settings == {"label": "y", "group": "patient"}
    parts = [set(split.groups) for split in _read_splits(name, group="patient")]
    assert sum(map(len, parts)) == 30 == len(set.union(*parts))
    kinds = (("patient", "category"),)
    data = load_data(DataConfig(name, label="y", group="patient", columns=kinds))
    assert [column.name for column in data.spec.columns] == ["x", "patient"]


def _read_splits(name, **settings):
    data = read_data(DataConfig(name, label="y", **settings))
    return data.train, data.validation, data.test


@pytest.mark.parametrize("form", ["{}", "2026-01-{:02d}", "{:02d}.01.2026 12:00"])
def test_later_splits_are_newer(form, tmp_path):
    order = np.random.default_rng(0).permutation(20)
    rows = [(i, f"p{i}", form.format(i + 1), "ab"[i % 2]) for i in order]
    name = write_table(tmp_path / "t.csv", rows)
    train, validation, test = _read_splits(name, time="day")
    assert len(validation) == len(test) == 2
    assert train.times.max() < validation.times.min() < validation.times.max() < test.times.min()
    data = read_data(DataConfig(name, label="y", time="day"))
    assert data.splits["test"] == f"the newest 10% by day of {tmp_path / 't.csv'}"
    # regressions too, which have no classes to share
    train, validation, test = _read_splits(name, time="day", task=None)
    assert test.times.min() > validation.times.max()


def test_groups_that_may_be_the_same_are_told(tmp_path):
    names = ["Ann", "ann", "7", "07", "bob"]
    rows = [(i, names[i % 5], i, "ab"[i % 2]) for i in range(60)]
    write_table(tmp_path / "t.csv", rows)
    notes = read_data(DataConfig(f"csv:{tmp_path}/t.csv", label="y", group="patient")).notes
    assert any("'Ann' and 'ann' differ only in case and are different groups" in x for x in notes)
    assert any("'07' and '7' are the same number and are different groups" in x for x in notes)


def test_a_class_that_only_the_newest_rows_have_is_told(tmp_path):
    write_table(tmp_path / "t.csv", [(i, "p", i, "ab"[i > 55]) for i in range(60)])
    notes = read_data(DataConfig(f"csv:{tmp_path}/t.csv", label="y", time="day")).notes
    assert "the training split has no example of 'b'" in notes


def test_groups_of_a_test_file_that_were_trained_on_are_told(tmp_path):
    write_table(tmp_path / "train.csv", [(i, f"p{i % 9}", i, "ab"[i % 2]) for i in range(60)])
    rows = [(i, f"p{i}", i, "ab"[i % 2]) for i in range(7, 12)] + [(1, "", 2, "a")]
    write_table(tmp_path / "test.csv", rows)
    data = read_data(DataConfig(f"csv:{tmp_path}", label="y", group="patient"))
    told = f"{tmp_path / 'test.csv'}: 2 groups of 'patient' are in the training split too"
    assert told in data.notes
    assert "column 'patient': 1 row without a group: each is a group of its own" in data.notes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group": "pateint"}, r"group='pateint': .* no such column. Did you mean 'patient'"),
        ({"time": "patient"}, r"time=patient: .* has 'p0' and others there; expected numbers, or"),
        ({"time": "gap"}, r"t.csv, line 4: column 'gap' .* \(1 such lines\); expected a time"),
        ({"time": "y"}, "time=y: this column is the label: choose another one"),
        ({"group": "one"}, "group=one: the rows to hold some out of are all of one group"),
    ],
)
def test_mistakes(settings, message, tmp_path):
    rows = [(i, f"p{i % 9}", i if i != 2 else "", 1, "ab"[i % 2]) for i in range(20)]
    name = write_table(tmp_path / "t.csv", rows, "x,patient,gap,one,y")
    with pytest.raises(UserError, match=message):
        read_data(DataConfig(name, label="y", **settings))


def test_images_have_no_columns(photo_folder):
    with pytest.raises(UserError, match=r"group=patient: folder:.* has no columns: omit --group"):
        read_data(DataConfig(f"folder:{photo_folder}", group="patient"))
