"""The command `zoo export`, and `zoo evaluate` of a preset with its own head."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from support.text_folders import write_text_folder

from zoo.commands import evaluate, export
from zoo.pretrained.presets import load_preset_classifier

LABELS = ("bad", "good")
TEXTS = ("the film was good", "bad", "a \u65e5\u672c film", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_text_folder(tmp_path_factory.mktemp("encoder") / "a", "roberta", labels=LABELS)


def write_reviews(labels, name="reviews.csv"):
    rows = [(text, labels[i % 2]) for i, text in enumerate(TEXTS[:3] * 4)]
    Path(name).write_text("review,stars\n" + "".join(f"{text},{y}\n" for text, y in rows))
    return rows


def test_a_preset_is_exported_as_it_is(folder, run_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run_zoo(export, f"--preset={folder}", "--export_name=reviews")
    assert code == 0 and "lose their end" in err
    assert out.splitlines()[-1] == "saved_models/reviews/1"
    served = tf.saved_model.load("saved_models/reviews/1").signatures["serving_default"]
    answers = served(text=tf.constant(TEXTS))
    expected = load_preset_classifier(str(folder))(TEXTS)
    np.testing.assert_allclose(answers["logits"], expected["logits"], atol=1e-5)
    assert [x.decode() for x in answers["label"].numpy()] == expected["label"].tolist()
    assert Path("saved_models/models.config").is_file()


def test_a_preset_is_scored_as_it_is(folder, run_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = write_reviews(LABELS)
    flags = ("--dataset=csv:reviews.csv", "--text=review", "--label=stars")
    code, _, err = run_zoo(evaluate, f"--preset={folder}", *flags)
    assert code == 0 and "not used" not in err, err
    found = json.loads(Path("evaluations/text_encoder-reviews-all/metrics.json").read_text())
    expected = load_preset_classifier(str(folder))([text for text, _ in rows])["label"]
    right = np.mean(expected == [label for _, label in rows])
    assert found["scores"]["accuracy"] == pytest.approx(right)
    assert found["weights"] == str(folder)
    # of other classes, and of a head without names
    write_reviews(("good", "great"))
    code, _, err = run_zoo(evaluate, f"--preset={folder}", *flags)
    assert code == 2 and "great" in err
    plain = shutil.copytree(folder, tmp_path / "plain")
    config = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps(config | {"id2label": None}))
    code, _, err = run_zoo(evaluate, f"--preset={plain}", *flags)
    assert code == 0, err
    told = "have no names: LABEL_0, LABEL_1 are taken for good, great, in this order"
    found = json.loads(Path("evaluations/text_encoder-reviews-all/metrics.json").read_text())
    assert told in err and told in found["notes"][-1]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ([], "nothing to export: pass one of --weights and --preset"),
        (["--weights=a", "--preset=b"], "--weights and --preset: pass one of"),
        (["--weights=missing"], "there is no such run, export or .keras file"),
        (["--preset=folder", "--model=bert"], "the model is text_encoder, not bert: omit --model"),
        (
            ["--preset=keras:MobileNetV2", "--long_texts=windows"],
            "is not a folder of a text classif",
        ),
        (["--preset=folder", "--pairs", "--long_texts=windows"], "these are pairs: choose"),
        (["--preset=folder", "--export_name=a/b"], "a/b"),
    ],
)
def test_mistakes(flags, problem, folder, run_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_zoo(export, *(flag.replace("=folder", f"={folder}") for flag in flags))
    assert code == 2 and problem in err
    assert not Path("saved_models").exists()
