"""A run goes on, and is called finished, only with the data and the versions it began with."""

import dataclasses
import json
import linecache

import keras
import numpy as np
import pytest

from zoo import registry
from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Arrays, Data
from zoo.data.texts.tokenizers import save_tokenizer
from zoo.errors import UserError
from zoo.training.checkpoints import TrainingState, save_checkpoint
from zoo.training.run_data import check_run_data, describe_start, save_run_data

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


def describe_plugin(folder, monkeypatch, code, name="scaled"):
    """What a run knows of a model of a plug-in with this code, and of its weights."""
    file = folder / f"{name}.py"
    file.write_text(code)
    linecache.clearcache()
    monkeypatch.setattr(registry, "_ENTRIES", {})
    registry.load_plugin(str(file))
    entry = registry.find_entry("linear")
    keras.utils.set_random_seed(0)
    return describe_start(entry, entry.builder())


def test_another_plug_in_is_refused(run, monkeypatch, tmp_path_factory):
    code = (
        "import keras\nimport zoo\n\n@zoo.register(kinds=('features',))\n"
        "def linear(input_shape=(2,), num_classes=2):\n    x = keras.Input(input_shape)\n"
        "    y = keras.layers.Dense(num_classes, name='head')(x)\n    return keras.Model(x, y)\n"
    )
    folder = tmp_path_factory.mktemp("plug-ins")
    start = describe_plugin(folder, monkeypatch, code)
    assert [name for name, _ in start["weights"]] == ["head/kernel", "head/bias"]
    save_run_data(run, OLD, start)
    same = describe_plugin(folder, monkeypatch, f"# a comment\n{code}")
    check_run_data(run, OLD, True, same)
    other = describe_plugin(folder, monkeypatch, code.replace("(x)\n", "(x * 2)\n"))
    with pytest.raises(UserError, match="the code of the plug-in is another: restore it, c"):
        check_run_data(run, OLD, True, other)


@pytest.mark.parametrize("is_finished", [False, True])
def test_other_weights_at_the_beginning_are_refused(run, is_finished):
    """The first flags and files are the same, or the weights that --weights names are others."""
    entry = registry.find_entry("perceptron")
    keras.utils.set_random_seed(0)
    model = entry.builder((4,), 3)
    save_run_data(run, OLD, describe_start(entry, model))
    model.get_layer("head").kernel.assign(model.get_layer("head").kernel * 1.0001)
    check_run_data(run, OLD, is_finished, describe_start(entry, model))
    model.get_layer("head").bias.assign([0, 0.1, 0])
    message = r"the training began with other weights \(.*bias\): restore the files of --w"
    with pytest.raises(UserError, match=message):
        check_run_data(run, OLD, is_finished, describe_start(entry, model))
    with pytest.raises(UserError, match="the model had other layers"):
        other = registry.find_entry("mlp")
        check_run_data(run, OLD, is_finished, describe_start(other, other.builder((4,), 3)))
    save_run_data(run, OLD)  # of earlier versions
    check_run_data(run, OLD, is_finished, describe_start(entry, model))
