"""Scores, notes, the table and the chart of a compression."""

import csv
import json

import pytest

from zoo.compressing.methods import parse_methods
from zoo.compressing.notes import describe_drop, describe_method
from zoo.compressing.results import format_table, plot_results, write_results
from zoo.compressing.scores import find_scores, measure_drop
from zoo.data.spec import Spec

ORIGINAL = {
    "method": "original", "score": "accuracy", "test": 0.98, "test_low": 0.97, "test_high": 0.99,
    "validation": 0.99, "bytes": 400_000, "gzip_bytes": 300_000, "latency_ms_1": 1.0,
    "latency_ms_32": 4.0, "multiply_adds": 2_000_000, "refused": "", "note": "", "export": "",
}  # fmt: skip
PRUNED = ORIGINAL | {
    "method": "prune:0.8", "validation": 0.985, "test": 0.9785, "gzip_bytes": 100_000,
    "facts": {"sparsity": 0.8}, "note": "80% of the kernels are zeros", "multiply_adds": None,
}  # fmt: skip
(METHOD,) = parse_methods("prune:0.8")


def test_what_is_lost():
    assert measure_drop(PRUNED, ORIGINAL, "validation") == pytest.approx(0.005)
    assert measure_drop(PRUNED, ORIGINAL, "test") == pytest.approx(0.0015)
    before, after = {"score": "mae", "validation": 4.0}, {"score": "mae", "validation": 5.0}
    assert measure_drop(after, before, "validation") == 0.25
    # 0.99 - 0.985 is a little more than 0.005 as a float
    assert describe_drop(PRUNED, ORIGINAL, 0.005)["refused"] == ""
    assert describe_drop(PRUNED, ORIGINAL, None)["refused"] == ""
    assert describe_drop(PRUNED, ORIGINAL, 0.004)["refused"] == (
        "refused, not exported: it loses 0.50 points of accuracy on the validation split, and "
        "--max_drop=0.4% allows less"
    )
    assert "it loses 25.00% of mae" in describe_drop(after, before, 0.1)["refused"]


def test_scores_of_each_task():
    scores = {"mae": 2.0, "mae_interval": [1.0, 3.0]}
    found = find_scores(Spec("features", (3,), None), {"mae": 2.5}, scores)
    assert found == {
        "score": "mae", "validation": 2.5, "test": 2.0, "test_low": 1.0, "test_high": 3.0
    }  # fmt: skip


def test_what_is_no_faster_says_so():
    slow = describe_method(METHOD, PRUNED, ORIGINAL)
    assert "80% of the kernels are zeros" in slow
    assert slow.endswith("no faster here (1.00 and 1.00 times the latency)")
    fast = PRUNED | {"latency_ms_32": 2.0, "facts": {"quantized": 0.4}}
    (int4,) = parse_methods("int4")
    assert describe_method(int4, fast, ORIGINAL) == (
        "40% of the parameters are int4; 4 bits are for storage: they are unpacked in each call"
    )


def test_table_and_files(tmp_path):
    refused = PRUNED | {"refused": "refused, not exported"}
    lines = format_table([ORIGINAL, refused])
    assert [len(line.split("  ")) > 4 for line in lines] == [True, True, True, False]
    assert "97.85% (97.00% to 99.00%)" in lines[2] and "400 (100%)" in lines[2]
    assert "100 (25%)" in lines[2] and lines[2].startswith("prune:0.8 (refused)")
    assert lines[2].endswith("unknown") and lines[1].endswith("2,000,000")
    assert lines[3] == "prune:0.8: refused, not exported; 80% of the kernels are zeros"
    write_results([ORIGINAL, refused], {"model": "cnn"}, tmp_path)
    with open(tmp_path / "compress.csv") as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["original", "prune:0.8"]
    record = json.loads((tmp_path / "compress.json").read_text())
    assert record["model"] == "cnn" and record["rows"][1]["gzip_bytes"] == 100_000
    plot_results([ORIGINAL, refused], tmp_path / "compress.png")
    assert (tmp_path / "compress.png").stat().st_size > 10_000
