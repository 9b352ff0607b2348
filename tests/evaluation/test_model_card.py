"""Model cards of full and of poor records."""

import re
from pathlib import Path

import numpy as np

from zoo.evaluation.model_card import render_card, write_card
from zoo.evaluation.scores import score_classification, score_regression

RECORD = {
    "model": "lstm",
    "hyperparameters": {"width": 4},
    "recipe": {"epochs": 3, "batch_size": 8, "optimizer": "adam", "ema": 0.9, "l1": 0.0},
    "config": "small",
    "dataset": "imdb_reviews",
    "dataset_version": "1.0.0",
    "notes": ["a part of it", "2 files were skipped"],
    "splits": {"train": {"from": "train[:9%]", "examples": 2250}, "test": {"from": "test"}},
    "spec": {"kind": "text", "shape": [60], "class_names": ["neg|ative", "positive"]},
    "parameters": 12345,
    "multiply_adds": 6789012,
    "seed": 7,
    "seconds": 61.5,
    "examples_per_second": 321.0,
    "machine": "Linux x86_64, 2 cores",
    "versions": {"keras": "3.15.1"},
    "command": "python train.py --flagfile=configs/small.flags",
    "export": "saved_models/lstm/3",
    "test": score_classification(
        np.array([0, 0, 1, 1]),
        np.array([[1.0, 0], [0, 1], [0, 1], [0, 2]]),
        ("neg|ative", "positive"),
    ),
}


def test_a_run(tmp_path):
    for name in ("curves.png", "confusion.png", "mistakes.txt"):
        (tmp_path / name).touch()
    write_card(tmp_path, RECORD)
    text = (tmp_path / "card.md").read_text()
    assert text.startswith("# lstm on imdb_reviews\n\n## Model\n")
    for line in (
        "| reference | Hochreiter and Schmidhuber 1997",
        "| input | texts of up to 60 tokens |",
        "| output | one of 2 classes: neg\\|ative, positive |",
        "| parameters | 12,345 |",
        "| multiply-adds | 6,789,012 per example |",
        "| train | 2,250 examples: train[:9%] |",
        "| notes | a part of it; 2 files were skipped |",
        "https://www.tensorflow.org/datasets/catalog/imdb_reviews |",
        "| config | small |",
        "| recipe | epochs=3, batch_size=8, optimizer=adam, ema=0.9 |",
        "| seed | 7 |",
        "| time | 61.5 s, 321.0 examples/s |",
        "$ python train.py --flagfile=configs/small.flags",
        "Measured on the test split (test), 4 examples.",
        "| accuracy | 75.00% (95% Wilson interval 30.06% to 95.44%) |",
        "| neg\\|ative | 1.0000 | 0.5000 | 0.6667 | 2 |",
        "[The most confident mistakes](mistakes.txt)",
        f'model = zoo.load("{tmp_path}")',
        "$ zoo predict --model=lstm texts.txt --server=localhost:8501",
    ):
        assert line in text, line
    assert re.findall(r"!\[.*\]\((.*)\)", text) == ["curves.png", "confusion.png"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_note_of_a_record_of_version_0_1(tmp_path):
    record = RECORD | {"notes": None, "note": "the default dataset was replaced"}
    assert "| notes | the default dataset was replaced |" in render_card(tmp_path, record)
    assert "| notes |" not in render_card(tmp_path, record | {"note": ""})


def test_an_evaluation_tells_its_own_scores_and_the_training_of_the_record(tmp_path):
    evaluation = {
        "model": "lstm",
        "weights": "imdb",
        "dataset": "csv:mine.csv",
        "split": "validation",
        "from": "mine.csv",
        "scores": score_regression(np.array([1.0, 2.0]), np.array([1.0, 4.0])),
        "command": "zoo evaluate",
    }
    text = render_card(tmp_path, RECORD, evaluation)
    assert text.startswith("# lstm on csv:mine.csv\n")
    assert "Measured on the validation split (csv:mine.csv: mine.csv), 2 examples." in text
    assert "| mae | 1 (95% bootstrap interval" in text and "| accuracy |" not in text
    assert "| name | imdb_reviews |" in text and "--flagfile=configs/small.flags" in text
    assert 'zoo.get("lstm", weights="imdb")' in text


def test_a_record_of_someone_else_breaks_nothing(tmp_path):
    """Whatever a record holds, the card is written."""
    evaluation = {"model": "x", "dataset": "d", "split": "test", "from": "test"}
    evaluation["scores"] = RECORD["test"]
    for strange in (None, 7, "x", [], {"a": []}, [["b"]]):
        poor = dict.fromkeys(RECORD, strange)
        text = render_card(tmp_path, poor, evaluation)
        assert "| accuracy | 75.00%" in text
        assert f"| multiply-adds | {'7' if strange == 7 else 'unknown'} per" in text
    assert "unknown" in render_card(tmp_path, {}, evaluation)


def test_licences():
    for dataset, licence in (
        ("synthetic_reviews", "Apache 2.0"),
        ("glue/mrpc", "catalog/glue |"),
        ("fashion_mnist", "MIT"),
        ("folder:photos", "not recorded: see where the files come from"),
        ("parquet:rows", "not recorded: see where the files come from"),
    ):
        record = {"dataset": dataset, "test": RECORD["test"]}
        assert licence in render_card(Path("nowhere"), record)
