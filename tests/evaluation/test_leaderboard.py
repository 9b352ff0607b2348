"""The table of runs, from made-up runs with numbers by hand."""

import csv
import json

import pytest
from PIL import Image

from zoo.errors import UserError
from zoo.evaluation.leaderboard import format_leaderboard, read_leaderboard, write_leaderboard


def add(folder, name, **changes):
    record = {
        "model": "cnn",
        "dataset": "mnist",
        "config": "wide",
        "hyperparameters": {"dense": 64},
        "recipe": {"epochs": 2},
        "splits": {"test": {"from": "test", "examples": 100}},
        "seed": 0,
        "parameters": 1000,
        "multiply_adds": 5000,
        "seconds": 10.0,
        "examples_per_second": 300.0,
        "test": {"accuracy": 0.9},
        "formats": {
            "saved_model": {"bytes": 100, "latency_ms": 0.5},
            "onnx": {"bytes": 40, "latency_ms": 0.1},
        },
    }
    (folder / name).mkdir()
    (folder / name / "metrics.json").write_text(json.dumps(record | changes))
    return folder / name


def test_table(tmp_path):
    runs = [
        add(tmp_path, "a"),
        add(tmp_path, "b", seed=1, test={"accuracy": 0.94}, seconds=30.0),
        add(tmp_path, "c", seed=2, test={"accuracy": 0.95}, seconds=11.0, formats={}),
        add(tmp_path, "d", recipe={"epochs": 3}, parameters=10, formats={}),
        add(
            tmp_path,
            "e",
            model="lstm",
            dataset="glue/mrpc",
            splits={"test": {"from": "validation", "examples": 408}},
            config="",
        ),
    ]
    found = write_leaderboard(runs, tmp_path)
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["recipe"], row["seeds"]) for row in rows] == [
        ("lstm", "", "1"),
        ("cnn", "wide", "1"),
        ("cnn", "wide", "3"),
    ]
    assert [row["split"] for row in rows] == ["validation", "test", "test"]
    seeds = {name: value for name, value in rows[2].items() if name not in ("accuracy", "spread")}
    assert seeds == {
        "model": "cnn",
        "dataset": "mnist",
        "recipe": "wide",
        "parameters": "1000",
        "multiply_adds": "5000",
        "split": "test",
        "seeds": "3",
        "seconds": "11.0",
        "examples_per_second": "300.0",
        "saved_model_bytes": "100",
        "litert_bytes": "",
        "litert_int8_bytes": "",
        "onnx_bytes": "40",
        "latency_ms": "0.5",
    }
    assert rows[2]["accuracy"] == "0.93"
    # deviations of -0.03, 0.01 and 0.02
    assert float(rows[2]["spread"]) == pytest.approx((0.0014 / 2) ** 0.5, abs=1e-6)
    assert rows[1]["spread"] == rows[1]["latency_ms"] == rows[1]["saved_model_bytes"] == ""
    # only mnist has two rows
    assert Image.open(tmp_path / "results.png").size == (1000, 350)
    lines = format_leaderboard(found)
    assert lines[3].split() == ["wide", "mnist", "1,000", "93.00%", "2.65%", "3", "0.500"]


def test_rows_of_other_recipes_are_kept(tmp_path):
    first = write_leaderboard([add(tmp_path, "a"), add(tmp_path, "b", config="small")], tmp_path)
    assert read_leaderboard(tmp_path / "results.csv") == first
    better = add(tmp_path, "c", test={"accuracy": 0.97}, formats={})
    rows = write_leaderboard([better], tmp_path, update=True)
    assert {row["recipe"]: row["accuracy"] for row in rows} == {"small": 0.9, "wide": 0.97}
    assert read_leaderboard(tmp_path / "results.csv") == rows
    assert len(write_leaderboard([better], tmp_path)) == 1
    (tmp_path / "results.csv").write_text("model,accuracy\ncnn,0.9\n")
    with pytest.raises(UserError, match=r"results\.csv: expected the columns model, .*omit --upd"):
        write_leaderboard([better], tmp_path, update=True)


def test_the_command_prints_the_table(python, tmp_path):
    runs = [add(tmp_path, "a"), add(tmp_path, "b", seed=1, test={"accuracy": 0.94})]
    done = python("-m", "zoo", "results", "--out=table", *runs, cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr, done.stderr
    header, row, written = done.stdout.splitlines()
    assert header.split()[3:] == ["accuracy", "spread", "seeds", "ms"]
    assert row.split() == ["wide", "mnist", "1,000", "92.00%", "2.83%", "2", "0.500"]
    assert written == "results: table/results.csv, table/results.png"
    assert {p.name for p in (tmp_path / "table").iterdir()} == {"results.csv", "results.png"}


def test_runs_without_formats_are_drawn(tmp_path):
    write_leaderboard([add(tmp_path, "a", formats={})], tmp_path)
    assert (tmp_path / "results.png").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": {"mae": 3.0}}, "b: a regression has no accuracy to compare: omit this run"),
        ({"seed": None}, "b/metrics.json: seed is missing or invalid: train the run again"),
        ({"test": {"accuracy": "1"}}, "b/metrics.json: test.accuracy is missing or invalid"),
        ({"splits": {}}, "b/metrics.json: splits.test.from is missing or invalid"),
        ({"recipe": []}, "b/metrics.json: recipe is missing or invalid"),
        ({}, "b: both have the same recipe and the seed 0: omit one of them"),
    ],
)
def test_mistakes(changes, message, tmp_path):
    runs = [add(tmp_path, "a"), add(tmp_path, "b", **changes)]
    with pytest.raises(UserError) as raised:
        write_leaderboard(runs, tmp_path)
    assert message in str(raised.value)
    assert not (tmp_path / "results.csv").exists()


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UserError, match=r"not a finished run: expected a folder with metr"):
        write_leaderboard([tmp_path], tmp_path)
