"""The signature `explain` of texts: what a graph answers alone, a server, and the library."""

import json

import keras
import numpy as np
import pytest
from support.serving_double import Double

import zoo
from zoo.data.spec import Spec, Tokenizer
from zoo.serving import Client

WORDS = ("", "[UNK]", "[SEP]", "a", "fine", "film", "dull", "play")
PAIRS = [("a fine film", "so fine!"), ("a dull play", "a")]
GRAPH = """
import sys, json, tensorflow as tf, tensorflow_text
explain = tf.saved_model.load(sys.argv[1]).signatures["explain"]
texts = {name: tf.constant(json.loads(sys.argv[2])[name]) for name in ("text_a", "text_b")}
outputs = explain(**texts)
print(json.dumps({name: x.numpy().tolist() for name, x in outputs.items() if x.dtype != "string"}))
"""


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    keras.utils.set_random_seed(0)
    spec = Spec("text_pair", (12,), ("no", "yes"), tokenizer=Tokenizer("words", WORDS, 12))
    model = zoo.get("fasttext", vocabulary_size=len(WORDS), buckets=9, width=4)
    zoo.export(model, folder / "pairs", spec=spec, explain_signature=True)
    return folder


@pytest.fixture(scope="module")
def double(exports):
    double = Double(exports, {})
    yield double
    double.stop()


@pytest.fixture(scope="module")
def by_library(exports):
    return zoo.explain(exports / "pairs", PAIRS)


@pytest.fixture(params=["local", "rest"])
def client(request, exports, double):
    places = {"local": {"export_dir": exports}, "rest": {"server": double.rest}}
    return lambda name: Client(name, **places[request.param])


def test_pairs_are_answered_with_their_tokens(client, by_library):
    texts = {"text_a": [a for a, _ in PAIRS], "text_b": [b for _, b in PAIRS]}
    outputs = client("pairs").predict(texts, "explain")
    expected = client("pairs").predict(texts)
    assert outputs.keys() == expected.keys() | {"attributions", "baseline_output", "tokens"}
    np.testing.assert_allclose(outputs["logits"], expected["logits"], atol=1e-6)
    assert outputs["tokens"].tolist() == [
        ["a", "fine", "film", "[SEP]", "so", "fine"],
        ["a", "dull", "play", "[SEP]", "a", ""],
    ]
    by_client = zoo.explain(client("pairs"), PAIRS)
    for row, (one, other) in enumerate(zip(by_library, by_client, strict=True)):
        assert one.names == other.names == tuple(filter(None, outputs["tokens"][row]))
        assert one.label == other.label == expected["label"][row]
        assert one.method == other.method == "integrated_gradients"
        np.testing.assert_allclose(one.attributions, other.attributions, atol=1e-5)
        sums = one.attributions.sum() + one.baseline_output
        assert sums == pytest.approx(expected["logits"][row].max(), abs=1e-4)


def test_a_process_that_only_has_the_graph_explains(exports, python, by_library):
    texts = {"text_a": [a for a, _ in PAIRS], "text_b": [b for _, b in PAIRS]}
    done = python("-c", GRAPH, str(exports / "pairs" / "1"), json.dumps(texts))
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout)
    for row, explanation in enumerate(by_library):
        found = np.array(outputs["attributions"][row])
        np.testing.assert_allclose(found[found != 0], explanation.attributions, atol=1e-5)
