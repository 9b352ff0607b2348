"""Folders of pretrained BERTs: whole, without a part, or of another encoder."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file
from support.bert_folder import RESERVED, TOKENS, write_bert_folder

import zoo
from zoo.data.texts.text_encoding import make_encoder
from zoo.data.texts.tokenizers import make_preset_tokenizer
from zoo.errors import UserError
from zoo.models.presets.bert_preset import load_bert
from zoo.models.presets.text_preset import read_vocabulary

IDS = np.array([[2, 6, 7, 3, 0]])
INPUTS = {"token_ids": IDS, "segment_ids": IDS * 0, "padding_mask": np.minimum(IDS, 1)}
BACKBONE = {"class_name": "RobertaBackbone", "registered_name": "keras_hub>RobertaBackbone"}


def refusal(function, *arguments, **options):
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert message.startswith("preset='") and "\n" not in message
    return message


def describe(folder):
    vocabulary = read_vocabulary(str(folder))
    return vocabulary.lowercase, vocabulary.strip_accents, vocabulary.split_chinese


def test_three_files_are_enough(tmp_path):
    folder = write_bert_folder(tmp_path / "lower")
    vocabulary = read_vocabulary(str(folder))
    assert vocabulary.tokens == TOKENS and vocabulary.lowercase
    assert vocabulary.note.endswith(
        "texts are lowercased, since the vocabulary has no capital letters"
    )
    folder = write_bert_folder(tmp_path / "cased", tokens=(*TOKENS, "Film"))
    vocabulary = read_vocabulary(str(folder))
    assert not vocabulary.lowercase
    assert vocabulary.note.endswith("texts are kept as they are, since the vocabulary has 'Film'")
    model = zoo.get("bert", preset=str(folder), input_shape=(8,))
    assert model({"tokens": IDS})["logits"].shape == (1, 2)


def test_settings_are_those_of_the_tokenizer_config(tmp_path):
    full = {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}
    folder = write_bert_folder(tmp_path / "a", tokenizer_config=full)
    assert describe(folder) == (False, True, False)
    folder = write_bert_folder(tmp_path / "b", tokenizer_config={"do_lower_case": True})
    assert describe(folder) == (True, None, True) and not read_vocabulary(str(folder)).note
    tokenizer = make_preset_tokenizer(read_vocabulary(str(folder)))
    encode, _ = make_encoder(tokenizer.__class__(**vars(tokenizer) | {"length": 9}))
    (ids,) = encode(tf.constant(["Groß\u00a0gòod"])).numpy()
    assert [TOKENS[i] for i in ids] == ["[CLS]", "gro", "##ß", "good", "[SEP]"]


def test_tokenizer_json_takes_the_place_of_vocab_txt(tmp_path):
    folder = write_bert_folder(tmp_path / "a")
    (folder / "vocab.txt").unlink()
    content = {
        "model": {"type": "WordPiece", "vocab": {x: i for i, x in enumerate(TOKENS)}},
        "normalizer": {"lowercase": False, "strip_accents": None, "handle_chinese_chars": True},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert read_vocabulary(str(folder)).tokens == TOKENS
    assert describe(folder) == (False, None, True)
    content["model"] = {"type": "Unigram"}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    message = refusal(read_vocabulary, str(folder))
    assert "no vocab.txt, the tokenizer of a bert, and tokenizer.json has none" in message
    (folder / "tokenizer.json").unlink()
    assert "the folder has no vocab.txt" in refusal(read_vocabulary, str(folder))


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_a_pooler_is_needed_for_the_first_token_alone(tmp_path, prefix):
    whole = write_bert_folder(tmp_path / "whole", prefix=prefix)
    lacks = write_bert_folder(tmp_path / "lacks", prefix=prefix, pooler=False)
    weights = load_file(whole / "model.safetensors")
    kept = {name: array for name, array in weights.items() if "pooler" not in name}
    save_file(kept, lacks / "model.safetensors", metadata={"format": "pt"})
    outputs = [load_bert(str(path), needs_pooler=False)[0](INPUTS) for path in (whole, lacks)]
    np.testing.assert_array_equal(outputs[0]["sequence_output"], outputs[1]["sequence_output"])
    assert np.abs(outputs[0]["pooled_output"]).max() > 0
    message = refusal(load_bert, str(lacks), needs_pooler=True)
    assert "no pooler" in message and "--hparam=pooling=mean" in message


def test_weights_in_several_files(tmp_path):
    folder = write_bert_folder(tmp_path / "a", pooler=False)
    expected = load_bert(str(folder), needs_pooler=False)[0](INPUTS)["sequence_output"]
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    for part, chosen in enumerate((names[:5], names[5:])):
        save_file({name: weights[name] for name in chosen}, folder / f"part{part}.safetensors")
    weight_map = {name: f"part{int(name in names[5:])}.safetensors" for name in names}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    (folder / "model.safetensors").unlink()
    output = load_bert(str(folder), needs_pooler=False)[0](INPUTS)["sequence_output"]
    np.testing.assert_array_equal(output, expected)


def test_a_vocabulary_shorter_than_the_embeddings_is_padded_and_a_longer_one_refused(tmp_path):
    padded = write_bert_folder(tmp_path / "padded", embeddings=64)
    load_bert(str(padded), needs_pooler=True)
    short = write_bert_folder(tmp_path / "short", embeddings=30)
    message = refusal(load_bert, str(short), needs_pooler=True)
    assert f"{len(TOKENS)} tokens, but its weights have embeddings for 30" in message


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"config": {"model_type": "distilbert"}}, "--model=text_encoder"),
        ({"config": {"model_type": None} | BACKBONE}, "describes a 'RobertaBackbone' model"),
        ({"config": {"hidden_act": "relu"}}, "hidden_act='relu'"),
        ({"config": {"position_embedding_type": "relative_key"}}, "'relative_key'"),
        ({"config": {"hidden_size": 12}}, "KerasHub cannot load a BERT from this folder"),
        ({"tokens": TOKENS[1:]}, "its vocabulary has no [PAD]"),
        ({"tokens": ("a", *RESERVED)}, "[PAD] at id 1; expected id 0"),
        ({"tokens": (*RESERVED, "a", "b", "a")}, "the token 'a' twice"),
        (
            {"tokenizer_config": {"tokenizer_class": "BertJapaneseTokenizer"}},
            "BertJapaneseTokenizer",
        ),
        ({"tokenizer_config": {"do_lower_case": "yes"}}, "lowercase='yes': expected true or false"),
    ],
)
def test_other_folders_are_refused_in_one_line(tmp_path, changes, problem):
    folder = write_bert_folder(tmp_path / "a", **changes)
    assert problem in refusal(zoo.get, "bert", preset=str(folder))


@pytest.mark.parametrize(
    ("missing", "others", "problem"),
    [
        ("config.json", [], "the folder has no config.json"),
        ("vocab.txt", [], "the folder has no vocab.txt"),
        ("model.safetensors", [], "the folder has no model.safetensors. Expected"),
        (
            "model.safetensors",
            ["pytorch_model.bin"],
            "no model.safetensors, only pytorch_model.bin",
        ),
        ("model.safetensors", ["tf_model.h5"], "no model.safetensors, only tf_model.h5"),
    ],
)
def test_missing_files_are_named(tmp_path, missing, others, problem):
    folder = write_bert_folder(tmp_path / "a")
    (folder / missing).unlink()
    for name in others:
        (folder / name).touch()
    assert problem in refusal(zoo.get, "bert", preset=str(folder))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_damaged_files_are_refused_in_one_line(tmp_path, name):
    folder = write_bert_folder(tmp_path / "a")
    (folder / name).write_bytes((folder / name).read_bytes()[:40] + b"\xff")
    refusal(zoo.get, "bert", preset=str(folder))


def test_the_sizes_of_a_run_are_those_of_its_file(tmp_path):
    folder = write_bert_folder(tmp_path / "a")
    model = zoo.get("bert", preset=str(folder), input_shape=(8,))
    model.save(tmp_path / "last.keras")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"vocabulary": TOKENS}))
    other = zoo.get("bert", preset=str(tmp_path / "last.keras"), input_shape=(8,), pooling="first")
    shapes = {w.path: w.shape for w in model.get_layer("encoder").weights}
    others = {w.path: w.shape for w in other.get_layer("encoder").weights}
    assert shapes.items() <= others.items() and len(others) == len(shapes) + 2
    assert isinstance(other, keras.Model)
