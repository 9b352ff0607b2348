"""A run goes on, and is called finished, only with the data and the versions it began with."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Arrays, Data
from zoo.data.tokenizers import save_tokenizer
from zoo.errors import UserError
from zoo.training.checkpoints import TrainingState, save_checkpoint
from zoo.training.run_data import check_run_data, save_run_data

SPLIT = Arrays(np.zeros((4, 2), "float32"), np.zeros(4, "int64"))
DATA = Data("d", "", Spec("features", (2,), ("a", "b")), SPLIT, SPLIT, SPLIT, {})
FINGERPRINT = {"dataset": "csv:t.csv", "classes": ["a", "b"], "train": {"examples": 4}}
OLD = dataclasses.replace(DATA, fingerprint=FINGERPRINT)
NEW = dataclasses.replace(DATA, fingerprint=FINGERPRINT | {"train": {"examples": 5}})


@pytest.fixture
def run(tmp_path):
    """The folder of a run with a checkpoint."""
    save_run_data(tmp_path, OLD)
    save_checkpoint(tmp_path, [np.zeros(1)], TrainingState())
    return tmp_path


def read_files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("is_finished", [False, True])
def test_other_data_is_refused_and_nothing_changes(run, is_finished):
    before = read_files(run)
    check_run_data(run, OLD, is_finished)
    with pytest.raises(UserError) as error:
        check_run_data(run, NEW, is_finished)
    assert str(error.value) == (
        f"{run}: its run was trained on other data (the train split had 4 examples, has 5): "
        "restore the data, choose another folder with --run_dir, or start over with --overwrite"
    )
    assert read_files(run) == before


@pytest.mark.parametrize("is_finished", [False, True])
def test_other_versions_are_refused(run, is_finished):
    content = json.loads((run / "fingerprint.json").read_text())
    content["versions"]["keras"] = "3.12.0"
    (run / "fingerprint.json").write_text(json.dumps(content))
    message = rf"keras was 3\.12\.0, is {keras.__version__}\), .*: install these versions, choose"
    with pytest.raises(UserError, match=message):
        check_run_data(run, OLD, is_finished)


def test_a_run_that_has_trained_nothing_takes_any_data(tmp_path):
    save_run_data(tmp_path, OLD)
    check_run_data(tmp_path, NEW, is_finished=False)


def test_a_run_of_an_earlier_version_has_no_fingerprint(run):
    (run / "fingerprint.json").unlink()
    check_run_data(run, NEW, is_finished=False)
    # but it has a vocabulary, which training would go on with
    tokenizer = Tokenizer("words", ("", "[UNK]", "[SEP]", "a"), 4)
    spec = Spec("text", (4,), ("a", "b"), tokenizer=tokenizer)
    save_tokenizer(spec, run)
    other = dataclasses.replace(tokenizer, vocabulary=("", "[UNK]", "[SEP]", "b"))
    texts = dataclasses.replace(DATA, spec=dataclasses.replace(spec, tokenizer=other))
    check_run_data(run, dataclasses.replace(DATA, spec=spec), is_finished=False)
    check_run_data(run, texts, is_finished=True)
    with pytest.raises(UserError, match=r"started with another tokenizer\.json"):
        check_run_data(run, texts, is_finished=False)


def test_a_broken_fingerprint_is_named(run):
    (run / "fingerprint.json").write_text("{")
    with pytest.raises(UserError, match=r"fingerprint\.json: not valid JSON"):
        check_run_data(run, OLD, is_finished=True)
