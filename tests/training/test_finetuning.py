"""Weights that are taken over, and what of a model is trained."""

import dataclasses
import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from support.blobs import blobs, dataset, trained
from support.small_models import SMALL, build_small

import zoo
from zoo.data.spec import Spec
from zoo.data.splits import Arrays
from zoo.data.texts.text_encoding import make_encoder
from zoo.data.texts.tokenizers import make_preset_tokenizer
from zoo.errors import UserError
from zoo.exporting.loading import open_source
from zoo.layers.weights import weighted_layers
from zoo.models.presets.text_preset import read_vocabulary
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training import loop
from zoo.training.building import build_model
from zoo.training.finetuning import (
    count_parameters,
    describe_random_weights,
    freeze_layers,
    learning_rate_multipliers,
)
from zoo.training.layer_statistics import adapt_normalization
from zoo.training.optimizers import make_optimizer
from zoo.training.source import Source, check_source, inherit_settings
from zoo.training.transfer import format_transfers, load_matching_weights


def weights_of(model):
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}


def inputs_of(model, count=16):
    random = np.random.default_rng(0)
    if "tokens" in model.input:
        return {"tokens": random.integers(1, 30, (count, 7), "int32")}
    if "features" in model.input:
        return {"features": random.normal(size=(count, *model.input["features"].shape[1:]))}
    return {"image": random.integers(0, 256, (count, 28, 28, 1), "uint8")}


def fitted(model, recipe, epochs=1, count=16):
    """The model after `epochs` steps on 16 examples, and its weights before."""
    freeze_layers(model, recipe)
    before = weights_of(model)
    optimizer = make_optimizer(recipe, epochs, learning_rate_multipliers(model, recipe))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # eagerly, since a graph takes longer than a few steps
    model.compile(optimizer, {"logits": loss}, run_eagerly=True)
    labels = {"logits": np.arange(count) % 3}
    model.fit(inputs_of(model, count), labels, epochs=epochs, batch_size=count, verbose=0)
    return before


def moved(model, before):
    """Names of the blocks whose weights are no longer what they were."""
    after = weights_of(model)
    return {
        block.name
        for block in weighted_layers(model)
        if any((after[w.path] != before[w.path]).any() for w in block.weights)
    }


def test_every_model_is_here():
    assert sorted([*SMALL, "perceptron"]) == zoo.list_models()


# of nbsvm all weights are of classes, so that it has nothing to copy for others
@pytest.mark.parametrize("name", [n for n in SMALL if n != "nbsvm"])
def test_weights_are_taken_over_and_a_head_of_another_size_is_new(name, tmp_path):
    source = build_small(name, num_classes=4)
    source.save(tmp_path / "source.keras")
    same = build_small(name, num_classes=4, weights=tmp_path / "source.keras")
    for path, weight in weights_of(same).items():
        np.testing.assert_array_equal(weight, weights_of(source)[path], err_msg=path)
    model = build_small(name, num_classes=3)
    head = weights_of(model)["head/kernel"]
    table = load_matching_weights(model, open_source(tmp_path / "source.keras"))
    assert [t.name for t in table if t.reason] == ["head"]
    assert sum(t.parameters for t in table) == model.count_params()
    after = weights_of(model)
    np.testing.assert_array_equal(after["head/kernel"], head)
    for path, weight in weights_of(source).items():
        if not path.startswith("head/"):
            np.testing.assert_array_equal(weight, after[path], err_msg=path)
    shown = format_transfers(table)
    assert len(shown) == len(table) and "new: " in shown[-1] and "4 in the source" in shown[-1]
    assert all("copied" in line for line in shown[:-1])


def test_a_run_an_export_and_a_file_will_do(train, iris_csv, request):
    flags = [f"--dataset=csv:{iris_csv}", "--label=species", "--epochs=1", "--nojit_compile"]
    hparam = "--hparam=hidden=8,6"
    assert train("--model=mlp", *flags, hparam, "--run_dir=first")[0] == 0
    first = weights_of(zoo.load("first"))
    shape = {"input_shape": (4,), "num_classes": 3}
    for path in ("first", "first/best.keras", "saved_models/mlp", "saved_models/mlp/1"):
        model = zoo.get("mlp", weights=path, hidden=(8, 6), **shape)
        assert all((w == first[p]).all() for p, w in weights_of(model).items())
    # the hyperparameters come with a run or an export
    assert zoo.get("mlp", weights="first", **shape).count_params() == model.count_params()
    request.getfixturevalue("without_export")
    code, out, err = train("--model=mlp", *flags, "--weights=first", "--trainable=head")
    assert code == 0, err
    assert "weights from first:" in out and out.count("copied") == 3
    record = json.loads(Path("runs/mlp-iris/metrics.json").read_text())
    assert record["hyperparameters"]["hidden"] == [8, 6]
    assert record["trainable_parameters"] == 6 * 3 + 3
    total = record["trainable_parameters"] + record["frozen_parameters"]
    assert total == record["parameters"] == model.count_params()
    after = weights_of(zoo.load("runs/mlp-iris"))
    assert {p for p, w in after.items() if (w != first[p]).any()} == {"head/kernel", "head/bias"}


@pytest.mark.usefixtures("without_export")
def test_texts_go_on_with_the_vocabulary_of_their_weights(train, tmp_path):
    rows = "".join(f"{'good film' if i % 2 else 'bad play'} {i},{i % 2}\n" for i in range(60))
    (tmp_path / "one.csv").write_text("review,stars\n" + rows)
    (tmp_path / "two.csv").write_text("review,stars\n" + rows.replace("film", "novel"))
    flags = ["--model=fasttext", "--text=review", "--label=stars", "--epochs=1"]
    flags += ["--nojit_compile", "--hparam=buckets=9"]
    assert train(*flags, "--dataset=csv:one.csv", "--run_dir=one")[0] == 0
    code, out, err = train(*flags[:-1], "--dataset=csv:two.csv", "--weights=one", "--run_dir=two")
    assert code == 0, err
    assert "new:" not in out
    first, second = (
        json.loads((tmp_path / r / "tokenizer.json").read_text()) for r in ("one", "two")
    )
    assert first == second and "film" in first["vocabulary"] and "novel" not in first["vocabulary"]
    model = zoo.get("fasttext", weights="one")
    assert model.count_params() == zoo.load("one").count_params()


def source_of(model, **spec):
    """A model as the source of weights, with the record of a run on such data."""
    fields = {"kind": "features", "shape": (4,), "class_names": None, "feature_names": ()}
    record = {"model": "mlp", "hyperparameters": {}, "spec": fields | spec} if spec else {}
    return Source(Path("run"), lambda: model, record, None)


def mlp(classes, seed):
    keras.utils.set_random_seed(seed)
    return zoo.get("mlp", input_shape=(4,), num_classes=classes, hidden=(5,))


@pytest.mark.parametrize(
    ("names", "source_names", "columns", "shown"),
    [
        ("abc", "abc", {0: 0, 1: 1, 2: 2}, "copied"),
        ("abc", "cab", {0: 1, 1: 2, 2: 0}, "copied"),
        ("ab", "cab", {0: 1, 1: 2}, "copied"),
        ("abcd", "cab", {0: 1, 1: 2, 2: 0}, "new: for d; copied for a, b, c"),
        ("xbz", "abc", {1: 1}, "new: for x, z; copied for b"),
        ("xyz", "abc", {}, "new: for x, y, z, a, b, c in the source"),
    ],
)
def test_the_head_is_copied_by_the_names_of_the_classes(names, source_names, columns, shown):
    source, model = mlp(len(source_names), 0), mlp(len(names), 1)
    theirs, before = source.get_layer("head").get_weights(), model.get_layer("head").get_weights()
    spec = dataset(spec=dataclasses.replace(dataset().spec, class_names=tuple(names))).spec
    table = load_matching_weights(model, source_of(source, class_names=tuple(source_names)), spec)
    assert format_transfers(table)[-1].endswith(shown)
    for kernel, old, their in zip(
        model.get_layer("head").get_weights(), before, theirs, strict=True
    ):
        for column in range(len(names)):
            is_known = column in columns
            expected = their[..., columns[column]] if is_known else old[..., column]
            np.testing.assert_array_equal(kernel[..., column], expected)
    np.testing.assert_array_equal(
        model.get_layer("dense_1").get_weights()[0], source.get_layer("dense_1").get_weights()[0]
    )


def test_a_file_without_names_is_copied_by_position_and_says_so():
    table = load_matching_weights(mlp(3, 1), source_of(mlp(3, 0)), dataset().spec)
    notes = {transfer.name: transfer.note for transfer in table if transfer.note}
    assert notes == {
        "normalization": "by position: the source has no column names",
        "head": "by position: the source has no class names",
    }


def test_the_unit_of_the_target_is_that_of_the_new_data():
    """A head that was trained for targets about 100,000 serves targets about 3."""
    targets = np.random.default_rng(0).normal(3, 2, (300, 1)).astype("float32")
    spec = dataclasses.replace(dataset().spec, class_names=None)
    data = dataset(train=Arrays(blobs().x, targets), spec=spec)
    source, model = mlp(None, 0), mlp(None, 1)
    source.get_layer("denormalization").adapt(targets * 1000 + 100_000)
    table = load_matching_weights(model, source_of(source, class_names=None), spec)
    assert [t.name for t in table if t.reason] == ["denormalization"]
    adapt_normalization(model, data, {t.name for t in table if not t.reason})
    layer = model.get_layer("denormalization")
    assert np.ravel(layer.mean) == pytest.approx(targets.mean(), rel=1e-5)
    assert np.ravel(layer.variance) == pytest.approx(targets.var(), rel=1e-5)
    np.testing.assert_array_equal(
        model.get_layer("head").get_weights()[0], source.get_layer("head").get_weights()[0]
    )


def test_columns_of_other_names_or_another_order_are_refused():
    classes = {"class_names": ("a", "b", "c")}
    check_source(source_of(None, feature_names=tuple("wxyz"), **classes), dataset())
    for names in ("wxzy", "wxy", "abcd"):
        source = source_of(None, feature_names=tuple(names), **classes)
        with pytest.raises(UserError, match=f"its columns are {', '.join(names)}, but blobs has w"):
            check_source(source, dataset())


def test_a_file_alone_for_texts_is_refused():
    texts = dataset(spec=Spec("text", (8,), ("a", "b", "c")))
    with pytest.raises(UserError, match=r"no tokenizer\.json next to it.*pass a run or an export"):
        check_source(source_of(zoo.get("fasttext", **SMALL["fasttext"])), texts)
    # images have no words: that no weights fit is told instead
    check_source(source_of(mlp(3, 0)), texts)


def test_two_origins_of_the_weights_are_refused():
    with pytest.raises(UserError, match=r"weights=run and preset='x': .*omit one of them"):
        inherit_settings(source_of(None), find_entry("bert"), {"preset": "x"})


def test_frozen_layers_that_were_never_trained_are_told():
    for settings in ({"lora_rank": 2}, {"trainable": "head"}):
        (name,) = settings
        message = describe_random_weights(Recipe(**settings), None, {})
        assert name in message and "pass --weights" in message
        assert not describe_random_weights(Recipe(**settings), "run", {})
        assert not describe_random_weights(Recipe(**settings), None, {"preset": "x"})
    assert not describe_random_weights(Recipe(), None, {})


def test_nothing_that_fits_is_an_error(tmp_path):
    zoo.get("mlp").save(tmp_path / "mlp.keras")
    with pytest.raises(UserError, match="no weights fit cnn"):
        zoo.get("cnn", num_classes=3, weights=tmp_path / "mlp.keras")
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(UserError, match=r"not a \.keras file"):
        zoo.get("cnn", weights=tmp_path / "broken.keras")


def test_a_taken_over_normalisation_is_not_adapted_again(tmp_path):
    model, _ = trained(tmp_path, Recipe(epochs=1))
    other = dataset(train=dataclasses.replace(blobs(), x=blobs().x * 3 + 7))
    again = build_model(find_entry("mlp"), other.spec, {"dropout": 0.0})
    table = load_matching_weights(again, open_source(tmp_path))
    adapt_normalization(again, other, {t.name for t in table if not t.reason})
    x = {"features": blobs(seed=3).x}
    np.testing.assert_allclose(again(x)["logits"], model(x)["logits"], atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_only_the_head_is_trained(name):
    model = build_small(name, num_classes=3)
    before = fitted(model, Recipe(trainable="head", learning_rate=0.1))
    assert moved(model, before) == {"head"}
    kernel, bias = model.get_layer("head").weights
    trained_parameters = int(np.prod(kernel.shape)) + int(np.prod(bias.shape))
    assert count_parameters(model) == {
        "trainable_parameters": trained_parameters,
        "frozen_parameters": model.count_params() - trained_parameters,
    }


def test_patterns_name_layers():
    model = zoo.get("bert", vocabulary_size=30, num_classes=3)
    before = fitted(model, Recipe(trainable="transformer_layer_1,embeddings_*", learning_rate=0.1))
    assert moved(model, before) == {"transformer_layer_1", "embeddings_layer_norm", "head"}
    with pytest.raises(UserError, match="no layer 'layer_9': expected all, head, or patterns of"):
        freeze_layers(model, Recipe(trainable="layer_9"))


@pytest.mark.parametrize("name", [n for n in SMALL if n not in ("vgg11", "nbsvm")])
def test_lora_leaves_the_weights_and_learns(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = build_small(name, num_classes=3)
    x = inputs_of(model)
    start = keras.ops.convert_to_numpy(model(x)["logits"])
    recipe = Recipe(lora_rank=2, learning_rate=0.02)
    freeze_layers(model, recipe)
    np.testing.assert_allclose(model(x)["logits"], start, atol=1e-5)
    before = weights_of(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), {"logits": loss}, run_eagerly=True)
    # the second step moves what the first leaves, since LoRA's second factor starts as zeros
    model.fit(x, {"logits": np.arange(16) % 3}, epochs=2, verbose=0)
    after = weights_of(model)
    changed = {p for p, w in after.items() if (w != before[p]).any()}
    assert changed == {w.path for w in model.trainable_weights}
    assert all("lora" in p or p.startswith("head/") for p in changed)
    if name in ("bert", "transformer"):
        assert all("query" in p or "value" in p or p.startswith("head/") for p in changed)
    # saved, the changes are part of the weights
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(
        zoo.load(tmp_path / "m.keras")(x)["logits"], model(x)["logits"], atol=1e-4
    )


def test_lora_needs_a_layer():
    with pytest.raises(UserError, match="perceptron has no layer that supports LoRA"):
        freeze_layers(zoo.get("perceptron"), Recipe(lora_rank=2))
    with pytest.raises(UserError, match="cannot be combined with lora_rank=2"):
        Recipe(lora_rank=2, trainable="head")


def test_learning_rates_fall_with_depth():
    model = zoo.get("mlp", hidden=(4, 4), batch_norm=True)
    rates = learning_rate_multipliers(model, Recipe(layer_decay=0.5, learning_rate=0.1))
    assert rates["head/kernel"] == 1 and rates["dense_2/kernel"] == 0.5
    assert rates["norm_1/gamma"] == rates["dense_1/kernel"] == 0.25
    rates = learning_rate_multipliers(model, Recipe(head_learning_rate=0.3, learning_rate=0.1))
    assert rates["head/bias"] == pytest.approx(3) and rates["dense_1/kernel"] == 1
    assert learning_rate_multipliers(model, Recipe()) == {}
    bert = zoo.get("bert", vocabulary_size=30)
    rates = learning_rate_multipliers(bert, Recipe(layer_decay=0.5))
    (kernel,) = (p for p in rates if "transformer_layer_0" in p and "query/kernel" in p)
    assert rates[kernel] == 0.25


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "lion", "rmsprop"])
def test_the_steps_are_scaled(optimizer):
    """One step with half the rate is half a step."""

    def step(**settings):
        keras.utils.set_random_seed(0)
        model = zoo.get("cnn", num_classes=3, dropout=0.0, **SMALL["cnn"])
        recipe = Recipe(
            optimizer=optimizer, learning_rate=1e-3, schedule="constant", weight_decay=0, **settings
        )
        before = fitted(model, recipe)
        return {p: w - before[p] for p, w in weights_of(model).items()}

    plain, decayed = step(), step(layer_decay=0.5, head_learning_rate=3e-3)
    # cnn's blocks: conv_1, conv_2, dense, head
    for path, factor in (("head/kernel", 3), ("dense/kernel", 0.5), ("conv_1/kernel", 0.125)):
        np.testing.assert_allclose(decayed[path], plain[path] * factor, rtol=2e-3, atol=2e-7)


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_bert_starts_from_a_preset(bert_preset, pooling):
    import keras_hub

    backbone = keras_hub.models.BertBackbone.from_preset(bert_preset)
    model = zoo.get("bert", preset=bert_preset, num_classes=2, input_shape=(16,), pooling=pooling)
    # [CLS] the film [SEP] good [SEP] padding
    tokens = np.array([[2, 5, 6, 3, 7, 3, 0, 0]])
    segments = np.array([[0, 0, 0, 0, 1, 1, 0, 0]])
    outputs = backbone({"token_ids": tokens, "segment_ids": segments, "padding_mask": tokens > 0})
    vector = np.asarray(outputs["pooled_output"])
    if pooling == "mean":
        vector = np.asarray(outputs["sequence_output"])[:, :6].mean(1)
    kernel, bias = model.get_layer("head").get_weights()
    np.testing.assert_allclose(
        model({"tokens": tokens})["logits"], vector @ kernel + bias, atol=1e-5
    )
    with pytest.raises(UserError, match="positions for 32 tokens: use --length=32"):
        zoo.get("bert", preset=bert_preset, input_shape=(33,))


@pytest.mark.usefixtures("without_export")
def test_fine_tuning_a_preset_from_flags_to_a_run_that_goes_on(
    train, bert_preset, tmp_path, monkeypatch
):
    rows = "".join(f"the film,{('bad', 'good')[i % 2]},{i % 2}\n" for i in range(40))
    (tmp_path / "pairs.csv").write_text("a,b,same\n" + rows)
    flags = ["--model=bert", "--dataset=csv:pairs.csv", "--text=a,b", "--label=same", "--epochs=1"]
    shutil.copytree(bert_preset, tmp_path / "preset")
    code, _, err = train(*flags, "--preset=preset", "--run_dir=one", "--lora_rank=1")
    assert code == 0, err
    # the run is enough to start from
    shutil.rmtree(tmp_path / "preset")
    record = json.loads((tmp_path / "one" / "metrics.json").read_text())
    assert record["trainable_parameters"] < record["frozen_parameters"]
    assert json.loads((tmp_path / "one/tokenizer.json").read_text())["kind"] == "wordpiece"
    # up to its first step
    monkeypatch.setattr(loop, "fit_model", Mock(side_effect=UserError("begins")))
    code, out, err = train(*flags, "--weights=one", "--run_dir=two")
    assert code == 2 and err.endswith("train.py: begins\n")
    assert "weights from one:" in out and "copied" in out and "new:" not in out


@pytest.mark.minilm
def test_minilm_gives_the_published_similarities(minilm):
    """Cosines of mean-pooled vectors, as the documentation of Sentence Transformers gives them."""
    import tensorflow as tf

    sentences = [
        "A man is eating food.",
        "A man is eating a piece of bread.",
        "The weather is lovely today.",
        "It's so sunny outside!",
        "He drove to the stadium.",
    ]
    sentences = np.array(sentences, object)
    tokenizer = dataclasses.replace(make_preset_tokenizer(read_vocabulary(minilm)), length=128)
    encode, _ = make_encoder(tokenizer)
    model = zoo.get("bert", preset=minilm, input_shape=(128,), dropout=0.0)
    vectors = keras.Model(model.input, model.get_layer("head").input)
    v = np.asarray(vectors({"tokens": encode(tf.constant(sentences))}))
    v = v / np.linalg.norm(v, axis=1, keepdims=True)
    similarities = [v[0] @ v[1], v[2] @ v[3], v[2] @ v[4], v[3] @ v[4]]
    np.testing.assert_allclose(similarities, [0.7553, 0.6660, 0.1046, 0.1411], atol=1e-4)
