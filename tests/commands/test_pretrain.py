"""`zoo pretrain` from the flags to the run that is fine-tuned."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.commands import evaluate as evaluate_command
from zoo.commands import pretrain as pretrain_command

SMALL = ("--hparam=width=8", "--hparam=heads=2", "--hparam=feed_forward=8")
RUN = Path("runs/transformer-reviews-pretrained")


def write_reviews(path="reviews.csv", rows=40):
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(["good", "bad", "film", "plot"], 6)) for _ in range(rows)]
    labels = ["pos" if text.count("good") > text.count("bad") else "neg" for text in texts]
    pd.DataFrame({"review": texts, "label": labels}).to_csv(path, index=False)


@pytest.mark.usefixtures("without_export")
def test_from_texts_to_a_fine_tuned_model(run_zoo, train):
    write_reviews()
    flags = ("--dataset=csv:reviews.csv", "--text=review", "--epochs=1", *SMALL)
    code, out, err = run_zoo(pretrain_command, *flags)
    assert code == 0 and not err, err
    lines = out.splitlines()
    assert lines[0].startswith("transformer, ") and lines[0].endswith(
        "pretrained on csv:reviews.csv (reviews.csv): 36 texts to train on, 4 to validate; devices:"
        " cpu (requested)"
    )
    assert lines[1].startswith("texts: words, lowercased, a vocabulary of 7, at most 8 tokens")
    assert lines[-2].startswith("validation: perplexity ") and "of 4 hidden tokens" in lines[-2]
    advice = f"to fine-tune it, add a dataset: zoo train --model=transformer --weights={RUN}"
    assert lines[-1] == advice
    record = json.loads((RUN / "metrics.json").read_text())
    assert record["spec"]["is_masked"] and record["validation"]["tokens"] == 4

    code, out, err = run_zoo(pretrain_command, *flags)
    assert code == 0 and out.splitlines() == [
        f"{RUN} is finished: raise --epochs to continue it, or pass --overwrite to start over",
        lines[-2],
    ]
    code, out, err = run_zoo(evaluate_command, f"--weights={RUN}", "--dataset=csv:reviews.csv")
    assert code == 2 and err == (
        f"zoo evaluate: {RUN}: this model was pretrained and guesses hidden words only: fine-tune "
        f"it first, with zoo train --model=transformer --weights={RUN} and a dataset with labels\n"
    )
    pretrained = zoo.load(RUN)
    code, out, err = train("--model=transformer", f"--weights={RUN}", "--dataset=csv:reviews.csv",
                           "--text=review", "--label=label", "--epochs=1", "--trainable=head",
                           "--run_dir=tuned")  # fmt: skip
    assert code == 0 and out.count("  copied") == 4, out + err
    assert "head" in out and "new: no layer of this name in the source" in out
    tuned = zoo.load("tuned")
    for name in ("embedding", "positions", "encoder_1", "norm"):
        pairs = zip(
            pretrained.get_layer(name).get_weights(), tuned.get_layer(name).get_weights(),
            strict=True,
        )  # fmt: skip
        for before, after in pairs:
            np.testing.assert_array_equal(before, after)
    assert zoo.get("transformer", weights=RUN, num_classes=3).output["logits"].shape == (None, 3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=cnn"], "cnn reads image data: a pretraining needs a model of texts: pass --mod"),
        (["--model=fasttext"], "fasttext has no encoder to pretrain: expected token embeddings, "),
        (["--dataset=txt:none.txt"], "txt:none.txt: there is no such file: expected one file of "),
        (["--dataset=txt:."], "txt:.: there is no such file: expected one file of texts, such as "),
        (["--dataset=txt:one.txt"], "txt:one.txt: 1 text: expected two at least, to hold one out"),
        (["--dataset=one.txt"], "dataset=one.txt: this is a path: write txt:one.txt"),
        (["--dataset=./reviews.csv"], "dataset=./reviews.csv: this is a path: write csv:./reviews"),
        (["--dataset=."], ".: this is a folder: texts are read from one file, such as txt:reviews"),
        (["--dataset=folder:photos"], "folder:photos: this is a folder: texts are read from one f"),
        (["--dataset=txt:one.txt", "--text=a"], "text=a: one.txt has no columns: omit --text"),
        (["--dataset=csv:reviews.csv"], "reviews.csv: choose the column of texts with --text. It "
                                        "has: review, label"),
        (["--dataset=csv:reviews.csv", "--text=reveiw"], "reviews.csv has no column 'reveiw'. Did "
                                                         "you mean 'review'? It has: review, lab"),
        (["--dataset=csv:reviews.csv", "--text=review,label"], "text=review,label: texts are pre"),
        (["--dataset=csv:reviews.csv", "--train_split=train"], "train_split=train: csv:reviews.cs"),
        (["--dataset=synthetic_reviews", "--train_split=none"], "train_split='none': synthetic_re"),
        (["--dataset=mnist_5k"], "mnist_5k has no column of texts: choose a dataset with texts"),
        (["--monitor=f1"], "monitor='f1': a pretraining has no such score: expected loss, or acc"),
        (["--label=x"], "there is no flag --label"),
    ],
)  # fmt: skip
def test_one_line_says_what_to_do(run_zoo, tfds_dir, flags, message):
    write_reviews()
    Path("one.txt").write_text("a text\n\n")
    Path("synthetic_reviews").mkdir()  # which the dataset of this name is not
    if "--model=fasttext" in flags:
        flags = [*flags, "--dataset=csv:reviews.csv", "--text=review"]
    code, out, err = run_zoo(pretrain_command, f"--data_dir={tfds_dir}", *flags)
    assert code == 2 and err.count("\n") == 1 and not out, err
    assert err.startswith(f"zoo pretrain: {message}"), err
    assert not Path("runs").exists()


def test_splits_that_are_scored_are_left_alone(run_zoo, tfds_dir):
    code, out, err = run_zoo(
        pretrain_command, f"--data_dir={tfds_dir}", "--dataset=synthetic_reviews",
        "--train_split=train[:100]", "--epochs=1", *SMALL,
    )  # fmt: skip
    assert code == 0 and "(train[:100]): 90 texts to train on, 10 to validate" in out, err
