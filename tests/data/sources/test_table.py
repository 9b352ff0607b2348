import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from zoo.data.config import DataConfig, parse_text_columns
from zoo.data.loading import load_data
from zoo.data.sources.table import load_table
from zoo.data.spec import Spec
from zoo.errors import UserError

ENDINGS = ["csv", "jsonl"]
ROWS = [(f"some {i}", "no" if i % 2 else "yes") for i in range(8)]


def write(path, frame):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True, force_ascii=False)


def read(path, content=None, text=("text",), label="y"):
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_table(path.suffix[1:], str(path), DataConfig(text=text, label=label))


def message(path, content, **columns):
    with pytest.raises(UserError) as error:
        read(path, content, **columns)
    return str(error.value)


def csv(rows):
    return "text,y\n" + "".join(f"{text},{label}\n" for text, label in rows)


def jsonl(rows):
    return "".join(json.dumps({"text": text, "y": label}) + "\n" for text, label in rows)


@pytest.mark.parametrize("ending", ENDINGS)
def test_quotes_commas_and_newlines_are_part_of_a_text(ending, tmp_path):
    texts = ['one, two, "three"', "line\nsecond, line\r\n\nfourth", "it's \u65e5\u672c; \\n", "a"]
    frame = pd.DataFrame({"a": texts, "b": texts[::-1], "y": ["no", "yes"] * 2})
    write(tmp_path / f"t.{ending}", frame)
    one = read(tmp_path / f"t.{ending}", text=("b",), label="y")  # a is left alone
    assert one.spec == Spec("text", (), ("no", "yes"), ("b",))
    assert one.splits["train"].x[:].tolist() == texts[::-1]
    two = read(tmp_path / f"t.{ending}", text=("b", "a"), label="y")
    assert two.spec == Spec("text_pair", (), ("no", "yes"), ("b", "a"))
    pairs = [list(pair) for pair in zip(texts[::-1], texts, strict=True)]
    assert two.splits["train"].x[:].tolist() == pairs
    assert two.splits["train"].y.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("odd", ["NA", "null", "nan", "None", "007", "1e5", "True"])
def test_a_text_stays_a_text(odd, ending, tmp_path):
    content = {"csv": csv, "jsonl": jsonl}[ending]([*ROWS, (odd, "yes")])
    assert read(tmp_path / f"t.{ending}", content).splits["train"].x[len(ROWS)] == odd


def test_texts_that_are_numbers_one_and_all_stay_texts(tmp_path):
    source = read(tmp_path / "t.csv", csv([("007", "a"), ("1", "b"), ("2.50", "a"), ("-0", "b")]))
    assert source.splits["train"].x[:].tolist() == ["007", "1", "2.50", "-0"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_by_split(ending, tmp_path):
    sizes = {"train": 12, "validation": 5, "test": 6}
    for split_name, size in sizes.items():
        texts = [f"{split_name} {i}" for i in range(size)]
        frame = pd.DataFrame({"y": ["no", "yes", "no", "yes"] * 3})[:size]
        write(tmp_path / f"{split_name}.{ending}", frame.assign(text=texts))
    data = load_data(DataConfig(f"{ending}:{tmp_path}", text=("text",), label="y"))
    assert {split_name: len(getattr(data, split_name)) for split_name in sizes} == sizes
    assert data.splits == {
        split_name: str(tmp_path / f"{split_name}.{ending}") for split_name in sizes
    }
    assert data.raw_test.x[:].tolist() == [f"test {i}" for i in range(6)]
    assert data.test.y.tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_label_with_a_decimal_point_is_a_regression(ending, tmp_path):
    write(tmp_path / f"t.{ending}", pd.DataFrame({"text": list("abcd"), "y": [1.5, -2, 0, 7]}))
    source = read(tmp_path / f"t.{ending}")
    assert source.spec == Spec("text", (), None, ("text",))
    assert source.splits["train"].y.dtype == np.float32
    assert source.splits["train"].y.tolist() == [[1.5], [-2], [0], [7]]


@pytest.mark.parametrize(
    ("labels", "names"), [((7, 3), ("3", "7")), ((True, False), ("False", "True"))]
)
def test_whole_numbers_and_truths_of_jsonl_are_classes(labels, names, tmp_path):
    source = read(tmp_path / "t.jsonl", jsonl([("a", labels[0]), ("b", labels[1])] * 3))
    assert source.spec.class_names == names
    assert source.splits["train"].y.tolist() == [1, 0] * 3


def test_jsonl_of_columns_without_texts(tmp_path):
    rows = ['{"b": true, "a": 1, "y": "p"}', '{"a": 2.5, "b": false, "y": "q"}', ""] * 3
    source = read(tmp_path / "t.jsonl", "\n".join(rows), text=())
    assert source.spec == Spec("features", (2,), ("p", "q"), ("b", "a"))
    assert source.splits["train"].x.to_frame().to_dict("list") == {
        "b": [True, False] * 3,
        "a": [1, 2.5] * 3,
    }


def test_blank_lines_of_jsonl_are_skipped_and_counted(tmp_path):
    content = "\n" + jsonl(ROWS).replace("\n", "\n \r\n\n")
    assert len(read(tmp_path / "t.jsonl", content).splits["train"]) == 8
    odd = message(tmp_path / "t.jsonl", content + '{"text": 5, "y": "no"}\n')
    assert "t.jsonl, line 26: column 'text' holds '5' (1 such lines); expected a text" in odd


@pytest.mark.parametrize(
    "before",
    [
        "",
        '"one\ntwo",no\n"three\r\nfour\n",yes\n',
        "\n\n",
    ],
    ids=["plain", "text", "blank"],
)
def test_a_line_has_its_number_whatever_is_before_it(before, tmp_path):
    content = csv(ROWS) + before
    wrong = message(tmp_path / "t.csv", content + ",yes\n")
    assert f"t.csv, line {content.count(chr(10)) + 1}: column 'text' is empty" in wrong


@pytest.mark.parametrize("empty", ["", "  ", '"\t"'])
def test_an_empty_text_is_named_by_its_line(empty, tmp_path):
    wrong = message(tmp_path / "t.csv", csv([*ROWS, (empty, "no"), *ROWS]))
    assert "t.csv, line 10: column 'text' is empty" in wrong


def test_half_a_surrogate_pair_is_no_crash(tmp_path):
    (tmp_path / "t.jsonl").write_text(jsonl([*ROWS, ("cut \ud83d", "no")]))
    try:
        data = load_data(DataConfig(f"jsonl:{tmp_path / 't.jsonl'}", text=("text",), label="y"))
    except UserError as error:
        assert "line 9" in str(error)
    else:
        assert len(data.train) + len(data.validation) + len(data.test) == 9


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_byte_order_mark_is_no_text(ending, tmp_path):
    content = {"csv": csv, "jsonl": jsonl}[ending](ROWS)
    assert len(read(tmp_path / f"t.{ending}", "\ufeff" + content).splits["train"]) == 8


def test_columns_of_a_tfds_dataset(tfds_dir):
    settings = {"data_dir": str(tfds_dir), "train_split": "train[:99]"}
    own = load_data(DataConfig("synthetic_reviews", **settings))
    named = load_data(DataConfig("synthetic_reviews", text=("text",), label="label", **settings))
    assert own.spec == named.spec and own.spec.class_names == ("neg", "pos")
    np.testing.assert_array_equal(own.train.x, named.train.x)
    pairs = load_data(DataConfig("synthetic_reviews", text=("text", "text"), **settings))
    assert (
        pairs.spec.kind == "text_pair" and (np.count_nonzero(pairs.train.x == 2, axis=1) == 1).all()
    )
    for columns in ({"text": ("txt",)}, {"text": ("text",), "label": "txt"}):
        with pytest.raises(UserError, match=r"no column 'txt'\. Did you mean 'text'"):
            load_data(DataConfig("synthetic_reviews", **columns, **settings))


@pytest.mark.parametrize("dataset", ["synthetic_reviews", "mnist_5k"])
def test_a_column_that_holds_no_texts_is_refused(dataset, tfds_dir):
    with pytest.raises(UserError, match="label"):
        load_data(DataConfig(dataset, text=("label",), data_dir=str(tfds_dir)))


def test_a_name_with_a_comma_can_be_typed(tmp_path):
    pd.DataFrame({"text, raw": list("abcd"), "y": ["no", "yes"] * 2}).to_csv(
        tmp_path / "t.csv", index=False
    )
    for typed in ("text, raw", '"text, raw"'):
        source = read(tmp_path / "t.csv", text=parse_text_columns(typed))
        assert source.spec.feature_names == ("text, raw",)
        assert source.splits["train"].x[:].tolist() == list("abcd")


def read_weighted(path, cells, **settings):
    """A table with a column w of these cells, without splits."""
    content = "".join(json.dumps(row) + "\n" for row in weighted_rows(cells))
    path.write_text(content)
    config = DataConfig(label="y", weight="w", **settings)
    return load_table("jsonl", str(path), config)


def weighted_rows(cells):
    return [
        {"text": f"some {i}", "x": i * 1.5, "y": "no" if i % 2 else "yes", "w": cell}
        for i, cell in enumerate(cells)
    ]


@pytest.mark.parametrize("text", [(), ("text",)])
def test_weights_are_read_and_are_no_input(text, tmp_path):
    source = read_weighted(tmp_path / "t.jsonl", [0, 1, "2.5", 3, 4.5, 6], text=text)
    train = source.splits["train"]
    assert train.weights.dtype == "float32" and train.weights.tolist() == [0, 1, 2.5, 3, 4.5, 6]
    assert source.spec.feature_names == (text or ("text", "x"))
    assert source.notes[-1] == "column 'w': 1 row has weight 0: nothing is learned of them"
    assert train.select_rows(np.arange(6) > 3).weights.tolist() == [4.5, 6]


def test_large_weights_are_told(tmp_path):
    source = read_weighted(tmp_path / "t.jsonl", [100, 200, 300, 400])
    assert "the weights are 250 on average, by which they multiply the loss" in source.notes[-1]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([1, None, 1, None], "line 2: column 'w' holds nothing (2 such lines); expected a weight"),
        ([1, 1, -0.5, 1], "line 3: column 'w' holds '-0.5' (1 such lines); expected a weight"),
        ([1, "much", 1, 1], "line 2: column 'w' holds 'much' (1 such lines); expected a weight"),
        ([1, 1, 1, "inf"], "line 4: column 'w' holds 'inf' (1 such lines); expected a weight"),
        ([1, " ", 1, 1], "line 2: column 'w' holds nothing (1 such lines); expected a weight"),
        ([1e39, 1, 1, 1], "line 1: column 'w' holds '1e+39' (1 such lines); expected a weight"),
        ([0, 0, 0, 0], "has only zeros there"),
    ],
)
def test_what_is_no_weight_is_refused_with_its_line(cells, problem, tmp_path):
    with pytest.raises(UserError) as error:
        read_weighted(tmp_path / "t.jsonl", cells)
    assert problem in str(error.value)


def test_weights_stay_with_their_rows_when_some_are_held_out(tmp_path):
    """Rows without a label are left out, and the weight is the number of the text's row."""
    rows = weighted_rows(range(40))
    rows[7]["y"] = None
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load_data(
        DataConfig(f"jsonl:{path}", label="y", weight="w", columns=(("text", "drop"),))
    )
    (column,) = data.spec.columns
    x = data.train.x[:, 0] * column.scale + column.center
    np.testing.assert_allclose(data.train.weights * 1.5, x, atol=1e-4)
    assert data.settings["weight"] == "w" and len(data.train) + len(data.test) < 40
    text = load_data(DataConfig(f"jsonl:{path}", label="y", weight="w", text=("text",)))
    assert set(text.train.weights) == set(data.train.weights)


@pytest.mark.parametrize("name", ["mnist_5k", "folder:photos"])
def test_data_without_columns_has_no_weights(name, tfds_dir):
    with pytest.raises(UserError, match=r"weight=w: .* omit --weight"):
        load_data(DataConfig(name, weight="w", data_dir=str(tfds_dir)))


def test_a_column_that_only_the_training_file_has(tmp_path):
    frame = pd.DataFrame({"id": range(40), "x": np.arange(40) % 7, "y": ["a", "b"] * 20})
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame.drop(columns="id").to_csv(tmp_path / "test.csv", index=False)
    config = DataConfig(f"csv:{tmp_path}", label="y")
    with pytest.raises(UserError, match=r"no column 'id', .* pass --columns=id:drop"):
        load_data(config)
    data = load_data(dataclasses.replace(config, columns=(("id", "drop"),)))
    assert [column.name for column in data.spec.columns] == ["x"] and len(data.test) == 40
    with pytest.raises(UserError, match="columns=y:drop: this column is the label"):
        load_data(dataclasses.replace(config, columns=(("y", "drop"),)))
