import hashlib
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds

from zoo.data.sources import synthetic_reviews
from zoo.data.sources.synthetic_reviews import ADJECTIVES, EXTREMES, TONES, VERBS

BAD, GOOD = (
    re.compile(rf"\b({'|'.join(words)})\b")
    for words in (ADJECTIVES[label] + EXTREMES[label] + VERBS[label] for label in (0, 1))
)
NEGATED = re.compile(r"n't\b|\b(not|hardly|never|far from|by no means|in no way)\b")
STRONG, MILD = (re.compile("|".join(TONES[tone])) for tone in ("strong", "mild"))


def read(text):
    """The label by the rules of the docstring, told from the text and not from the grammar."""
    text = text.lower().replace("anything but", "never")
    text = re.sub(r"\b(although|while) [^,]*,|, even though [^.]*", "", text)
    text = re.split(r"\bbut\b|\bstill,|\bhowever,|\beven so,", text)[-1]
    clauses = [c for c in re.split("[.,;]", text) if BAD.search(c) or GOOD.search(c)]
    weight = {c: 2 if STRONG.search(c) else 0 if MILD.search(c) else 1 for c in clauses}
    decides = max(clauses, key=weight.get)
    return int(bool(GOOD.search(decides)) != bool(NEGATED.search(decides)))


@pytest.fixture(scope="module")
def reviews():
    return synthetic_reviews.reviews(10_000)


@pytest.fixture(scope="module")
def prepared(tfds_dir):
    builder = tfds.builder("synthetic_reviews", data_dir=tfds_dir)
    assert builder.info.features["label"].names == ["neg", "pos"]

    def split(name):
        rows = tfds.as_numpy(builder.as_dataset(split=name, as_supervised=True))
        return [(text.decode(), int(label)) for text, label in rows]

    return split("train"), split("test")


def test_sizes_and_balance(prepared, reviews):
    train, test = prepared
    assert (len(train), len(test)) == (8000, 2000)
    for split in prepared:
        assert np.bincount([label for _, label in split]).tolist() == [len(split) / 2] * 2
    assert sorted(train + test) == sorted(reviews)


def test_no_text_is_there_twice(prepared):
    train, test = ({" ".join(re.findall(r"\w+", text.lower())) for text, _ in p} for p in prepared)
    assert not train & test
    assert len(train) > 7990  # some differ in punctuation only


def test_is_the_same_twice(reviews):
    def digest(examples):
        return hashlib.sha256(repr(examples).encode()).hexdigest()

    assert digest(reviews) == digest(synthetic_reviews.reviews(10_000))
    assert digest(reviews) != digest(synthetic_reviews.reviews(10_000, seed=1))


def test_reads_like_sentences(reviews):
    lengths = [len(text.split()) for text, _ in reviews]
    assert min(lengths) >= 10 and max(lengths) <= 45
    for text, _ in reviews:
        sentences = re.findall(r"[A-Z][^.]*\.(?: |$)", text)
        assert "".join(sentences) == text and 2 <= len(sentences) <= 4


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The plot was dull.", 0),
        ("The plot wasn't dull.", 1),
        ("It is far from a great film.", 0),
        ("The cast never lost me.", 1),
        ("The acting was great, but the plot ruined the evening.", 0),
        ("It was a bit slow, but an absolutely wonderful film.", 1),
        ("Although the acting is hardly clever, the music is charming.", 1),
        ("The music is charming, even though the acting is clever.", 1),
        ("The music was not charming. Still, the acting was anything but dull.", 1),
        ("The cast is slightly warm, and the ending is utterly flat.", 0),
        ("The ending is utterly flat; the cast is slightly warm.", 0),
    ],
)
def test_the_rules(text, label):
    assert read(text) == label


def test_the_labels_follow_from_the_rules(reviews):
    assert [text for text, label in reviews if read(text) != label] == []


@pytest.mark.parametrize("label", [0, 1])
def test_a_negated_clause_says_the_opposite(label):
    random = np.random.default_rng(0)
    for tone in TONES:
        said = 1 - label if tone == "negated" else label
        for _ in range(50):
            clause = synthetic_reviews._generate_clause(random, label, tone, "the plot", "was")
            assert (BAD, GOOD)[said].search(clause) and not (GOOD, BAD)[said].search(clause)


def test_counted_words_do_not_solve_it(prepared):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, test = prepared
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=500))
    model.fit(*zip(*train, strict=True))
    assert 0.55 < model.score(*zip(*test, strict=True)) < 0.85
