"""Trained weights that ship: found, whole, loaded, ready to predict; and how runs come to ship."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import special, stats
from support.paths import REAL_DATA, ROOT

import zoo
from zoo.commands import publish
from zoo.data.spec import Spec, Tokenizer
from zoo.data.texts.tokenizers import save_tokenizer
from zoo.errors import UserError
from zoo.exporting.loading import load_spec, open_source
from zoo.layers.weights import weighted_layers
from zoo.pretrained import publishing, store
from zoo.pretrained.pretrained_model import _split_columns
from zoo.pretrained.publishing import (
    _KEPT_KEYS,
    MAX_BYTES_EACH,
    MAX_BYTES_TOTAL,
    SOURCES,
    _check_size,
    _round_to_float16,
    publish_run,
)
from zoo.pretrained.store import FOLDER, find_weights, folder_size, resolve_weights
from zoo.registry import find_entry
from zoo.storage.checksums import write_checksums

SHIPPED = [name.split("/") for name in zoo.list_models(weights=True)]
TOKENS = ("", "[UNK]", "[SEP]", "a", "film", "fine", "dull", "not", "so", "bad", "caf\u00e9")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the folder of shipped weights, to change at will."""
    copy = tmp_path / "weights"
    shutil.copytree(FOLDER, copy)
    for module in (store, publishing):
        monkeypatch.setattr(module, "FOLDER", copy)
    return copy


def served(predictor, inputs, directory):
    """What an export of the predictor's model answers."""
    version = zoo.export(predictor.model, directory, spec=predictor.spec)
    function = tf.saved_model.load(version).signatures["serving_default"]
    given = function(**{name: tf.constant(x) for name, x in inputs.items()})
    return {name: x.numpy() for name, x in given.items()}


def same(outputs, expected):
    assert outputs.keys() == expected.keys() == {"logits", "probabilities", "class_id", "label"}
    for name in ("logits", "probabilities"):
        assert outputs[name].dtype == np.float32
        np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5)
    np.testing.assert_array_equal(outputs["class_id"], expected["class_id"])
    assert [label.encode() for label in outputs["label"]] == expected["label"].tolist()


def test_something_ships_and_all_of_it_is_found():
    folders = {path.name for path in FOLDER.iterdir() if not path.name.startswith(".")}
    assert folders == {f"{model}_{weights}" for model, weights in SHIPPED}
    assert {("lenet5", "mnist"), ("mlp", "mnist")} <= {tuple(pair) for pair in SHIPPED}
    sizes = [folder_size(path) for path in FOLDER.iterdir()]
    assert max(sizes) <= MAX_BYTES_EACH and sum(sizes) <= MAX_BYTES_TOTAL


@pytest.mark.parametrize(("model", "weights"), SHIPPED)
def test_shipped_weights_are_those_of_their_record(model, weights):
    path = find_weights(model, weights)
    source = open_source(path)
    record, spec = source.record, load_spec(path)
    assert source.spec == spec
    assert (record["model"], record["weights"]) == (model, weights)
    assert record.keys() >= {"hyperparameters", "recipe", "seed", "dataset", "dataset_version"}
    assert record.keys() >= {"splits", "date", "seconds", "versions", "preprocessing"}
    assert record["data"]["source"] and record["data"]["licence"]
    low, high = record["test"]["accuracy_interval"]
    assert low < record["test"]["accuracy"] < high
    assert record["test"]["examples"] == record["splits"]["test"]["examples"]
    assert (source.tokenizer is not None) == spec.is_text
    assert not re.search(r'"/|\.\./', (path / "record.json").read_text()), "a path of a machine"
    built = zoo.load(path)
    assert built.count_params() == record["parameters"]
    assert built.output["logits"].shape[-1] == len(spec.class_names)
    with np.load(path / "weights.npz") as arrays:
        assert {array.dtype.name for array in arrays.values()} <= {"float16", "float32", "int32"}
        for weight in built.weights:
            array = arrays[weight.path]
            np.testing.assert_array_equal(weight.numpy(), array.astype(weight.dtype), weight.path)


def test_many_inputs_are_predicted_in_blocks():
    predictor = zoo.load_pretrained("lenet5", "mnist")
    images = np.random.default_rng(0).integers(0, 256, (600, 28, 28, 1), "uint8")
    given = predictor(images)
    logits = predictor.model.predict({"image": images}, verbose=0)["logits"]
    np.testing.assert_allclose(given["logits"], logits, rtol=1e-4, atol=1e-4)
    assert given["label"].shape == given["class_id"].shape == (600,)


@pytest.mark.realdata
@pytest.mark.parametrize(("model", "weights"), SHIPPED)
def test_accuracy_is_the_one_of_the_record(model, weights):
    import tensorflow_datasets as tfds

    predictor = zoo.load_pretrained(model, weights)
    record, kind = predictor.record, predictor.spec.kind
    split = f"{record['splits']['test']['from']}[:1000]"
    rows = tfds.as_numpy(tfds.load(record["dataset"], split=split, data_dir=REAL_DATA))
    names = {"image": ["image"], "text": ["text"], "text_pair": ["sentence1", "sentence2"]}[kind]
    labels, inputs = [], []
    for row in rows:
        labels.append(row["label"])
        inputs.append(row[names[0]] if len(names) == 1 else [row[name] for name in names])
    given = predictor(np.stack(inputs) if kind == "image" else inputs)["class_id"]
    right = int((given == np.array(labels)).sum())
    assert stats.binomtest(right, len(labels), record["test"]["accuracy"]).pvalue > 0.01


def test_listing_and_resolving_do_without_tensorflow():
    code = """
import sys, zoo
from zoo.pretrained.store import describe_weights, resolve_weights
assert "lenet5/mnist" in zoo.list_models("*", weights=True)
assert zoo.list_models("le*", weights=True) == ["lenet5/mnist"]
assert resolve_weights("lenet5", "mnist").is_dir() and describe_weights("lenet5")
assert not {"tensorflow", "keras", "numpy"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": ROOT})


def test_describe_and_list_tell_what_ships(train):
    (found,) = zoo.describe("lenet5").weights
    record = open_source(find_weights("lenet5", "mnist")).record
    assert (found.name, found.accuracy) == ("mnist", record["test"]["accuracy"])
    sizes = [p.stat().st_size for p in find_weights("lenet5", "mnist").iterdir()]
    assert found.size == sum(sizes)
    shown = f"    mnist: test accuracy {found.accuracy:.2%} (10,000 examples), "
    assert f"  weights\n{shown}" in str(zoo.describe("lenet5"))
    assert "  weights          none" in str(zoo.describe("vgg11"))
    code, out, _ = train("--list")
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    assert code == 0 and rows["lenet5"][3] == "mnist" and rows["vgg11"][3] == "-"


@pytest.mark.parametrize("file", ["weights.npz", "record.json", "SHA256SUMS"])
@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_damage_is_found_and_told_in_one_line(file, damage, folder):
    path = folder / "lenet5_mnist" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage == "flipped":
        path.write_bytes(content)
    for load in (zoo.load_pretrained, lambda name, weights: zoo.get(name, weights=weights)):
        with pytest.raises(UserError) as error:
            load("lenet5", "mnist")
        told = "there is no model" if (file, damage) == ("weights.npz", "gone") else "damaged"
        assert told in str(error.value) and "\n" not in str(error.value)
        assert told != "damaged" or file in str(error.value) or file == "SHA256SUMS"
    zoo.get("mlp", weights="mnist")  # the others are as they were


def test_weights_of_another_model_do_not_pass_for_its_own(folder):
    shutil.copy(folder / "mlp_mnist" / "weights.npz", folder / "lenet5_mnist")
    names = ["weights.npz", "record.json"]
    write_checksums(folder / "lenet5_mnist", names)
    with pytest.raises(UserError, match="its weights do not fit a model of this package"):
        zoo.get("lenet5", weights="mnist")


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("lenet5", "mnits", "Did you mean 'mnist'? lenet5 ships with mnist"),
        (
            "vgg11",
            "mnist",
            "no such weights, run, export or .keras file. vgg11 ships with no weights",
        ),
        ("lenet5", "runs/mnist", "runs/mnist: there is no model; expected a run folder"),
    ],
)
def test_unknown_names(model, weights, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        zoo.get(model, weights=weights)
    assert message in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"cmn.*Did you mean 'cnn'"):
        zoo.load_pretrained("cmn", "mnist")
    with pytest.raises(UserError, match="ships with"):
        zoo.load_pretrained(model, weights)


def test_a_name_comes_before_a_path_and_a_path_is_still_reached(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mnist").mkdir()
    Path("other").mkdir()
    ours = FOLDER / "lenet5_mnist"
    assert resolve_weights("lenet5", "mnist") == ours
    for path in ("./mnist", Path("mnist"), "other", "nowhere/else.keras", str(tmp_path)):
        assert resolve_weights("lenet5", path) == Path(path)
    assert resolve_weights("vgg11", "mnist") == Path("mnist")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_weights("lenet5", "~/other") == tmp_path / "other"


def test_get_builds_the_model_of_the_record_and_a_new_head():
    whole, other = zoo.get("mlp", weights="mnist"), zoo.get("mlp", weights="mnist", num_classes=3)
    with np.load(find_weights("mlp", "mnist") / "weights.npz") as arrays:
        for block in weighted_layers(other):
            for weight in block.weights:
                if block.name != "head":
                    np.testing.assert_array_equal(weight.numpy(), arrays[weight.path])
        for weight in whole.weights:
            np.testing.assert_array_equal(weight.numpy(), arrays[weight.path])
    assert other.output["logits"].shape == (None, 3)
    with pytest.raises(UserError, match="expected a whole number"):
        zoo.get("mlp", weights="mnist", num_classes=1)


def test_predictor_is_the_export_s_serving_default(tmp_path):
    predictor = zoo.load_pretrained("lenet5", "mnist")
    images = np.random.default_rng(0).integers(0, 256, (9, 28, 28, 1), "uint8")
    outputs = predictor(images)
    same(outputs, served(predictor, {"image": images}, tmp_path / "lenet5"))
    # and by hand
    logits = outputs["logits"].astype("float64")
    np.testing.assert_allclose(outputs["probabilities"], special.softmax(logits, -1), atol=1e-6)
    assert outputs["class_id"].tolist() == logits.argmax(-1).tolist()
    assert outputs["label"].tolist() == [predictor.spec.class_names[i] for i in logits.argmax(-1)]
    files = []
    for image in images:
        Image.fromarray(image[..., 0]).save(stream := io.BytesIO(), "PNG")
        files.append(stream.getvalue())
    from_files = predictor(files)
    np.testing.assert_allclose(from_files["logits"], outputs["logits"], atol=1e-5)
    assert predictor(images.tolist())["label"].tolist() == outputs["label"].tolist()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 28, 28), "uint8"), "image: expected uint8 n x 28 x 28 x 1; got 2 x 28 x 28"),
        (np.zeros((2, 32, 32, 1), "uint8"), "got 2 x 32 x 32 x 1"),
        (np.full((2, 28, 28, 1), 0.5), "got values of another type or range"),
        ([b"no image"], "not a readable image"),
        ([], "expected uint8"),
    ],
)
def test_what_does_not_suit_a_predictor(inputs, message):
    with pytest.raises(UserError) as error:
        zoo.load_pretrained("lenet5", "mnist")(inputs)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_run_starts_from_a_name_and_ships(train, tfds_dir, folder, monkeypatch, capfd):
    flags = ["--model=lenet5", "--dataset=mnist_5k", "--weights=mnist", "--trainable=head"]
    flags += ["--train_split=train[:5%]", "--epochs=1", f"--data_dir={tfds_dir}"]
    flags += ["--batch_size=90", "--nojit_compile"]
    code, out, err = train(*flags, "--run_dir=run")
    assert code == 0, err
    assert "weights from mnist:" in out and out.count("copied") == 5
    assert "--weights=mnist\n" in Path("run/flags.txt").read_text()
    run = json.loads(Path("run/metrics.json").read_text())
    assert run["test"]["accuracy"] > 0.95, "200 images alone would not do"

    publish.main("run")
    path = folder / "lenet5_mnist_5k"
    before = {p.name: p.read_bytes() for p in path.iterdir()}
    said = f"{sum(map(len, before.values())):,} bytes\n{path}\n"
    assert capfd.readouterr().out.endswith(said)
    assert zoo.list_models("lenet5", weights=True) == ["lenet5/mnist", "lenet5/mnist_5k"]
    record = open_source(path).record
    assert all(record[key] == run[key] for key in ("splits", "recipe", "seconds", "parameters"))
    assert record["rounding"]["same_class"] >= 0.999 and record["rounding"]["compared"] == 1_000
    card = (path / "card.md").read_text()
    assert 'zoo.get("lenet5", weights="mnist_5k")' in card and "CC BY-SA 3.0" in card
    assert f"{record['test']['accuracy']:.2%} (95% Wilson interval" in card
    assert {name for name in before if name.endswith(".png")} == {
        *re.findall(r"\((\w+\.png)\)", card)
    }
    assert record["rounding"]["accuracy_before"] == run["test"]["accuracy"]
    assert abs(record["test"]["accuracy"] - run["test"]["accuracy"]) <= 0.001
    theirs = {w.path: w.numpy() for w in zoo.load("run").weights}
    for weight in zoo.get("lenet5", weights="mnist_5k").weights:
        half = theirs[weight.path].astype("float16").astype("float32")
        np.testing.assert_array_equal(weight.numpy(), half)

    # the same again takes its place; what fails leaves it as it is
    assert {p.name: p.read_bytes() for p in publish_run("run").iterdir()} == before
    monkeypatch.setattr(publishing, "_round_to_float16", lambda array: -array)
    with pytest.raises(
        UserError, match=r"predict the same class for \d+\.\d+% of 1,000 test examples"
    ):
        publish_run("run")
    assert {p.name: p.read_bytes() for p in path.iterdir()} == before
    assert {p.name for p in folder.iterdir()} == {path.name, *("_".join(s) for s in SHIPPED)}


@pytest.fixture
def run_on_texts(tmp_path, tfds_dir):
    """What a run of fasttext leaves behind, as far as it ships."""
    run, small = tmp_path / "run", {"width": 4, "buckets": 50}
    run.mkdir()
    tokenizer = Tokenizer("words", TOKENS, 8)
    model = zoo.get("fasttext", input_shape=(8,), vocabulary_size=len(TOKENS), **small)
    model.save(run / "last.keras")
    save_tokenizer(Spec("text", (8,), ("neg", "pos"), tokenizer=tokenizer), run)
    known = dict.fromkeys(_KEPT_KEYS) | {"model": "fasttext", "hyperparameters": small}
    known |= {"dataset": "synthetic_reviews", "seed": 0, "recipe": {"batch_size": 500}}
    known |= {"test": {"accuracy": 0.5}, "export": "saved_models/fasttext/1"}
    (run / "metrics.json").write_text(json.dumps(known))
    (run / "curves.png").write_bytes(b"a drawing")
    (run / "flags.txt").write_text(
        f"--train_split=train[:1%]\n--holdout=0.1\n--data_dir={tfds_dir}\n"
    )
    return run


def test_a_run_on_texts_ships_its_vocabulary(run_on_texts, folder, tmp_path):
    path = publish_run(run_on_texts)
    assert path == folder / "fasttext_synthetic_reviews"
    assert open_source(path).tokenizer == Tokenizer("words", TOKENS, 8)
    predictor = zoo.load_pretrained("fasttext", "synthetic_reviews")
    texts = ["a fine film", "the plot was dull", "", "caf\u00e9 <br /> not so bad"]
    same(predictor(texts), served(predictor, {"text": np.array(texts)}, tmp_path / "fasttext"))
    model = zoo.get("fasttext", weights="synthetic_reviews")
    assert model.count_params() == predictor.model.count_params()
    with pytest.raises(UserError, match="text: expected string n; got one value"):
        predictor("a fine film")
    (path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"damaged \(checksum mismatch: tokenizer\.json\)"):
        zoo.load_pretrained("fasttext", "synthetic_reviews")


def test_what_ships_is_small(folder):
    there = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    draft = folder / ".draft-x" / "gru_mnist"
    draft.mkdir(parents=True)

    def check(size):
        (draft / "weights.npz").write_bytes(bytes(size))
        _check_size(draft)

    check(3_500_000)
    with pytest.raises(
        UserError,
        match=r"gru_mnist: its folder would have 3,500,001 bytes, expected at most 3,500,000",
    ):
        check(3_500_001)
    (folder / "vgg11_mnist").mkdir()
    (folder / "vgg11_mnist" / "weights.npz").write_bytes(bytes(15_000_000 - there - 1_000))
    check(1_000)
    with pytest.raises(
        UserError, match=r"zoo/weights would have 15,000,001 bytes, expected at most 15,000,000"
    ):
        check(1_001)
    # it takes the place of its own last one
    shutil.move(folder / "vgg11_mnist", folder / "gru_mnist")
    check(1_001)


def test_pairs_go_in_as_pairs():
    assert _split_columns([("a", "b"), ("c", "d")], ["text_a", "text_b"]) == {
        "text_a": ("a", "c"),
        "text_b": ("b", "d"),
    }
    for wrong in (["ab", "cd"], [("a", "b", "c")], []):
        with pytest.raises(UserError, match="expected pairs of texts"):
            _split_columns(wrong, ["text_a", "text_b"])


def test_rounding_keeps_what_float16_cannot_hold():
    fits, large = np.array([1 / 3, -65504], "float32"), np.array([1.0, 70_000], "float32")
    assert _round_to_float16(fits).dtype == "float16"
    np.testing.assert_allclose(_round_to_float16(fits), fits, rtol=2**-11)
    assert _round_to_float16(large) is large
    counts = np.array([1, 2], "int32")
    assert _round_to_float16(counts) is counts


def test_what_does_not_ship(tmp_path):
    run = {"dataset": "csv:my.csv", "model": "mlp", "test": {}, "export": "x"}
    run |= dict.fromkeys(set(_KEPT_KEYS) - {"dataset"})
    for name, content in (("cut_off", {"model": "mlp"}), ("own_data", run)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps(content))
    for given, message in (
        ("nowhere", "nowhere: not a finished run"),
        ("cut_off", "cut_off: not a finished run"),
        ("own_data", "own_data: it was trained on csv:my.csv, whose licence is not known"),
    ):
        with pytest.raises(UserError) as error:
            publish_run(tmp_path / given)
        assert message in str(error.value) and "\n" not in str(error.value)


def test_the_command_explains_itself(python):
    command = ("-m", "zoo", "publish")
    done = python(*command, "--help")
    assert done.returncode == 0 and "zoo publish runs/" in done.stdout
    done = python(*command)
    assert done.returncode == 2 and done.stderr.endswith("expected RUN, got nothing (see --help)\n")


def test_every_source_of_data_is_a_data_set_or_a_default():
    defaults = {find_entry(name).dataset for name in zoo.list_models()}
    assert defaults <= SOURCES.keys()
    assert all(source and licence for source, licence in SOURCES.values())
