"""Columns of texts beside numbers and categories."""

import json

import numpy as np
import pandas as pd
import pytest

from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.data.spec import Spec
from zoo.data.splits import Arrays
from zoo.data.tables.cells import STRING
from zoo.data.tables.column_encoding import make_column_encoder
from zoo.data.tables.column_inference import infer_columns
from zoo.data.tables.column_notes import format_columns
from zoo.data.tables.column_texts import learn_column_tokenizers
from zoo.data.tables.columns import column_to_record, columns_from_record, count_features
from zoo.data.tables.frame_rows import FrameRows
from zoo.data.tables.table_encoding import encode_rows, make_random_records
from zoo.data.texts.batch_encoding import tokenize_splits
from zoo.errors import UserError

REVIEWS = [f"a film, number {i}, that was {'good' if i % 2 else 'bad'}" for i in range(60)]
CHINESE = [f"这部电影{'很好看' if i % 2 else '不好看'}{i}" for i in range(60)]
FRAME = pd.DataFrame(
    {
        "review": [*REVIEWS[:-1], ""],
        "stars": [str(i % 5) for i in range(60)],
        "remark": CHINESE,
        "city": ["Oslo", "Rome", "Bonn"] * 20,
    },
    dtype=STRING,
)


def learn(frame=FRAME, kinds=None, **settings):
    rows = FrameRows(frame)
    columns, notes = infer_columns(rows, kinds)
    columns, more = learn_column_tokenizers(columns, rows, rows, DataConfig(**settings))
    return columns, (*notes, *more)


def encode(frame, columns):
    return encode_rows(FrameRows(frame), columns, budget=1 << 30)


def test_texts_are_found_by_their_words():
    kinds = {column.name: column.kind for column in learn()[0]}
    assert kinds == {"review": "text", "stars": "number", "remark": "text", "city": "category"}
    frame = FRAME.assign(name=[f"Ann Lee {i}" for i in range(60)], same=[*REVIEWS[:3]] * 20)
    columns, notes = infer_columns(FrameRows(frame))
    assert {c.name: c.kind for c in columns} == kinds | {"same": "category"}
    assert any("'name' is left out: almost each row has a value of its own" in n for n in notes)
    named, _ = infer_columns(
        FrameRows(frame), {"name": "text", "review": "drop", "remark": "category"}
    )
    assert {c.name: c.kind for c in named}["name"] == "text"


def test_each_column_has_a_tokenizer_of_its_own():
    columns, notes = learn(vocabulary_size=20)
    review, _, remark, _ = columns
    assert review.tokenizer.kind == "words" and "film" in review.tokenizer.vocabulary
    assert len(review.tokenizer.vocabulary) == 20
    assert remark.tokenizer.kind == "characters" and "影" in remark.tokenizer.vocabulary
    assert any(note.startswith("column 'remark': tokens are characters") for note in notes)
    assert format_columns(columns).splitlines()[0] == (
        "  review  text      words, lowercased, a vocabulary of 20, at most 8 tokens in a text, "
        "some missing"
    )
    with pytest.raises(UserError, match="columns=review:text: all its cells"):
        learn(FRAME.assign(review=""), {"review": "text"})


def test_the_tokens_follow_the_other_features():
    columns, _ = learn()
    review, _, remark, _ = (column.tokenizer for column in columns)
    features = encode(FRAME, columns)
    assert features.shape == (60, 2 + review.length + remark.length)
    assert features.shape[1] == count_features(columns)
    assert features[:3, 1].tolist() == [2, 3, 1]  # the codes of Oslo, Rome and Bonn
    for tokenizer, name, part in (
        (review, "review", features[:, 2 : 2 + review.length]),
        (remark, "remark", features[:, 2 + review.length :]),
    ):
        texts = Arrays(FRAME[name].to_numpy(object), np.zeros(60))
        splits, _ = tokenize_splits({"": texts}, Spec("text", (), None), tokenizer)
        np.testing.assert_array_equal(part, splits[""].x)
    assert features[59, 2 : 2 + review.length].tolist() == [1, *[0] * (review.length - 1)]


def test_missing_texts_are_written_as_other_missing_cells():
    columns, _ = learn()
    frame = FRAME[:3].assign(review=["", " NA ", "null"])
    features = encode(frame, columns)
    assert (features[:, 2:4] == [1, 0]).all()


def test_tokenizers_survive_a_record():
    columns, _ = learn(tokenizer="characters")
    records = json.loads(json.dumps([column_to_record(column) for column in columns]))
    assert columns_from_record(records) == columns
    assert "tokenizer" not in records[1]  # as in records of versions without texts
    for wrong in ({}, None, "x", {**records[0]["tokenizer"], "vocabulary": ["a"]}):
        with pytest.raises(UserError, match="no valid tokenizer"):
            columns_from_record([records[0] | {"tokenizer": wrong}])
    random = make_random_records(columns, 5, np.random.default_rng(0))
    cells = {name: random[name] for name in random.dtype.names}
    assert np.isfinite(make_column_encoder(columns)[0](cells)).all()


def test_a_table_with_texts_is_loaded(tmp_path):
    file = tmp_path / "films.csv"
    label = ["good" if i % 2 else "bad" for i in range(60)]
    FRAME.assign(label=label).to_csv(file, index=False)
    data = load_data(DataConfig(f"csv:{file}", label="label", length=6))
    assert [sizes[1] for sizes in data.spec.texts] == [6, 6]
    assert data.train.x.shape[1] == data.spec.shape[0] == 2 + 6 + 6
    cut = [note for note in data.notes if "training texts are longer than 6 tokens" in note]
    assert [note.split(":")[0] for note in cut] == ["column 'review'", "column 'remark'"]
    for settings, message in (
        ({"columns": (("review", "drop"), ("remark", "drop")), "length": 6}, "has no texts"),
        ({"text": ("remark",), "columns": (("city", "drop"),)}, "columns=city:drop: .* omit"),
    ):
        with pytest.raises(UserError, match=message):
            load_data(DataConfig(f"csv:{file}", label="label", **settings))
