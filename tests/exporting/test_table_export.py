"""Exports of models of tables: raw cells by the names of the columns."""

import json
import urllib.request

import keras
import numpy as np
import pandas as pd
import pytest
from scipy import special
from support.serving_double import Double

import zoo
from zoo.commands.runner import run_command
from zoo.data.config import DataConfig
from zoo.data.spec import Spec
from zoo.data.tables.cells import STRING
from zoo.data.tables.column_inference import infer_columns
from zoo.data.tables.column_texts import learn_column_tokenizers
from zoo.data.tables.columns import count_features
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.table_encoding import encode_rows
from zoo.exporting.validation import InputRefusedError
from zoo.serving import Client

NAMES = ["age", "sepal length (cm)", "Größe", "a/b", "k", "self", "column_0", "day", "in words"]
CELLS = [
    ["31", "2.5", "rot", "x", "1", "yes", "0.5", "2020-01-31", "It was good."],
    ["", "1e9", "grün", "", "2", "no", "1.5", "2021-02-01 12:00", ""],
    ["90", "-3", "blau", "y", "3", "yes", "2.5", "2022-03-02", "It was not so good, was it?"],
]
FRAME = pd.DataFrame([CELLS[i % 3] for i in range(60)], columns=NAMES, dtype=STRING)
ROWS = [
    {"age": 31, "sepal length (cm)": 2.5, "Größe": "rot", "a/b": "x", "k": 1, "self": "yes",
     "column_0": 0.5, "day": "2020-01-31", "in words": "Not so good, all in all"},
    {"age": float("nan"), "sepal length (cm)": 1e9, "Größe": "never seen", "a/b": "", "k": 2,
     "self": "no", "column_0": 1.5, "day": "2021-02-01 12:00", "in words": ""},
]  # fmt: skip


@pytest.fixture(scope="module")
def spec():
    columns, _ = infer_columns(FrameRows(FRAME), {"in words": "text"})
    columns, _ = learn_column_tokenizers(columns, FrameRows(FRAME), FrameRows(FRAME), DataConfig())
    shape = (count_features(columns),)
    return Spec("features", shape, ("no", "yes"), tuple(NAMES), columns=columns)


@pytest.fixture(scope="module")
def exports(spec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    for name in ("mlp", "perceptron"):
        keras.utils.set_random_seed(0)
        hparams = {"hidden": (8,)} if name == "mlp" else {}
        hparams |= {"cardinalities": spec.cardinalities, "texts": spec.texts}
        model = zoo.get(name, input_shape=spec.shape, num_classes=2, **hparams)
        zoo.export(model, folder / name, spec=spec, explain_signature=name == "perceptron")
    model = zoo.get("mlp", input_shape=spec.shape, num_classes=None, **hparams)
    zoo.export(
        model,
        folder / "price",
        spec=Spec("features", spec.shape, None, spec.feature_names, columns=spec.columns),
    )
    return folder


@pytest.fixture(scope="module")
def double(exports):
    double = Double(exports, {})
    yield double
    double.stop()


@pytest.fixture(params=["local", "rest", "grpc"])
def client(request, exports, double):
    where = {
        "local": {"export_dir": exports},
        "rest": {"server": double.rest},
        "grpc": {"grpc": double.grpc},
    }[request.param]
    return lambda name: Client(name, **where)


def test_rows_are_explained_by_their_columns(client, exports):
    """A linear model: what a cell adds is what the typical cell in its place takes away.

    But for the mean over the words of a text, which the graph integrates in a few steps.
    """
    columns = {name: [row[name] for row in ROWS] for name in NAMES}
    outputs = client("perceptron").predict(columns, "explain")
    assert outputs["columns"].tolist() == [NAMES] * 2
    best = outputs["logits"].max(axis=1)
    sums = outputs["attributions"].sum(axis=1) + outputs["baseline_output"]
    np.testing.assert_allclose(sums, best, atol=1e-3)
    np.testing.assert_allclose(sums[1], best[1], atol=1e-5)
    local = Client("perceptron", export_dir=exports)
    for row, one in enumerate(zoo.explain(local, ROWS, method="occlusion")):
        assert one.names == tuple(NAMES) and one.label == outputs["label"][row]
        np.testing.assert_allclose(
            one.attributions[:-1], outputs["attributions"][row][:-1], atol=1e-5
        )
        np.testing.assert_allclose(one.attributions, outputs["attributions"][row], atol=1e-3)
        assert one.values[2] == ROWS[row]["Größe"]


def probabilities(exports, spec, rows):
    """By Keras and the encoder alone."""
    model = zoo.load(exports / "mlp")
    texts = pd.DataFrame(rows).astype(object).map(lambda x: "" if x != x else str(x)).astype(STRING)
    features = encode_rows(FrameRows(texts), spec.columns, budget=1 << 30)
    return special.softmax(np.asarray(model({"features": features})["logits"]), axis=1)


def test_rows_are_answered_by_the_names_of_their_columns(client, exports, spec):
    inputs = {name: [row[name] for row in ROWS] for name in NAMES}
    outputs = client("mlp").predict(inputs)
    expected = probabilities(exports, spec, ROWS)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)
    assert outputs["label"].tolist() == [spec.class_names[i] for i in expected.argmax(1)]
    assert client("price").predict(inputs)["prediction"].shape == (2,)


def test_examples_may_lack_what_training_lacked(client, exports, spec):
    """Numbers as numbers or strings, and no key for the missing age and a/b."""
    second = {k: v for k, v in ROWS[1].items() if k not in ("age", "a/b")} | {"k": "2"}
    scores = [dict(pairs) for pairs in client("mlp").classify([ROWS[0], second])]
    found = [[row["no"], row["yes"]] for row in scores]
    np.testing.assert_allclose(found, probabilities(exports, spec, ROWS), atol=1e-5)
    assert client("price").regress([ROWS[0], second]).shape == (2,)
    with pytest.raises(InputRefusedError, match="a number or a string as the feature 'k'"):
        client("mlp").classify([{k: v for k, v in ROWS[0].items() if k != "k"}])


def test_what_a_model_of_a_table_reads(client):
    spec = client("perceptron").spec()
    kinds = {column.name: column.kind for column in spec.columns}
    assert {name for name, kind in kinds.items() if kind == "number"} == {
        "age", "sepal length (cm)", "k", "column_0",
    }  # fmt: skip
    assert sorted(spec.feature_names) == sorted(NAMES)


def test_json_rows_as_a_server_gets_them(double, exports, spec):
    request = urllib.request.Request(
        f"http://{double.rest}/v1/models/mlp:predict",
        json.dumps({"instances": ROWS}).encode(),  # NaN is written as it is
    )
    answer = json.load(urllib.request.urlopen(request))
    found = [row["probabilities"] for row in answer["predictions"]]
    np.testing.assert_allclose(found, probabilities(exports, spec, ROWS), atol=1e-5)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
@pytest.mark.parametrize("server", [False, True])
def test_files_are_predicted(kind, server, exports, double, spec, tmp_path, capfd):
    from zoo.commands import predict

    frame = pd.DataFrame(CELLS, columns=NAMES).assign(extra="left alone")
    file = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        frame.to_json(file, orient="records", lines=True)
    elif kind == "parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, sep="\t" if kind == "tsv" else ";", index=False)
    where = f"--server={double.rest}" if server else f"--export_dir={exports}"
    run_command(predict, ["--model=mlp", where, "--json", "--top=2", str(file)])
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert rows[1]["input"]["age"] is None and rows[1]["input"]["Größe"] == "grün"
    assert set(rows[0]["input"]) == set(NAMES)
    found = [{p["label"]: p["probability"] for p in row["top"]} for row in rows]
    expected = probabilities(exports, spec, pd.DataFrame(CELLS, columns=NAMES).to_dict("records"))
    np.testing.assert_allclose([[r["no"], r["yes"]] for r in found], expected, atol=1e-5)
