"""The model text_encoder: presets of KerasHub, and a training from flags to served answers."""

import dataclasses
import io
import shutil

import keras
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from support.text_folders import write_text_folder

import zoo
from zoo.attributions.tokens import join_tokens, read_tokens
from zoo.data.config import DataConfig
from zoo.data.spec import Spec
from zoo.data.splits import Arrays
from zoo.data.texts.text_encoding import make_encoder
from zoo.data.texts.tokenizer_choice import make_tokenizer
from zoo.data.texts.tokenizer_settings import divide_into_windows
from zoo.data.texts.tokenizers import make_preset_tokenizer, read_tokenizer, save_tokenizer
from zoo.errors import UserError
from zoo.exporting.saved_model import export_model
from zoo.models.presets.text_preset import load_preset, read_vocabulary
from zoo.registry import find_entry
from zoo.training.building import build_model

SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "good", "bad", "##s"]


def train_pieces(**options):
    """A model of SentencePiece that knows the words below."""
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the film", "good films", "bad"] * 9),
        model_writer=file,
        vocab_size=20,
        model_type="WORD",
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return file.getvalue()


def save_electra(folder):
    import keras_hub

    keras_hub.models.ElectraBackbone(
        vocab_size=10, embedding_dim=4, max_sequence_length=32, **SIZES
    ).save_to_preset(folder)
    keras_hub.models.ElectraTokenizer(vocabulary=WORDS, lowercase=True).save_to_preset(folder)


def save_deberta(folder):
    import keras_hub

    pieces = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}
    model = train_pieces(pad_id=0, bos_id=1, eos_id=2, unk_id=3, unk_piece="[UNK]", **pieces)
    keras_hub.models.DebertaV3Backbone(
        vocabulary_size=20, max_sequence_length=32, bucket_size=8, **SIZES
    ).save_to_preset(folder)
    keras_hub.models.DebertaV3Tokenizer(model).save_to_preset(folder)


def save_roberta(folder):
    import keras_hub

    tokens = ["<s>", "<pad>", "</s>", "<mask>", *"abdefghilmost", "Ġ", "th", "the", "Ġg"]
    keras_hub.models.RobertaBackbone(
        vocabulary_size=len(tokens), max_sequence_length=32, **SIZES
    ).save_to_preset(folder)
    keras_hub.models.RobertaTokenizer(
        {token: i for i, token in enumerate(tokens)}, ["t h", "th e", "Ġ g"]
    ).save_to_preset(folder)


@pytest.mark.parametrize("save", [save_electra, save_deberta, save_roberta])
def test_presets_of_keras_hub(save, tmp_path):
    import keras_hub

    keras.utils.set_random_seed(0)
    folder = str(tmp_path / "preset")
    save(folder)
    backbone = keras_hub.models.Backbone.from_preset(folder)
    own_tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(folder)
    vocabulary = read_vocabulary(folder)
    tokenizer = make_preset_tokenizer(vocabulary)
    encode, _ = make_encoder(dataclasses.replace(tokenizer, length=16))
    ids = encode(tf.constant(["the film good", "bad"])).numpy()
    own_ids = np.where(ids == 0, vocabulary.pad_id, np.where(ids == vocabulary.pad_id, 0, ids))
    framed = own_ids[0][ids[0] > 0]
    assert framed[1:-1].tolist() == np.asarray(own_tokenizer("the film good")).tolist()
    mask = (ids > 0).astype("int32")
    inputs = {"token_ids": own_ids, "padding_mask": mask, "segment_ids": mask * 0}
    expected = backbone({name: inputs[name] for name in backbone.input})
    expected = expected["sequence_output"] if isinstance(expected, dict) else expected
    model = zoo.get("text_encoder", preset=folder, input_shape=(16,), dropout=0.0)
    features = keras.Model(model.input, model.get_layer("head").input)
    vectors = np.asarray(expected) * mask[..., None]
    mean = vectors.sum(1) / mask.sum(1, keepdims=True)
    np.testing.assert_allclose(features({"tokens": ids}), mean, atol=1e-5)


def test_the_first_token_has_the_pooler_of_the_preset_or_a_new_one(tmp_path):
    albert = write_text_folder(tmp_path / "albert", "albert")
    model = zoo.get("text_encoder", preset=str(albert), input_shape=(16,), pooling="first")
    kernel, bias = load_preset(str(albert)).pooler
    np.testing.assert_array_equal(model.get_layer("pooler").kernel, kernel)
    np.testing.assert_array_equal(model.get_layer("pooler").bias, bias)
    roberta = write_text_folder(tmp_path / "roberta", "roberta")
    assert load_preset(str(roberta)).pooler is None
    model = zoo.get("text_encoder", preset=str(roberta), input_shape=(16,), pooling="first")
    assert model.get_layer("pooler").kernel.shape == (8, 8)
    with pytest.raises(UserError, match="positions for 38 tokens: use --length=38"):
        zoo.get("text_encoder", preset=str(roberta), input_shape=(39,))


def test_a_preset_of_images_is_refused(image_preset):
    with pytest.raises(UserError, match="KerasHub cannot load a text encoder from this folder"):
        zoo.get("text_encoder", preset=image_preset)


def test_served_answers_are_those_of_the_model(tmp_path):
    folder = str(write_text_folder(tmp_path / "preset", "albert"))
    model = zoo.get("text_encoder", preset=folder, input_shape=(16,))
    tokenizer = make_preset_tokenizer(read_vocabulary(folder))
    tokenizer = dataclasses.replace(tokenizer, length=16)
    spec = Spec("text_pair", (16,), class_names=("bad", "good"), tokenizer=tokenizer)
    version = export_model(model, tmp_path / "served", spec=spec)
    assert read_tokenizer(version / "assets.extra" / "tokenizer.json") == tokenizer
    first, second = tf.constant(["the film 한국", "Ä\x00"]), tf.constant(["good 😀", ""])
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    answers = served(text_a=first, text_b=second)
    encode, _ = make_encoder(tokenizer)
    ids = encode(first, second)
    logits = model({"tokens": ids})["logits"]
    np.testing.assert_allclose(answers["logits"], logits, rtol=1e-5, atol=1e-5)
    # an explanation has whole words
    shown = [x.decode() for x in read_tokens(ids, [first, second], tokenizer)[0].numpy() if x]
    words, sums = join_tokens(shown, np.ones(len(shown), "float32"))
    assert words[:3] == ("[CLS]", "the", "film") and words[4] == words[-1] == "[SEP]"
    assert sums.sum() == len(shown)


def test_the_file_of_a_run_takes_the_place_of_its_preset(tmp_path):
    folder = str(write_text_folder(tmp_path / "preset", "roberta"))
    model = zoo.get("text_encoder", preset=folder, input_shape=(16,))
    model.save(tmp_path / "last.keras")
    tokenizer = make_preset_tokenizer(read_vocabulary(folder))
    save_tokenizer(Spec("text", (16,), None, tokenizer=tokenizer), tmp_path)
    shutil.rmtree(folder)
    other = zoo.get("text_encoder", preset=str(tmp_path / "last.keras"), input_shape=(16,))
    assert [w.path for w in other.weights] == [w.path for w in model.weights]
    assert load_preset(str(tmp_path / "last.keras")).positions == 38
    with pytest.raises(UserError, match="positions for 38 tokens"):
        zoo.get("text_encoder", preset=str(tmp_path / "last.keras"), input_shape=(39,))


def test_another_tokenizer_than_that_of_the_preset_is_refused(tmp_path):
    config = DataConfig(
        name="x",
        tokenizer="wordpiece",
        preset=str(write_text_folder(tmp_path / "preset", "roberta")),
    )
    texts = Arrays(np.array(["the film"], object), np.array([0]))
    with pytest.raises(UserError, match="has byte_pair tokens, which its embeddings belong to"):
        make_tokenizer(texts, texts, config)
    tokenizer, _ = make_tokenizer(texts, texts, dataclasses.replace(config, tokenizer="subword"))
    assert (tokenizer.kind, tokenizer.length) == ("byte_pair", 8)


def test_byte_pairs_within_a_graph(tmp_path):
    folder = str(write_text_folder(tmp_path / "preset", "roberta"))
    tokenizer = make_preset_tokenizer(read_vocabulary(folder))
    encode, tables = make_encoder(dataclasses.replace(tokenizer, length=16))
    module = tf.Module()
    module.tables = tables
    signature = [tf.TensorSpec((None,), tf.string)]
    module.encode = tf.function(encode, input_signature=signature, autograph=False)
    tf.saved_model.save(module, str(tmp_path / "saved"))
    texts = tf.constant(["the film 한국", "Ä\x00"])
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_array_equal(saved.encode(texts), encode(texts))
    # an explanation has whole words
    ids = encode(texts)
    shown = [x.decode() for x in read_tokens(ids, [texts], tokenizer)[0].numpy() if x]
    words, sums = join_tokens(shown, np.ones(len(shown), "float32"))
    assert words[:3] == ("<s>", "the", "film") and words[4:] == ("</s>",)
    assert sums.sum() == len(shown)


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_logits_of_windows_are_averaged(pooling, tmp_path):
    folder = str(write_text_folder(tmp_path / "preset", "albert"))
    tokenizer = make_preset_tokenizer(read_vocabulary(folder))
    divided = divide_into_windows(tokenizer, 8, 30)
    spec = Spec("text", (divided.length,), class_names=("bad", "good"), tokenizer=divided)
    options = {"preset": folder, "pooling": pooling, "dropout": 0.0}
    keras.utils.set_random_seed(0)
    model = build_model(find_entry("text_encoder"), spec, options)
    whole = zoo.get("text_encoder", input_shape=(8,), **options)
    whole.set_weights(model.get_weights())
    texts = ["the film was good bad the film the", "the film was good bad the", "", "bad"]
    with pytest.raises(UserError, match="lstm does not read texts in windows"):
        build_model(find_entry("lstm"), spec, {})
    logits = model({"tokens": make_encoder(divided)[0](tf.constant(texts))})["logits"].numpy()
    encode, _ = make_encoder(dataclasses.replace(tokenizer, length=8))
    pieces = encode(tf.constant(["the film was good bad the", "film the", *texts[1:]]))
    single = whole({"tokens": pieces})["logits"].numpy()
    assert np.abs(single[0] - single[1]).max() > 1e-4
    expected = [single[:2].mean(0), *single[2:]]
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    record = {"model": "text_encoder", "hyperparameters": options}
    version = export_model(model, tmp_path / "served", spec=spec, record=record)
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    np.testing.assert_allclose(served(text=tf.constant(texts))["logits"], expected, atol=1e-5)
    # as a source, it keeps its windows
    again = zoo.get("text_encoder", weights=tmp_path / "served")
    ids = make_encoder(divided)[0](tf.constant(texts))
    np.testing.assert_allclose(again({"tokens": ids})["logits"], expected, atol=1e-5)
