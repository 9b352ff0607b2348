"""Pretrained text encoders: their token ids and vectors are those of Hugging Face's own classes.

`python tests/models/presets/test_text_preset.py` computes the stored answers with transformers and
PyTorch.
"""

import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

sys.path.append(str(Path(__file__).parents[2]))

from support.text_folders import ANSWERS, FIRST, KINDS, SECOND, write_text_folder

import zoo
from zoo.data.texts.text_encoding import make_encoder
from zoo.data.texts.tokenizers import make_preset_tokenizer
from zoo.errors import UserError
from zoo.layers.outputs import expose_features
from zoo.models.presets.text_head import load_head
from zoo.models.presets.text_preset import load_preset, read_vocabulary
from zoo.pretrained.presets import load_preset_classifier

TEXTS = (
    "The film was good.",
    "naïve café Résumé, a\u0301 Ärger",
    "日本語 中文",
    "😀👩\u200d👧 film",
    "a\u00a0b\u3000c \u2003d",
    "a\x00b",
    "한국어",
    "Straße GROẞ ß",
    "it's they'll WE'RE ''good'' ``bad``",
    "  the\t\tfilm \n\n was  \n",
    "",
    " \n ",
    "\uff11\u00bd \ufb01lm \ufeffx\u200by",
    "\u0967 aaaaa ..... a\x85b",
    "İ ΣΑΣ",
)
LABELS = ("no", "maybe", "yes")
# what Hugging Face's fast tokenizer of ALBERT alone makes of a text; see docs/finetuning.md
DIFFERENT = {"albert": ("a\x00b", "한국어")}


def compute_answers(folder, kind):
    """The ids of TEXTS, and the vectors of the tokens of two pairs, by transformers."""
    import torch
    import transformers

    names = {"albert": "Albert", "distilbert": "DistilBert"}
    names |= {"roberta": "Roberta", "xlm-roberta": "XLMRoberta"}
    tokenizer = getattr(transformers, f"{names[kind]}Tokenizer").from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    types = {"return_token_type_ids": True} if kind == "albert" else {}
    pairs = tokenizer(list(FIRST), list(SECOND), padding=True, return_tensors="pt", **types)
    with torch.no_grad():
        vectors = model(**pairs).last_hidden_state.numpy()
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = classifier(**pairs).logits.numpy()
    return {
        "logits": logits.round(5).tolist(),
        "ids": [tokenizer(text)["input_ids"] for text in TEXTS],
        "pairs": pairs["input_ids"].tolist(),
        "vectors": vectors.round(5).tolist(),
    }


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("encoders")
    return {kind: write_text_folder(root / kind, kind, labels=LABELS) for kind in KINDS}


@pytest.fixture(scope="module")
def answers():
    return json.loads(ANSWERS.read_text())


def make_tokenizer(folder, length=40):
    return dataclasses.replace(make_preset_tokenizer(read_vocabulary(str(folder))), length=length)


def exchange_padding(ids, pad_id):
    """The ids of Hugging Face for those of the zoo, whose padding is 0, and the reverse."""
    return np.where(ids == 0, pad_id, np.where(ids == pad_id, 0, ids))


@pytest.mark.parametrize("kind", KINDS)
def test_token_ids_are_those_of_hugging_face(folders, answers, kind):
    encode, _ = make_encoder(make_tokenizer(folders[kind]))
    pad_id = read_vocabulary(str(folders[kind])).pad_id
    for text, row, expected in zip(
        TEXTS, encode(tf.constant(TEXTS)).numpy(), answers[kind]["ids"], strict=True
    ):
        ids = exchange_padding(row[row > 0], pad_id).tolist()
        assert (ids == expected) == (text not in DIFFERENT.get(kind, ())), text
    pairs = encode(tf.constant(FIRST), tf.constant(SECOND)).numpy()
    assert exchange_padding(pairs, pad_id).tolist() == answers[kind]["pairs"]


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_hugging_face(folders, answers, kind):
    preset = load_preset(str(folders[kind]))
    ids = exchange_padding(
        np.array(answers[kind]["pairs"]), read_vocabulary(str(folders[kind])).pad_id
    )
    mask = (ids > 0).astype("int32")
    inputs = {"token_ids": ids, "padding_mask": mask}
    is_separator = (ids == preset.separator_id).astype("int32")
    segments = (np.cumsum(is_separator, axis=1) - is_separator > 0) * mask
    if "segment_ids" in preset.encoder.input:
        inputs["segment_ids"] = segments
    vectors = np.asarray(preset.encoder(inputs))
    expected = np.array(answers[kind]["vectors"])
    np.testing.assert_allclose(vectors[mask > 0], expected[mask > 0], atol=1e-4)
    # and so are those that the model averages
    model = zoo.get("text_encoder", preset=str(folders[kind]), input_shape=(20,), dropout=0.0)
    mean = (expected * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    kernel, bias = model.get_layer("head").get_weights()
    logits = np.asarray(model({"tokens": ids})["logits"])
    np.testing.assert_allclose(logits, mean @ kernel + bias, atol=2e-4)


@pytest.mark.parametrize("kind", ["albert", "distilbert", "roberta"])
def test_a_classifier_with_its_own_head(folders, answers, kind):
    predictor = load_preset_classifier(str(folders[kind]), reads_pairs=True)
    assert predictor.spec.class_names == LABELS
    (note,) = predictor.record["notes"]
    assert note.startswith("texts of more than ") and note.endswith("lose their end")
    outputs = predictor(list(zip(FIRST, SECOND, strict=True)))
    np.testing.assert_allclose(outputs["logits"], answers[kind]["logits"], atol=1e-4)


def test_a_regression_with_its_own_head(tmp_path):
    folder = write_text_folder(tmp_path / "a", "roberta", labels=("LABEL_0",))
    predictor = load_preset_classifier(str(folder))
    assert predictor.spec.class_names is None
    found = predictor(FIRST)["prediction"]
    (kernel, bias), model = load_head(str(folder)).last, predictor.model
    encode, _ = make_encoder(predictor.spec.tokenizer)
    features = expose_features(model)({"tokens": encode(tf.constant(FIRST))})["features"]
    np.testing.assert_allclose(found, (features @ kernel + bias)[:, 0], atol=1e-5)


def test_a_head_of_several_labels_has_the_same_logits(folders, answers, tmp_path):
    folder = shutil.copytree(folders["distilbert"], tmp_path / "a")
    config = json.loads((folder / "config.json").read_text())
    config["problem_type"] = "multi_label_classification"
    (folder / "config.json").write_text(json.dumps(config))
    predictor = load_preset_classifier(str(folder), reads_pairs=True)
    assert predictor.spec.task == "multilabel" and predictor.spec.class_names == LABELS
    outputs = predictor(list(zip(FIRST, SECOND, strict=True)))
    logits = np.array(answers["distilbert"]["logits"])
    np.testing.assert_allclose(outputs["scores"], 1 / (1 + np.exp(-logits)), atol=1e-4)
    np.testing.assert_array_equal(outputs["is_selected"], logits > 0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"architectures": ["RobertaForMaskedLM"]}, "no classifier (RobertaForMaskedLM)"),
        ({"problem_type": "regression"}, "one of 'regression' with 3 outputs"),
        ({"id2label": {"0": "no"}}, "id2label has 1 names, but the head has 3 classes"),
    ],
)
def test_other_heads_are_refused(folders, tmp_path, changes, problem):
    folder = shutil.copytree(folders["roberta"], tmp_path / "a")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(UserError) as caught:
        load_preset_classifier(str(folder))
    assert problem in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_of_the_installed_transformers_are_the_stored_ones(folders, answers, kind):
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    assert compute_answers(folders[kind], kind) == answers[kind]


@pytest.mark.parametrize("kind", ["distilbert", "roberta", "albert"])
def test_weights_without_the_prefix_of_a_head(folders, tmp_path, kind):
    bare = write_text_folder(tmp_path / kind, kind, prefix=False)
    for one, other in zip(
        load_preset(str(folders[kind])).encoder.weights,
        load_preset(str(bare)).encoder.weights,
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def refusal(folder, name="text_encoder"):
    with pytest.raises(UserError) as caught:
        zoo.get(name, preset=str(folder))
    message = str(caught.value)
    assert message.startswith(f"preset={str(folder)!r}: ") and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("kind", "missing", "problem"),
    [
        ("albert", "spiece.model", "has no spiece.model, the tokenizer of a albert"),
        ("distilbert", "vocab.txt", "has no vocab.txt, the tokenizer of a distilbert"),
        ("roberta", "merges.txt", "has no vocab.json and merges.txt, the tokenizer of a roberta"),
        ("xlm-roberta", "sentencepiece.bpe.model", "has no sentencepiece.bpe.model"),
        ("roberta", "model.safetensors", "has no model.safetensors. Expected"),
        ("roberta", "config.json", "has no config.json. Expected"),
    ],
)
def test_a_missing_file_is_named(folders, tmp_path, kind, missing, problem):
    folder = shutil.copytree(folders[kind], tmp_path / "a")
    (folder / missing).unlink()
    assert problem in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"model_type": "electra"},
            "describes a 'electra' model, but of Hugging Face only albert, bert, distilbert, "
            "roberta, xlm-roberta can be read",
        ),
        ({"hidden_act": "relu"}, "hidden_act='relu'"),
        ({"hidden_size": 12}, "KerasHub cannot load a text encoder from this folder"),
    ],
)
def test_other_encoders_are_refused(folders, tmp_path, changes, problem):
    folder = shutil.copytree(folders["roberta"], tmp_path / "a")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    assert problem in refusal(folder)


def test_a_vocabulary_that_does_not_fit_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders["roberta"], tmp_path / "a")
    vocabulary = json.loads((folder / "vocab.json").read_text())
    longer = vocabulary | {"new": len(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(longer))
    assert "277 tokens, but its weights have embeddings for 276" in refusal(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"the": 500}))
    assert "no vocabulary with ids from 0 on" in refusal(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("x y\n")
    assert "lacks a token of the merge 'x y'" in refusal(folder)


def test_a_download_from_hugging_face_is_refused():
    assert "download config.json, model.safetensors and" in refusal("hf://roberta-base")


def test_bert_reads_no_other_encoder(folders):
    assert "use --model=text_encoder" in refusal(folders["roberta"], "bert")


def test_byte_pairs_in_tokenizer_json(folders, tmp_path):
    folder = shutil.copytree(folders["roberta"], tmp_path / "a")
    expected = read_vocabulary(str(folder))
    content = {
        "model": {
            "type": "BPE",
            "vocab": json.loads((folder / "vocab.json").read_text()),
            "merges": [merge.split(" ") for merge in expected.merges],
        },
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))
    (folder / "vocab.json").unlink()
    assert read_vocabulary(str(folder)) == expected
    content["pre_tokenizer"] = {"type": "Whitespace"}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert "other words than those of RoBERTa" in refusal(folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as root:
        made = {x: write_text_folder(Path(root, x), x, labels=LABELS) for x in KINDS}
        stored = {kind: compute_answers(folder, kind) for kind, folder in made.items()}
    ANSWERS.write_text(json.dumps(stored, separators=(",", ":")) + "\n")
