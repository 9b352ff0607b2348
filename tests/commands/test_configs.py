"""The recipes in configs/: they parse, and their headers tell what results/results.csv has."""

import csv
import dataclasses
import re

import pytest
from absl import flags
from absl.testing import flagsaver
from support.paths import ROOT

from zoo.commands import train
from zoo.commands.flags import parse_hparams, read_recipe_settings
from zoo.commands.runner import parse_flags
from zoo.evaluation.leaderboard import read_leaderboard, write_leaderboard
from zoo.registry import find_entry

CONFIGS = sorted((ROOT / "configs").glob("*.flags"))
RESULTS = ROOT / "results" / "results.csv"
FIGURES = re.compile(
    r"# (\d+) s on (?:1 core|2 cores); (\w+) accuracy (\d+\.\d\d%) \((?:mean of )?(\d+) seeds?"
    r"(?:, spread (\d+\.\d\d))?\)"
)


def figures(path):
    """The header's seconds, split, accuracy, seeds, and spread in percentage points, as text."""
    header = path.read_text().splitlines()[2]
    found = FIGURES.fullmatch(header)
    assert found, f"{path.name}: {header}"
    return found.groups()


def disagreement(path, rows):
    """What the header has otherwise than the rows of results.csv, or nothing."""
    found = [row for row in rows if row["recipe"] == path.stem]
    if len(found) != 1:
        return f"{len(found)} rows of results.csv have the recipe {path.stem}"
    (row,) = found
    measured = (
        f"{float(row['seconds']):.0f}",
        row["split"],
        f"{float(row['accuracy']):.2%}",
        row["seeds"],
        f"{100 * float(row['spread']):.2f}" if row["spread"] else None,  # of one seed
    )
    told = figures(path)
    return "" if told == measured else f"{path.name} has {told}, results.csv {measured}"


@pytest.fixture
def parsed():
    """Reads a flagfile as train.py does."""
    saved = flagsaver.save_flag_values(train.FLAGS)

    def parse(path):
        parse_flags(train, [f"--flagfile={path}"])
        return train.FLAGS

    yield parse
    flagsaver.restore_flag_values(saved, train.FLAGS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_header_has_three_lines(path):
    lines = path.read_text().splitlines()
    assert [line.startswith("# ") for line in lines[:4]] == [True, True, True, False]
    assert len(lines[0]) > 20 and lines[0].endswith(".")
    assert lines[1] == f"# python train.py --flagfile=configs/{path.name}"
    seconds, _, _, seeds, _ = figures(path)
    assert int(seconds) > 0 and int(seeds) > 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_flags_are_those_of_a_model(path, parsed):
    given = parsed(path)
    entry = find_entry(given.model)
    entry.check(parse_hparams(given.hparam), entry.hyperparameters)
    dataclasses.replace(entry.recipe, **read_recipe_settings(given))
    assert given.dataset, "a recipe is for a data set"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
@pytest.mark.skipif(not RESULTS.exists(), reason="there is no results/results.csv yet")
def test_figures_are_those_of_the_results(path):
    with RESULTS.open(newline="") as file:
        assert not disagreement(path, list(csv.DictReader(file)))


@pytest.mark.skipif(not RESULTS.exists(), reason="there is no results/results.csv yet")
def test_the_docs_have_the_rows_of_the_results():
    page = (ROOT / "docs" / "results.md").read_text()
    with RESULTS.open(newline="") as file:
        for row in csv.DictReader(file):
            numbers = (int(row["parameters"]), int(row["multiply_adds"]))
            spread = f"{100 * float(row['spread']):.2f}" if row["spread"] else "one seed"
            scores = f"{float(row['accuracy']):.2%} | {spread}"
            times = f"{float(row['seconds']):.0f} s | {float(row['latency_ms']):.2f} ms"
            sizes = f"{numbers[0]:,} | {numbers[1]:,}"
            cells = f"`{row['recipe']}` | {sizes} | {row['split']} | {scores} | {times}"
            assert f"| {cells} |" in page


def test_the_log_gives_the_rows_of_the_results(tmp_path):
    runs = sorted((ROOT / "results" / "runs").iterdir())
    recorded = {row["recipe"]: row for row in read_leaderboard(RESULTS)}
    rows = write_leaderboard(runs, tmp_path)
    assert rows == [recorded[row["recipe"]] for row in rows]


def test_these_tests_can_fail(tmp_path, parsed):
    path = tmp_path / "small.flags"
    path.write_text(
        "# A small one.\n# python train.py --flagfile=configs/small.flags\n"
        "# 61 s on 2 cores; test accuracy 98.76% (mean of 3 seeds, spread 0.12)\n--modle=cnn\n"
    )
    row = {"recipe": "small", "seconds": "61.3", "accuracy": "0.98764", "seeds": "3"}
    row |= {"split": "test", "spread": "0.0012"}
    assert not disagreement(path, [row, row | {"recipe": "other"}])
    others = {"seconds": "62", "split": "validation", "accuracy": "0.9877", "seeds": "1"}
    for name, value in (others | {"spread": "0"}).items():
        assert "small.flags has ('61', 'test', '98.76%'" in disagreement(
            path, [row | {name: value}]
        )
    assert disagreement(path, []) == "0 rows of results.csv have the recipe small"
    with pytest.raises(flags.UnrecognizedFlagError, match="modle"):
        parsed(path)
