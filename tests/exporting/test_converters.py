import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.small_models import build_small

import zoo
from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Arrays, Data, take_inputs
from zoo.data.tables.columns import Column
from zoo.data.texts.batch_encoding import tokenize_splits
from zoo.errors import UserError
from zoo.evaluation.predictions import make_predictor
from zoo.exporting import converters, further_formats
from zoo.exporting.converters import check_convertible, convert_model
from zoo.exporting.formats import check_formats
from zoo.exporting.further_formats import measure_formats
from zoo.exporting.runtimes import load_runtime
from zoo.layers.feature_tokenizer import FeatureTokenizer
from zoo.registry import find_entry
from zoo.storage.filenames import FORMATS

for package in ("ai_edge_litert", "onnx", "tf2onnx", "onnxruntime"):
    pytest.importorskip(package, reason="needs the extra: pip install 'keras-model-zoo[formats]'")

RECURRENT = ("gru", "lstm", "rnn")
CASES = [
    (name, kind)
    for name in zoo.list_models()
    for kind in find_entry(name).kinds
    if kind != "text_pair"  # the same model as for texts
]
SHAPES = {"image": (14, 14, 1), "features": (5,), "text": (12,)}


def build(name, kind="image", num_classes=3):
    keras.utils.set_random_seed(0)
    return build_small(name, input_shape=SHAPES[kind], num_classes=num_classes)


def spec_of(kind, num_classes=3):
    return Spec(kind, SHAPES[kind], num_classes and tuple(map(str, range(num_classes))))


def inputs(kind, count=40):
    random = np.random.default_rng(count)
    if kind == "image":
        return random.integers(0, 256, (count, *SHAPES[kind]), "uint8")
    if kind == "features":
        return random.normal(size=(count, 5)).astype("float32")
    tokens = random.integers(1, 30, (count, 12), "int32")
    tokens[0], tokens[1, 4:] = 0, 0  # an empty text, and a short one
    return tokens


def by_litert(path, x):
    """What LiteRT gives without any of the zoo's code, one example a call."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (given["shape_signature"] == [1, *x.shape[1:]]).all() and given["dtype"] == x.dtype
    ((names, outputs),) = (s.values() for s in interpreter.get_signature_list().values())
    assert names[0] in ("image", "features", "tokens") and outputs == ["logits"]
    rows = []
    for one in x:
        interpreter.set_tensor(given["index"], one[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(made["index"]))
    return np.concatenate(rows)


def by_onnx(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return session.run(["logits"], {given.name: x})[0]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_model_predicts_the_same_in_every_format(name, kind, tmp_path):
    model, x = build(name, kind), inputs(kind, 16)
    wanted = [f for f in FORMATS if not (f == "litert_int8" and name in RECURRENT)]
    if name not in ("cnn", "lstm", "transformer"):  # one that is of each kind
        wanted = [f for f in wanted if f not in ("litert_float16", "onnx_int8")]
    files = convert_model(model, spec_of(kind), tmp_path, wanted, inputs(kind, 32))
    assert list(files) == wanted[1:]
    assert sorted(tmp_path.iterdir()) == sorted(files.values())
    (input_name,) = model.input
    logits = np.asarray(model({input_name: x})["logits"])
    tolerance = 1e-4 * max(1, np.abs(logits).max())
    np.testing.assert_allclose(by_litert(files["litert"], x), logits, atol=tolerance)
    np.testing.assert_allclose(by_onnx(files["onnx"], x), logits, atol=tolerance)
    np.testing.assert_allclose(by_onnx(files["onnx"], x[:1]), logits[:1], atol=tolerance)
    if "onnx_int8" in files:
        difference = np.abs(by_onnx(files["onnx_int8"], x) - logits).mean()
        assert difference < 0.2 * logits.std()
        np.testing.assert_allclose(by_litert(files["litert_float16"], x), logits, atol=2e-3)
    if "litert_int8" in files:
        difference = np.abs(by_litert(files["litert_int8"], x) - logits).mean()
        assert difference < 0.2 * logits.std()
        if model.count_params() > 10_000:
            assert files["litert_int8"].stat().st_size < 0.5 * files["litert"].stat().st_size


@pytest.fixture(scope="module")
def digits(tfds_dir):
    return load_data(DataConfig("mnist_5k", data_dir=str(tfds_dir)))


def exported(model, data, tmp_path, wanted):
    """The table of `measure`, and the files."""
    version = zoo.export(model, tmp_path, spec=data.spec)
    calibration = take_inputs(data.train, 100)
    files = convert_model(model, data.spec, version / "assets.extra", wanted, calibration)
    return measure_formats(version, files, data), files


def test_digits_in_int8_are_as_good_and_smaller(digits, tmp_path):
    keras.utils.set_random_seed(0)
    model = zoo.get("cnn", filters=(8, 16), dense=32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), {"logits": loss})
    model.fit(digits.train.x, digits.train.y, epochs=2, batch_size=64, verbose=0)
    test = digits.test.select_rows(np.arange(len(digits.test)) < 300)
    table, files = exported(model, dataclasses.replace(digits, test=test), tmp_path, FORMATS)
    assert list(table) == list(FORMATS)
    logits = np.asarray(model({"image": test.x})["logits"])
    accuracy = (logits.argmax(-1) == test.y).mean()
    assert accuracy > 0.8
    for row in table.values():
        assert set(row) == {"bytes", "threads", "latency_ms", "examples", "accuracy"}
        assert 0 < row["latency_ms"] < 1000
    for each in ("saved_model", "litert", "onnx"):
        assert table[each]["accuracy"] == pytest.approx(accuracy, abs=1e-3)
    for each in ("litert_float16", "litert_int8", "onnx_int8"):
        assert table[each]["accuracy"] == pytest.approx(accuracy, abs=0.02)
    assert {each: row["bytes"] for each, row in table.items() if each in files} == {
        each: file.stat().st_size for each, file in files.items()
    }
    assert table["litert_int8"]["bytes"] < 0.5 * table["litert"]["bytes"]
    assert table["litert_float16"]["bytes"] < 0.7 * table["litert"]["bytes"]
    assert table["onnx_int8"]["bytes"] < 0.6 * table["onnx"]["bytes"]
    assert table["saved_model"]["bytes"] > 4 * model.count_params()
    assert table["litert"]["threads"] == table["onnx"]["threads"] == 1


def test_a_regression_far_from_zero_keeps_its_precision_in_int8(price_csv, tmp_path):
    data = load_data(DataConfig(f"csv:{price_csv}", label="price"))
    model = zoo.get("mlp", input_shape=(2,), num_classes=None, hidden=(16, 8))
    model.get_layer("normalization").adapt(data.train.x)
    model.get_layer("denormalization").adapt(data.train.y)
    model.compile(keras.optimizers.Adam(1e-2), {"logits": "mae"})
    model.fit({"features": data.train.x}, {"logits": data.train.y}, epochs=20, verbose=0)
    wanted = [name for name in FORMATS if name != "litert_float16"]
    table, _ = exported(model, data, tmp_path, wanted)
    scores = {name: row["mae"] for name, row in table.items()}
    assert scores["litert"] == pytest.approx(scores["saved_model"], rel=1e-2)
    assert scores["onnx"] == pytest.approx(scores["saved_model"], rel=1e-2)
    # one of int8's steps from 0 to the prices would be 390
    assert scores["litert_int8"] < scores["litert"] + 10
    assert scores["onnx_int8"] < scores["onnx"] + 10
    for unit in (1, 1e-12):  # the prices are about 100,000
        model.get_layer("denormalization").adapt(data.train.y * unit)
        with pytest.raises(UserError, match="numbers in 16 bits are at most"):
            convert_model(model, data.spec, tmp_path, ["litert_float16"], data.train.x[:9])
        assert not list(tmp_path.glob("*.tflite"))


@pytest.mark.parametrize("name", ["mlp", "ft_transformer"])
def test_codes_and_tokens_of_tables_are_exact_in_int8(name, tmp_path):
    """The features are a number, categories of 4 and 600 codes, and a text of 900 words.

    LiteRT wrote the 1 of a one-hot code as another number where numbers beside it are larger, and
    divided numbers into the steps of codes.
    """
    random = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    sizes = {"cardinalities": (0, 4, 600), "texts": ((900, 6),)}
    hparams = {"mlp": {"hidden": (32,)}, "ft_transformer": {"width": 16, "depth": 1}}[name]
    model = zoo.get(name, input_shape=(9,), num_classes=3, **hparams, **sizes)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Embedding | FeatureTokenizer):
            layer.set_weights([random.normal(0, 0.5, x.shape) for x in layer.get_weights()])
    codes = random.integers(1, (4, 600, *[900] * 6), (200, 8))
    x = np.concatenate([4 * random.normal(size=(200, 1)), codes], axis=1).astype("float32")
    columns = (
        Column("x", "number"),
        Column("b", "category", values=tuple("pqr")),
        Column("c", "category", values=tuple(map(str, range(599)))),
    )
    spec = Spec("features", (9,), tuple("abc"), columns=columns)
    files = convert_model(model, spec, tmp_path, ["litert_int8"], x[:100])
    predict = load_runtime("litert_int8", files["litert_int8"], spec)
    classes = np.concatenate([predict(row) for row in x]).argmax(1)
    expected = np.asarray(model(x)["logits"]).argmax(1)
    assert (classes == expected).mean() > 0.95


def test_texts_are_strings_to_the_saved_model_and_tokens_to_the_others(tmp_path):
    tokenizer = Tokenizer("words", ("", "[UNK]", "[SEP]", "good", "bad", "film"), 12)
    texts = np.array(["good film", "a bad film", "", "bad, bad"] * 5, object)
    raw = Arrays(texts, np.array([1, 0, 1, 0] * 5))
    splits, spec = tokenize_splits({"test": raw}, Spec("text", (), ("no", "yes")), tokenizer)
    data = Data("own", "", spec, splits["test"], splits["test"], splits["test"], {}, raw_test=raw)
    model = zoo.get("textcnn", input_shape=(12,), vocabulary_size=6, filters=3)
    table, _ = exported(model, data, tmp_path, ("litert", "onnx"))
    assert list(table) == ["saved_model", "litert", "onnx"]
    assert len({row["accuracy"] for row in table.values()}) == 1


@pytest.fixture(scope="module")
def converted_photos(photo_folder, tmp_path_factory):
    """A model of photos, the data, and the version and the files of its export."""
    folder = tmp_path_factory.mktemp("photos")
    data = load_data(DataConfig(f"folder:{photo_folder}", image_size=(16, 16)))
    model = zoo.get("perceptron", input_shape=(16, 16, 3), num_classes=2)
    version = zoo.export(model, folder, spec=data.spec)
    return model, data, version, convert_model(model, data.spec, folder, ("onnx",), data.train.x)


def test_a_streamed_test_split_scores_the_same(converted_photos, photo_folder):
    _, held, version, files = converted_photos
    streamed = load_data(DataConfig(f"folder:{photo_folder}", image_size=(16, 16), memory_budget=0))
    scores = [
        measure_formats(version, files, data)["onnx"]["accuracy"] for data in (held, streamed)
    ]
    assert scores[0] == scores[1]


def test_of_a_large_test_split_a_part_is_scored(converted_photos, monkeypatch):
    monkeypatch.setattr(further_formats, "_SCORED_EXAMPLES", 5)
    model, data, version, files = converted_photos
    table = measure_formats(version, files, data)
    rows = np.linspace(0, len(data.test) - 1, 5, dtype=int)
    logits = model.predict({"image": data.test.x[rows]}, verbose=0)["logits"]
    right = logits.argmax(-1) == data.test.y[rows]
    assert len(data.test) > 5 == table["onnx"]["examples"]
    assert table["onnx"]["accuracy"] == table["saved_model"]["accuracy"] == right.mean()


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_networks_are_not_for_int8(name, tmp_path):
    with pytest.raises(UserError, match="has recurrent layers") as caught:
        convert_model(
            build(name, "text"), spec_of("text"), tmp_path, ["litert_int8"], inputs("text")
        )
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_mixed_precision_is_refused():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build("perceptron")
    finally:
        keras.config.set_dtype_policy("float32")
    check_convertible(model, ["saved_model"])
    with pytest.raises(UserError, match=r"onnx: perceptron computes in bfloat16.*--precision"):
        check_convertible(model, ["saved_model", "onnx"])


@pytest.mark.parametrize(("name", "wanted"), [("gru", "litert"), ("lstm", "onnx")])
def test_beside_a_gpu_recurrent_networks_are_written_without_cudnn(
    name, wanted, tmp_path, monkeypatch
):
    model = build(name, "text")
    backend = sys.modules["keras.src.backend.tensorflow.rnn"]
    monkeypatch.setattr(backend, "_is_gpu_available", lambda: True)
    graph = make_predictor(model).get_concrete_function().graph
    assert any("Cudnn" in operation.type for operation in graph.get_operations())
    check_convertible(model, [wanted])
    assert convert_model(model, spec_of("text"), tmp_path, [wanted], inputs("text"))
    assert {layer.use_cudnn for layer in model.layers if hasattr(layer, "use_cudnn")} == {"auto"}


def test_an_operation_that_a_format_lacks(tmp_path):
    image = keras.Input(SHAPES["image"], dtype="uint8", name="image")
    x = keras.ops.erfinv(keras.layers.Flatten()(keras.layers.Rescaling(1 / 300)(image)))
    logits = keras.layers.Dense(3)(x)
    model = keras.Model({"image": image}, {"logits": logits}, name="mine")
    with pytest.raises(UserError, match="litert: mine cannot be converted: ") as caught:
        convert_model(model, spec_of("image"), tmp_path, ["litert"], inputs("image"))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["litert", "onnx"])
def test_a_file_that_differs_is_removed(name, tmp_path, monkeypatch):
    loaded = load_runtime

    def wrong(*args):
        call = loaded(*args)
        return lambda x: call(x) + 1e-2

    monkeypatch.setattr(converters, "load_runtime", wrong)
    with pytest.raises(UserError, match="deleted, because its logits differ"):
        convert_model(build("perceptron"), spec_of("image"), tmp_path, [name], inputs("image"))
    assert not list(tmp_path.iterdir())


def test_formats_that_are_not_there(monkeypatch):
    check_formats(FORMATS)
    with pytest.raises(UserError, match=r"export_formats='tflite': unknown format.*Known: saved_"):
        check_formats(["tflite"])
    with pytest.raises(UserError, match="Did you mean 'litert_int8'"):
        check_formats(["saved_model", "litert_int"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if "rt" in name else name)
    check_formats(["saved_model"])
    for name in FORMATS[1:]:
        with pytest.raises(UserError, match="ai_edge_litert is not installed: run pip install"):
            check_formats(["saved_model", name])


def test_mistakes_do_not_wait_for_tensorflow():
    code = "from zoo.exporting.formats import check_formats; check_formats(['onnx'])"
    code += "; import sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"tensorflow", "keras", "onnx"} & set(run.stdout.split())
