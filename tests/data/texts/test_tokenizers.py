import dataclasses
import functools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from support.batches import training
from support.paths import ROOT

from zoo.data.batching import batch_order, make_evaluation_batches
from zoo.data.config import DataConfig
from zoo.data.loading import load_data
from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Arrays, Stream, pick_inputs
from zoo.data.texts.text_encoding import make_encoder, split_texts
from zoo.data.texts.tokenizer_settings import format_tokenizer
from zoo.data.texts.tokenizers import (
    check_saved_tokenizer,
    learn_tokenizer,
    read_tokenizer,
    save_tokenizer,
)
from zoo.errors import UserError

KNOWN = ("the", "film", "was", "good", "bad", "a", "b")
TOKENIZERS = {
    "words": Tokenizer("words", ("", "[UNK]", "[SEP]", *KNOWN), 12),
    "bigrams": Tokenizer("bigrams", ("", "[UNK]", "[SEP]", *KNOWN, "bad film", "a bad"), 12),
    "characters": Tokenizer("characters", ("", "[UNK]", "[SEP]", *"abcdefgh "), 12),
    "wordpiece": Tokenizer("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *KNOWN), 12),
}
TEXTS = ["", "the film", "a bad bad film, was it?", "café film!", "good " * 30]


def split(given, kind="words"):
    tokens = split_texts(tf.constant([given]), Tokenizer(kind, (), 0))
    return [token.decode() for token in tokens.to_list()[0]]


def arrays(texts):
    return Arrays(np.array(texts, object), np.arange(len(texts)) % 2)


@functools.cache
def encoder(tokenizer, columns):
    return make_encoder(tokenizer)[0]


def ids_of(tokenizer, *columns):
    """Ids of each example, without its padding."""
    rows = encoder(tokenizer, len(columns))(*map(tf.constant, columns)).numpy()
    assert rows.dtype == np.int32 and rows.shape[1] <= tokenizer.length
    for row in rows:
        assert (row[np.count_nonzero(row) :] == 0).all()  # padding is at the end alone
    return [row[row > 0].tolist() for row in rows]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("Hello, WORLD!", "hello world"),
        ("I don't 'quote' rock 'n' roll, the dogs' day", "i don't quote rock n roll the dogs day"),
        ("it\u2019s \u2018so\u2019", "it's so"),
        ("one.<br /><br />Two<br>three<br/>four", "one two three four"),
        ("1984 3.14 2nd a_b", "1984 3 14 2nd a b"),
        ("ÉTÉ nai\u0308ve ß", "été nai\u0308ve ß"),
        ("日本語。中文", "日本語 中文"),
        (b"caf\xe9 \xff\xfe ok", "caf ok"),
        ("l'été, papà's 'été'", "l'été papà's été"),
        ("_'so'_", "so"),
        ("one\0two", "one two"),
    ],
)
def test_words(given, words):
    assert split(given) == words.split()


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ("The film was good", ["the", "the film", "film", "film was", "was", "was good", "good"]),
        ("good", ["good"]),
        ("", []),
    ],
)
def test_bigrams(given, tokens):
    assert split(given, "bigrams") == tokens


def test_pairs_do_not_cross_texts():
    texts = tf.constant(["", "a b", "", "", "c", "d e f", ""])
    tokens = split_texts(texts, Tokenizer("bigrams", (), 0)).to_list()
    assert tokens == [
        [],
        [b"a", b"a b", b"b"],
        [],
        [],
        [b"c"],
        [b"d", b"d e", b"e", b"e f", b"f"],
        [],
    ]


def test_characters():
    assert split(" Ab,\n\t c<br />d ", "characters") == list("ab, c d")
    assert split(b"\xe9\xc3\xa9\xe6\x97\xa5", "characters") == ["\ufffd", "é", "日"]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_bytes_that_are_no_text_are_unknown(kind):
    (ids,) = ids_of(TOKENIZERS[kind], [b"\xff\xfe"])
    assert {TOKENIZERS[kind].vocabulary[i] for i in ids} - {"[CLS]", "[SEP]"} == {"[UNK]"}


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_an_empty_text_is_one_unknown_token(kind):
    assert ids_of(TOKENIZERS[kind], ["", " \t\n"]) == [[1], [1]]


def test_a_long_text_loses_its_end():
    assert ids_of(TOKENIZERS["words"], ["a " * 11 + "b b"]) == [[8] * 11 + [9]]
    assert ids_of(TOKENIZERS["wordpiece"], ["a " * 9 + "b b"]) == [[2, *[10] * 9, 11, 3]]


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("columns", [1, 2])
def test_a_text_has_the_same_ids_alone_and_in_any_batch(kind, columns):
    tables = [TEXTS, TEXTS[::-1]][:columns]
    together = ids_of(TOKENIZERS[kind], *tables)
    alone = [ids_of(TOKENIZERS[kind], *([t] for t in row)) for row in zip(*tables, strict=True)]
    assert [[row] for row in together] == alone
    assert len({tuple(row) for row in together}) == len(TEXTS)


def test_the_most_frequent_tokens_are_kept_and_ties_are_alphabetical():
    texts = ["c B b", "a b d", "e d", "C, a"]
    for order in (texts, texts[::-1]):
        whole, _ = learn_tokenizer(arrays(order), "words", vocabulary_size=99)
        assert whole.vocabulary == ("", "[UNK]", "[SEP]", "b", "a", "c", "d", "e")
        cut, _ = learn_tokenizer(arrays(order), "words", vocabulary_size=5)
        assert cut.vocabulary == whole.vocabulary[:5]
    characters, _ = learn_tokenizer(arrays(["ba", "ab b"]), "characters", vocabulary_size=5)
    assert characters.vocabulary == ("", "[UNK]", "[SEP]", "b", "a")
    characters = dataclasses.replace(characters, length=8)
    assert ids_of(characters, ["ab c"]) == [[4, 3, 1, 1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Texts of 1 to 90 words; the name of its file is in each."""
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("texts")
    for split_name, rows in (("train", 90), ("validation", 20), ("test", 20)):
        words = [
            " ".join([split_name] + ["more"] * n) for n in random.geometric(0.06, 2 * rows) % 90
        ]
        pairs = {"a": words[:rows], "b": words[rows:], "y": ["no", "yes"] * (rows // 2)}
        pd.DataFrame(pairs).to_csv(path / f"{split_name}.csv", index=False)
    return path


@pytest.mark.parametrize("columns", [("a",), ("a", "b")])
def test_the_length_is_the_95th_percentile_of_the_training_texts(folder, columns):
    data = load_data(DataConfig(f"csv:{folder}", text=columns, label="y"))
    frame = pd.read_csv(folder / "train.csv")
    lengths = sum(frame[c].str.split().str.len() for c in columns) + len(columns) - 1
    expected = math.ceil(np.percentile(lengths, 95) / 8) * 8
    assert expected < lengths.max() and data.spec.shape == (expected,)
    assert np.count_nonzero(data.train.x, axis=1).max() == expected
    cut = load_data(DataConfig(f"csv:{folder}", text=columns, label="y", length=5))
    assert cut.spec.shape == (5,) and cut.spec.tokenizer.length == 5
    given = load_data(
        DataConfig(f"csv:{folder}", text=columns, label="y", tokenizer=cut.spec.tokenizer)
    )
    assert given.spec == cut.spec
    assert cut.test.x.shape == (20, 5)


def test_the_vocabulary_is_that_of_the_training_split_alone(folder, tmp_path):
    data = load_data(DataConfig(f"csv:{folder}", text=("a",), label="y"))
    assert data.spec.tokenizer.vocabulary == ("", "[UNK]", "[SEP]", "more", "train")
    rows = [f"word{i},{'no' if i % 2 else 'yes'}\n" for i in range(50)]
    (tmp_path / "t.csv").write_text("text,y\n" + "".join(rows))
    config = DataConfig(f"csv:{tmp_path / 't.csv'}", text=("text",), label="y", tokenizer="words")
    data = load_data(config)
    assert len(data.spec.tokenizer.vocabulary) == 3 + len(data.train)
    for split in (data.validation, data.test):
        assert len(split) and (split.x[:, 0] == 1).all()


@pytest.mark.parametrize("length", [4, 5, 12, 17])
@pytest.mark.parametrize("kind", ["words", "wordpiece"])
def test_of_a_pair_the_longer_text_is_cut_first_and_the_room_is_used(kind, length):
    names = [side + str(i) for side in "ab" for i in range(20)]
    reserved = {"words": ("", "[UNK]", "[SEP]"), "wordpiece": TOKENIZERS[kind].vocabulary[:5]}[kind]
    tokenizer = Tokenizer(kind, (*reserved, *names), length)
    ids = {name: i for i, name in enumerate(tokenizer.vocabulary)}
    start, end = (["[CLS]"], ["[SEP]"]) if kind == "wordpiece" else ([], [])

    def reference(a, b):
        a, b = list(a), list(b)
        while len(a) + len(b) > length - len(start + end) - 1:
            (a if len(a) > len(b) else b).pop()
        return [ids[token] for token in [*start, *a, "[SEP]", *b, *end]]

    random = np.random.default_rng(length)
    pairs = [(names[:n], names[20 : 20 + m]) for n, m in random.integers(0, 21, (200, 2))]
    expected = [reference(*pair) for pair in pairs]
    columns = ([" ".join(side) for side in column] for column in zip(*pairs, strict=True))
    assert ids_of(tokenizer, *columns) == expected
    assert max(map(len, expected)) == length


def test_wordpieces_from_scratch():
    train = arrays(["The film was good.", "The film was bad!", "a café at night"] * 30)
    tokenizer, _ = learn_tokenizer(train, "wordpiece", vocabulary_size=80)
    tokenizer = dataclasses.replace(tokenizer, length=8)
    assert tokenizer.vocabulary[:5] == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    assert len(tokenizer.vocabulary) <= 80

    def tokens(*texts):
        (ids,) = ids_of(tokenizer, *([t] for t in texts))
        return " ".join(tokenizer.vocabulary[i] for i in ids)

    assert tokens("the FILM") == "[CLS] the film [SEP]"
    assert tokens("film", "good cafe") == "[CLS] film [SEP] good cafe [SEP]"
    assert tokens("film", "日 bad") == "[CLS] film [SEP] [UNK] bad [SEP]"
    assert tokens("fil") in ("[CLS] f ##i ##l [SEP]", "[CLS] fi ##l [SEP]", "[CLS] fil [SEP]")


@pytest.mark.parametrize("kind", ["words", "wordpiece"])
def test_training_texts_without_a_token_are_a_mistake(kind):
    with pytest.raises(UserError, match="the training texts are empty"):
        learn_tokenizer(arrays(["", " "]), kind, vocabulary_size=50)


def test_a_tokenizer_in_one_line():
    assert format_tokenizer(TOKENIZERS["words"]) == (
        "words, lowercased, a vocabulary of 10, at most 12 tokens in a text"
    )


def test_a_tokenizer_of_version_01_keeps_its_meaning(tmp_path):
    """HTML, a letter with an accent of its own and spaces are tokens as they were."""
    content = {"kind": "words", "vocabulary": TOKENIZERS["words"].vocabulary, "length": 12}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content | {"lowercase": True}))
    tokenizer = read_tokenizer(tmp_path / "tokenizer.json")
    assert tokenizer == TOKENIZERS["words"] and not tokenizer.normalization
    assert split("&amp;nai\u0308ve \u200ba <p> 😡 日本") == ["amp", "nai\u0308ve", "a", "p", "日本"]


def test_tokenizer_json_holds_all_of_it(tmp_path):
    vocabulary = ("", "[UNK]", "[SEP]", "日", 'a"b', "it's", "é", "\\")
    tokenizer = Tokenizer("characters", vocabulary, 40, lowercase=False, normalization="nfkc")
    save_tokenizer(Spec("text", (40,), ("a", "b"), tokenizer=tokenizer), tmp_path)
    assert read_tokenizer(tmp_path / "tokenizer.json") == tokenizer
    (tmp_path / "tokenizer.json").unlink()
    save_tokenizer(Spec("features", (2,), None), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_goes_on_keeps_its_tokens(tmp_path):
    spec = Spec("text", (12,), ("a", "b"), tokenizer=TOKENIZERS["words"])
    check_saved_tokenizer(spec, tmp_path)
    save_tokenizer(spec, tmp_path)
    check_saved_tokenizer(spec, tmp_path)
    other = dataclasses.replace(TOKENIZERS["words"], normalization="nfkc")
    with pytest.raises(
        UserError, match=r"another tokenizer\.json than the training texts give now"
    ):
        check_saved_tokenizer(dataclasses.replace(spec, tokenizer=other), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"\xff", b'{"kind": "words", "length": 8}', b'{"vocabulary": ["a"]}'),
        b'{"kind": "words", "vocabulary": 5, "length": 8}',
        b'{"kind": "words", "vocabulary": ["a"], "length": 8, "size": 1}',
        b'{"kind": "words", "vocabulary": ["", "[UNK]", "[SEP]"], "length": 8, "lowercase": true, '
        b'"normalization": "bert"}',
    ],
)
def test_a_broken_tokenizer_json_is_named(content, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(
        UserError,
        match=r"tokenizer\.json: not a tokenizer written by the zoo: (?!.*tokenizer\.json)",
    ):
        read_tokenizer(tmp_path / "tokenizer.json")


COUNT, LENGTH, BATCH = 1001, 200, 16
LENGTHS = np.random.default_rng(0).lognormal(3, 0.8, COUNT).astype(int).clip(1, LENGTH)
SPEC = Spec("text", (LENGTH,), ("even", "odd"), tokenizer=Tokenizer("words", (), LENGTH))


def numbered(kind):
    """Each text is its own number, from 1, as often as it has words."""
    x = np.where(np.arange(LENGTH) < LENGTHS[:, None], np.arange(1, COUNT + 1)[:, None], 0)
    split = Arrays(x.astype("int32"), np.arange(COUNT) % 2)

    def read(seed, rows):
        order = tf.random.experimental.stateless_shuffle(tf.range(COUNT), seed)
        examples = tf.data.Dataset.from_tensor_slices((split.x, split.y))
        return examples.batch(COUNT).map(lambda *xy: [tf.gather(t, order) for t in xy]).unbatch()

    return split if kind == "memory" else Stream(COUNT, read)


def numbers(batches):
    return np.concatenate([x["tokens"][:, 0] for x, _ in batches]) - 1


@pytest.mark.parametrize("kind", ["memory", "stream"])
def test_an_epoch_has_every_text_once_in_an_order_of_its_own(kind):
    of = training(numbered(kind), SPEC, batch_size=BATCH)
    epochs = [of(epoch) for epoch in (0, 1, 0)]
    orders = [numbers(batches).tolist() for batches in epochs]
    assert all(sorted(order) == list(range(COUNT)) for order in orders)
    assert orders[0] == orders[2] != orders[1]
    again = training(numbered(kind), SPEC, batch_size=BATCH)
    assert numbers(again(1)).tolist() == orders[1]
    for x, y in epochs[1]:
        rows = x["tokens"][:, 0] - 1
        assert (y["logits"] == rows % 2).all()
        assert (np.count_nonzero(x["tokens"], axis=1) == LENGTHS[rows]).all()  # none is cut


@pytest.mark.parametrize("kind", ["memory", "stream"])
def test_texts_of_like_length_go_together(kind):
    """Half of the padding of a random order, or less, in at most 16 widths."""
    batches = training(numbered(kind), SPEC, batch_size=BATCH)(3)
    assert len(batches) == math.ceil(COUNT / BATCH)
    widths = np.array([x["tokens"].shape[1] for x, _ in batches])
    steps = [min(13 * i, LENGTH) for i in range(1, 17)]  # 13 = 200 / 16, rounded up
    assert set(widths) <= set(steps) and len(set(widths)) > 4

    def padding(order):
        rows = [LENGTHS[order[i : i + BATCH]] for i in range(0, COUNT, BATCH)]
        return sum(len(r) * steps[math.ceil(r.max() / 13) - 1] for r in rows) - LENGTHS.sum()

    given = sum(x["tokens"].size for x, _ in batches) - LENGTHS.sum()
    assert given == padding(numbers(batches))  # no batch is wider than it has to be
    assert given < padding(np.random.default_rng(0).permutation(COUNT)) / 2
    # neither short texts first nor long ones
    assert abs(np.corrcoef(np.arange(len(widths)), widths)[0, 1]) < 0.5


@pytest.fixture(scope="module")
def reviews(tfds_dir):
    """synthetic_reviews in memory and as a stream."""
    settings = {"data_dir": str(tfds_dir), "train_split": "train[:1000]"}
    return [
        load_data(DataConfig("synthetic_reviews", **settings, memory_budget=budget))
        for budget in (None, 0)
    ]


def test_memory_and_stream_hold_the_same_tokens(reviews):
    memory, stream = reviews
    assert memory.spec == stream.spec and memory.spec.kind == "text"
    assert memory.spec.tokenizer.vocabulary[3] == "the"
    for split_name in ("train", "validation", "test"):
        assert isinstance(getattr(stream, split_name), Stream)
        x, y = zip(*getattr(stream, split_name).read(None).as_numpy_iterator(), strict=True)
        np.testing.assert_array_equal(getattr(memory, split_name).x, x)
        np.testing.assert_array_equal(getattr(memory, split_name).y, y)


@pytest.mark.parametrize("at", [0, 1], ids=["memory", "stream"])
def test_order_tells_which_raw_text_a_row_of_the_batches_is(reviews, at):
    data = reviews[at]
    batches = list(make_evaluation_batches(data.test, data.spec, batch_size=64).as_numpy_iterator())
    order = batch_order(data.test, data.spec)
    assert sorted(order) == list(range(2000)) == sorted(range(len(data.test)))
    rows = [row[row > 0].tolist() for x, _ in batches for row in x["tokens"]]
    assert ids_of(data.spec.tokenizer, pick_inputs(data.raw_test, order.tolist())) == rows
    labels = np.concatenate([y["logits"] for _, y in batches])
    np.testing.assert_array_equal(labels, reviews[0].test.y[order])
    if at == 0:
        assert [len(row) for row in rows] == sorted(len(row) for row in rows)


@pytest.mark.realdata
def test_real_mrpc():
    folder = os.environ["TFDS_DATA_DIR"]
    if not Path(folder, "glue", "mrpc").is_dir():
        pytest.skip("TFDS_DATA_DIR holds no prepared glue/mrpc")
    data = load_data(DataConfig("glue/mrpc", data_dir=folder))
    assert data.spec.kind == "text_pair"
    assert data.spec.class_names == ("not_equivalent", "equivalent")
    # the labels of its own test split are hidden
    assert data.splits["test"] == "validation" and data.splits["train"] == "train"
    assert data.splits["validation"] == "a seeded 10% of train"
    size = tfds.builder("glue/mrpc", data_dir=folder).info.splits["train"].num_examples
    assert len(data.test) == 408 and len(data.validation) == round(size / 10)
    assert len(data.train) + len(data.validation) == size
    for split in (data.train, data.validation, data.test):
        assert set(split.y) == {0, 1}
    pair = pick_inputs(data.raw_test, [7])[0]
    assert pair.shape == (2,) and pair[0] != pair[1]
    ids = ids_of(data.spec.tokenizer, [pair[0]], [pair[1]])[0]
    assert ids == data.test.x[7][data.test.x[7] > 0].tolist() and ids.count(2) == 1


def test_a_small_training_says_nothing_on_stderr(tmp_path):
    rows = [f"it was dull {i},no\nit was fun {i},yes\n" for i in range(20)]
    (tmp_path / "t.csv").write_text("text,y\n" + "".join(rows))
    flags = "--model=fasttext --hparam=buckets=9 --dataset=csv:t.csv --text=text --label=y"
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, ROOT / "train.py", *flags.split(), "--epochs=1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
