"""A training that starts from the head of a pretrained text classifier."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.text_folders import write_text_folder

from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.models.presets.text_head import load_head
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training.building import prepare_model
from zoo.training.preset_head import adopt_preset_head

ENTRY = find_entry("text_encoder")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("classifier")
    return str(write_text_folder(root / "a", "distilbert", labels=("no", "maybe", "yes")))


def make_data(names, **changes):
    spec = Spec("text", (8,), names, **changes)
    target = np.zeros((2, 1), "float32") if names is None else np.array([0, 1])
    split = Arrays(np.array([[2, 7, 3] + [0] * 5] * 2, "int32"), target)
    return Data("x", "", spec, split, split, split, {}, notes=("first",))


def build(folder, data, **hparams):
    hparams, data = adopt_preset_head(ENTRY, {"preset": folder} | hparams, data)
    model, _ = prepare_model(ENTRY, hparams, Recipe(), data, 0)
    return model, hparams, data.notes[1:]


def test_classes_of_the_same_name_start_from_the_head(folder):
    model, hparams, (note,) = build(folder, make_data(("yes", "other", "no")))
    assert hparams["pooling"] == "first"
    assert note == (
        f"the head of {folder} is trained further for yes, no and is new for other: "
        "--hparam=pooling=mean for a new one"
    )
    kernel, bias = load_head(folder).last
    layer = model.get_layer("head")
    np.testing.assert_array_equal(layer.kernel.numpy()[:, [0, 2]], kernel[:, [2, 0]])
    np.testing.assert_array_equal(layer.bias.numpy(), [bias[2], 0, bias[0]])
    # as is the layer before it, with its activation
    assert model.get_layer("pooler").activation.__name__ == "relu"
    np.testing.assert_array_equal(model.get_layer("pooler").kernel, load_head(folder).pooler[0])


def test_a_head_of_several_labels_starts_a_training_of_several_labels(folder, tmp_path):
    several = shutil.copytree(folder, tmp_path / "a")
    config = json.loads((several / "config.json").read_text())
    config["problem_type"] = "multi_label_classification"
    (several / "config.json").write_text(json.dumps(config))
    data = make_data(("no", "yes"), multilabel=True)
    hparams, told = adopt_preset_head(ENTRY, {"preset": str(several)}, data)
    assert hparams["pooling"] == "first" and "is trained further for no, yes" in told.notes[1]
    _, told = adopt_preset_head(ENTRY, {"preset": str(several)}, make_data(("no", "yes")))
    assert told.notes[1].startswith(f"a new head for no, yes: that of {several} is for several")


@pytest.mark.parametrize(
    ("names", "changes", "hparams", "told"),
    [
        (("a", "b"), {}, {}, "a new head for a, b: that of {} is for no, maybe, yes"),
        (None, {}, {}, "a new head for a number: that of {} is for no, maybe, yes"),
        (("no", "yes"), {}, {"pooling": "mean"}, "a new head: that of {} needs --hparam=pooling="),
        (
            ("no", "yes"),
            {"multilabel": True},
            {},
            "a new head for several of no, yes: that of",
        ),
    ],
)
def test_other_heads_are_new(folder, names, changes, hparams, told):
    data = make_data(names, **changes)
    found, data = adopt_preset_head(ENTRY, {"preset": folder} | hparams, data)
    assert found == {"preset": folder} | hparams
    assert data.notes[1].startswith(told.format(folder))


def test_nothing_is_told_of_a_preset_without_a_head(folder, tmp_path):
    data = make_data(("no", "yes"))
    bare = str(write_text_folder(tmp_path / "a", "roberta"))
    assert adopt_preset_head(ENTRY, {"preset": bare}, data) == ({"preset": bare}, data)
    assert adopt_preset_head(ENTRY, {}, data) == ({}, data)
    bert = dataclasses.replace(ENTRY, name="bert")
    assert adopt_preset_head(bert, {"preset": folder}, data) == ({"preset": folder}, data)


def test_a_training_from_flags_to_its_record(folder, train, without_export):
    rows = [f"{'the film was good ' * (10 + i)},{('no', 'yes')[i % 2]}" for i in range(40)]
    Path("reviews.csv").write_text("\n".join(["review,stars", *rows]) + "\n")
    flags = ("--model=text_encoder", "--dataset=csv:reviews.csv", "--text=review", "--label=stars")
    flags = (*flags, f"--preset={folder}", "--epochs=1", "--nojit_compile")
    code, _, err = train(*flags, "--length=100")
    assert code == 2 and "positions for 40 tokens: use --length=40, or --long_texts=windows" in err
    code, out, err = train(*flags, "--long_texts=windows")
    assert code == 0 and "in windows of 40" in out, err
    record = json.loads(Path("runs/text_encoder-reviews/metrics.json").read_text())
    assert record["hyperparameters"]["pooling"] == "first"
    notes = " ".join(record["notes"])
    assert "windows of 40, whose logits are averaged: 32 of 32 training texts are longer" in notes
    assert f"the head of {folder} is trained further for no, yes" in notes
    assert all(note in err for note in record["notes"])
