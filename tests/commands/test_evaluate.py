"""The command `zoo evaluate`: on weights and servers, against scikit-learn, and its mistakes."""
# ruff: noqa: E501, a table

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn import metrics
from support.files import write_image
from support.paths import ROOT
from support.serving_double import Double

import zoo
from zoo.commands import evaluate
from zoo.data.images.decoding import resize_image
from zoo.data.spec import Spec, Tokenizer
from zoo.data.tables.columns import Column
from zoo.data.texts.text_encoding import make_encoder
from zoo.errors import UserError
from zoo.evaluation.compatibility import check_same_names

# command after command, in one process for the sake of their time
COMMANDS = """
import contextlib, importlib, io, json, sys
from absl.testing import flagsaver
from zoo.__main__ import main
done = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["zoo", *words]
    flags = importlib.import_module(f"zoo.commands.{words[0]}").FLAGS
    saved, code, out, err = flagsaver.save_flag_values(flags), 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exit:
            code = exit.code
    flagsaver.restore_flag_values(saved, flags)
    done.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(done))
"""
NAMES = ("lily", "rose", "tulip")
WORDS = ("", "[UNK]", "[SEP]", "good", "bad", "film", "play", "so")
FLOWERS = ("--dataset=csv:flowers", "--label=kind")
TEXTS = ("--dataset=csv:texts", "--text=said", "--label=kind")
PAIRS = ("--dataset=csv:texts", "--text=said,reply", "--label=kind")
PHOTOS = ("--dataset=folder:photos",)
PRICES = ("--dataset=csv:prices", "--label=price")


def frames(seed, count):
    random = np.random.default_rng(seed)
    flowers = pd.DataFrame(random.normal(size=(count, 2)).round(3), columns=["a", "b"])
    kinds = [NAMES[i % 3] for i in range(count)]
    said = [" ".join(random.choice(WORDS[3:], random.integers(1, 9))) for _ in range(2 * count)]
    texts = pd.DataFrame({"said": said[:count], "reply": said[count:], "kind": kinds})
    prices = flowers.assign(price=(3 * flowers.a).round(4))
    flowers = flowers.assign(kind=kinds)
    return {
        "flowers": flowers,
        "texts": texts,
        "prices": prices,
        "herbs": flowers.replace("rose", "thyme"),
        "two": flowers[flowers.kind != "rose"],
        "swapped": flowers[["b", "a", "kind"]],
        "wide": flowers.assign(c=flowers.a),
        "flats": pd.DataFrame(
            {
                "size": [None if i % 5 == 0 else f"{i},5" for i in range(count)],
                "town": [("Bonn", "Ulm", "", "Rom")[i % 4] for i in range(count)],
                "kind": kinds,
            }
        ),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data of each kind in three splits, and an untrained export for each."""
    folder = tmp_path_factory.mktemp("evaluate")
    for seed, (split_name, count) in enumerate({"train": 12, "validation": 9, "test": 33}.items()):
        for name, frame in frames(seed, count).items():
            (folder / name).mkdir(exist_ok=True)
            frame.to_csv(folder / name / f"{split_name}.csv", index=False)
        random = np.random.default_rng(seed)
        for i in range(count):
            pixels = random.integers(0, 256, (12, 9, 3), "uint8")
            write_image(folder / "photos" / split_name / NAMES[i % 3] / f"{i}.png", pixels)
    words = Tokenizer("words", WORDS, 12)
    keras.utils.set_random_seed(0)

    def export(name, built, spec, **hparams):
        model = zoo.get(built, input_shape=spec.shape, num_classes=spec.num_classes, **hparams)
        for weight in model.trainable_weights:
            weight.assign(2 * weight)
        zoo.export(model, folder / "exports" / name, spec=spec, record={"model": built})
        model.save(folder / f"{name}.keras")

    flower = Spec("features", (2,), NAMES, ("a", "b"))
    export("flower", "mlp", flower, hidden=(8,))
    columns = (
        Column("size", "number", center=9.0, scale=5.0, decimal=","),
        Column("town", "category", values=("Bonn", "Ulm")),
    )
    flat = Spec("features", (2,), NAMES, ("size", "town"), columns=columns)
    export("flat", "perceptron", flat, cardinalities=(0, 3))
    export("price", "mlp", Spec("features", (2,), None, ("a", "b")), hidden=(8,))
    export("photo", "cnn", Spec("image", (10, 8, 3), NAMES), filters=(4,), dense=8)
    sizes = {"vocabulary_size": len(WORDS), "buckets": 50}
    export("pair", "fasttext", Spec("text_pair", (12,), NAMES, tokenizer=words), **sizes)
    (folder / "a_run").mkdir()
    (folder / "a_run/flags.txt").write_text("--epochs=1\n")
    (folder / "a_file").write_text("x")
    return folder


@pytest.fixture(scope="module")
def double(folder):
    double = Double(folder / "exports")
    yield double
    double.stop()


@pytest.fixture(scope="module")
def run(python, folder):
    """Runs commands: of each (exit code, stdout, stderr)."""

    def run(*commands, name="evaluate", **environment):
        asked = json.dumps([[name, *map(str, command)] for command in commands])
        done = python("-c", COMMANDS, asked, cwd=folder, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


KINDS = {"flower": FLOWERS, "price": PRICES, "photo": PHOTOS, "pair": PAIRS}
WAYS = [(name, "weights") for name in KINDS]
WAYS += [(name, "server") for name in ("flower", "photo")]
WAYS += [(name, "grpc") for name in ("price", "pair")]


@pytest.fixture(scope="module")
def evaluations(run, folder, double):
    """metrics.json and stdout of each kind of data by each way."""
    commands = {}
    for name, way in WAYS:
        where = (f"--weights=exports/{name}",)
        if way != "weights":
            address = {"server": double.rest, "grpc": double.grpc}[way]
            where = (f"--model={name}", f"--{way}={address}")
        out = f"--out=out/{name}-{way}"
        slices = ["--slices=a"] if name == "flower" else []
        commands[name, way] = (*where, *KINDS[name], out, "--batch_size=8", *slices)
    found = {}
    for key, (code, out, err) in zip(commands, run(*commands.values()), strict=True):
        assert (code, err) == (0, ""), err
        found[key] = json.loads(Path(folder, "out", "-".join(key), "metrics.json").read_text()), out
    return found


def logits(folder, name, **inputs):
    return np.asarray(zoo.load(folder / f"exports/{name}")(inputs)["logits"])


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_scores_against_scikit_learn(name, way, evaluations, folder):
    found, out = evaluations[name, way]
    test = frames(2, 33)
    words = Tokenizer("words", WORDS, 12)
    if name in ("flower", "price"):
        x = {"features": test["flowers"][["a", "b"]].to_numpy("float32")}
    elif name == "photo":
        from PIL import Image

        files = sorted(
            (folder / "photos/test").glob("*/*.png"), key=lambda p: (p.parent.name, p.name)
        )

        pixels = [np.asarray(Image.open(file)) for file in files]
        x = {"image": np.stack([resize_image(one, (10, 8, 3)) for one in pixels])}
    else:
        encode, _ = make_encoder(words)
        x = {"tokens": encode(*(test["texts"][column].tolist() for column in ("said", "reply")))}
    output = logits(folder, name, **x)
    scores = found["scores"]
    assert scores["examples"] == 33 and found["from"].endswith(
        "test" if name == "photo" else "test.csv"
    )
    if name == "price":
        assert scores["mae"] == pytest.approx(
            metrics.mean_absolute_error(test["prices"].price, output[:, 0]), rel=1e-4
        )
        assert "MAE" in out
        return
    kinds = [file.parent.name for file in files] if name == "photo" else test["flowers"].kind
    target = np.array([NAMES.index(kind) for kind in kinds])
    assert scores["accuracy"] == metrics.accuracy_score(target, output.argmax(-1))
    probabilities = special.softmax(output.astype("f8"), axis=-1)
    assert scores["loss"] == pytest.approx(metrics.log_loss(target, probabilities), rel=1e-4)
    auc = metrics.roc_auc_score(target, probabilities, multi_class="ovr")
    assert scores["auc"] == pytest.approx(auc, abs=1e-4)
    assert [row["class"] for row in scores["per_class"]] == list(NAMES)
    assert f"test: accuracy {scores['accuracy']:.2%}" in out and "rose" in out


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_all_ways_find_the_same(name, way, evaluations, folder):
    drawn = {"price": {"predictions.png"}, "flower": set(), "photo": {"examples.png"}}
    shown = {"card.md", "metrics.json"} | drawn.get(name, {"mistakes.txt"})
    shown |= {"confusion.png", "reliability.png"} if name != "price" else set()
    if way == "weights":
        shown.add("mistakes.html" if name == "pair" else "attributions.png")
    first, found = evaluations[name, "weights"][0], evaluations[name, way][0]
    assert found["scores"].get("per_class") == first["scores"].get("per_class")
    assert {p.name for p in (folder / f"out/{name}-{way}").iterdir()} == shown
    assert ("multiply_adds" in found) == (way == "weights")
    if name == "pair":
        texts = [(folder / f"out/{name}-{w}/mistakes.txt").read_text() for w in ("weights", way)]
        assert len({tuple(sorted(text.split("\n\n"))) for text in texts}) == 1


def test_a_table_of_columns_has_the_scores_of_the_model_on_a_server(run, folder, double):
    data = ("--dataset=csv:flats", "--label=kind")
    ways = {"own": "--weights=exports/flat", "rest": f"--server={double.rest}"}
    done = run(
        (ways["own"], *data, "--out=out/flat-own"),
        (ways["rest"], "--model=flat", *data, "--out=out/flat-rest"),
    )
    found = {way: json.loads((folder / f"out/flat-{way}/metrics.json").read_text()) for way in ways}
    assert [code for code, *_ in done] == [0, 0], done
    assert found["own"]["scores"]["per_class"] == found["rest"]["scores"]["per_class"]
    assert found["own"]["scores"]["loss"] == pytest.approx(found["rest"]["scores"]["loss"], 1e-5)
    # what the training split had is not known of a server
    own, rest = (err for *_, err in done)
    told = (
        "16 of 33 rows of the test split have values that the model does not know",
        "the median",
    )
    assert all(note in own and note not in rest for note in told)
    assert "column 'size': in the test split, ',' is the decimal mark" in rest


def test_scores_are_divided_by_a_column(evaluations, folder):
    (found, out), (by_server, _) = (evaluations["flower", way] for way in ("weights", "server"))
    slices = found["slices"]
    assert slices == by_server["slices"] and slices["column"] == "a"
    scores = [row["score"] for row in slices["groups"]]
    assert scores == sorted(scores) and len(scores) == 4
    # the ranges are those of all splits
    a = pd.concat(frames(i, n)["flowers"].a for i, n in enumerate((12, 9, 33)))
    limits = {f"{a.min():.6g}", f"{a.max():.6g}"}
    assert limits <= {one for row in slices["groups"] for one in row["group"].split(" to ")}
    right = sum(row["score"] * row["examples"] for row in slices["groups"])
    assert right == pytest.approx(33 * found["scores"]["accuracy"])
    assert "largest gap of the accuracy: " in out
    card = (folder / "out/flower-weights/card.md").read_text()
    assert "### Scores by a\n" in card and "for other differences between groups" in card
    assert "for differences between groups" in (folder / "out/price-weights/card.md").read_text()


def test_mistakes_are_those_of_the_file(evaluations, folder):
    lines = (folder / "out/pair-weights/mistakes.txt").read_text().splitlines()
    row = int(re.search(r"row (\d+):", lines[2])[1])
    frame = frames(2, 33)["texts"]
    assert lines[3:5] == [frame.said[row], frame.reply[row]] and lines[2].startswith(
        f"{frame.kind[row]}, predicted as "
    )


def test_card(evaluations, folder):
    card = (folder / "out/flower-weights/card.md").read_text()
    assert card.startswith("# mlp on csv:flowers\n")
    assert "| parameters | 56 |" in card and "(reliability.png)" in card
    assert 'zoo.load("exports/flower")' in card
    card = (folder / "out/photo-server/card.md").read_text()
    assert card.startswith("# photo on folder:photos\n") and "unknown" in card


def test_splits_and_files_that_stand_alone(run, folder):
    validation, alone, priced = run(
        ("--weights=exports/flower/1", *FLOWERS, "--split=validation"),
        ("--weights=flower.keras", *FLOWERS, "--out=alone"),
        ("--weights=price.keras", *PRICES, "--out=priced"),
    )
    assert validation[0] == 0 and "validation: accuracy" in validation[1]
    assert (
        validation[1].splitlines()[-1].startswith("evaluation: evaluations/mlp-flowers-validation")
    )
    found = json.loads((folder / "evaluations/mlp-flowers-validation/metrics.json").read_text())
    assert found["scores"]["examples"] == 9 and found["split"] == "validation"
    assert alone[0] == 0 and ", 33 examples" in alone[1]
    assert priced[0] == 0 and "\n\n" not in priced[1], priced


@pytest.mark.parametrize("data", ["wide", "swapped"])
def test_columns_go_by_name(data, run, folder):
    own, other = run(
        ("--weights=exports/flower", *FLOWERS),
        ("--weights=exports/flower", f"--dataset=csv:{data}", "--label=kind"),
    )
    assert own[0] == other[0] == 0, other
    scores = [
        json.loads((folder / f"evaluations/mlp-{name}-test/metrics.json").read_text())["scores"]
        for name in ("flowers", data)
    ]
    assert scores[0] == scores[1]


def test_a_run_on_its_own_data(run, train, iris_csv):
    """Held-out rows are those of the run's seed; with others a warning tells."""
    flags = ("--model=mlp", f"--dataset=csv:{iris_csv}", "--label=species", "--hparam=hidden=8")
    code, _, err = train(*flags, "--epochs=2", "--seed=5", "--run_dir=run", "--nojit_compile")
    assert code == 0, err
    own = (f"--weights={Path('run').absolute()}", "--label=species")
    same, other = run((*own, "--out=own"), (*own, "--out=other", "--holdout=0.3"))
    before = json.loads(Path("run/metrics.json").read_text())["test"]
    # a flower of the iris data is there twice
    twice = "zoo evaluate: warning: 1 of 15 rows of the test split have the same inputs as rows of"
    assert same[0] == 0 and same[2].startswith(twice) and same[2].count("\n") == 1
    accuracy = f"accuracy {before['accuracy']:.2%}"
    assert accuracy in same[1] and f"{before['examples']} examples" in same[1]
    assert other[0] == 0 and other[2].count("\n") == 2
    assert "but was a seeded 10% of each class of train.csv when the model was trained" in other[
        2
    ].replace(str(iris_csv), "train.csv")
    card = Path("run/card.md").read_text()
    assert f"accuracy | {before['accuracy']:.2%}" in card and "(curves.png)" in card


@pytest.mark.realdata
def test_glue_without_labelled_test_split(run, tmp_path):
    names = ("not_equivalent", "equivalent")
    spec = Spec("text_pair", (12,), names, tokenizer=Tokenizer("words", WORDS, 12))
    model = zoo.get("fasttext", input_shape=(12,), vocabulary_size=len(WORDS), buckets=50)
    zoo.export(model, tmp_path / "pairs", spec=spec)
    data = ("--dataset=glue/mrpc", f"--data_dir={os.environ['TFDS_DATA_DIR']}")
    ((code, out, err),) = run((f"--weights={tmp_path}/pairs", *data, f"--out={tmp_path}/out"))
    assert code == 0 and "test split (validation)" in out and "408 examples" in out
    *warnings, unknown = err.splitlines()
    assert warnings == [
        "zoo evaluate: warning: glue/mrpc: these columns are not read: idx",
        "zoo evaluate: warning: glue/mrpc/test is left out: its column 'label' is empty",
    ]
    assert "tokens of the scored texts are not in the vocabulary" in unknown


SERVER = "--server=127.0.0.1:9"
MISTAKES = [
    ((), "nothing to score: pass one of --weights, --preset, --server and --grpc (or --kfold)"),
    (("--weights=x", SERVER), "--weights and --server: pass one of --weights, --preset, --server and --grpc"),
    (("runs/a",), "'runs/a': expected only flags, such as --model=cnn (see --help)"),
    (("--weights=exports/flower", *FLOWERS, "--slices=c"), "slices='c': flowers/train.csv has no such column. The columns are a, b, kind"),
    (("--weights=exports/photo", *PHOTOS, "--slices=c"), "slices=c: folder:photos has no columns: omit --slices"),
    (("--model=mlp", *FLOWERS, "--kfold=2", "--slices=a"), "--slices=a and --kfold: the scores of folds are not divided"),
    (("--weights=nowhere", *FLOWERS), "weights=nowhere: there is no such run, export or .keras file"),
    (("--weights=a_file", *FLOWERS), "a_file: there is no model; expected a run folder"),
    (("--weights=flower.keras",), "no dataset: choose one with --dataset, such as --dataset=mnist"),
    ((SERVER, *FLOWERS), "--server: choose a model of the server with --model"),
    ((SERVER, "--model=flower"), "no dataset: choose one with --dataset"),
    (("--server=nowhere", "--model=flower", *FLOWERS), "'nowhere' is not an address: expected HOST:PORT"),
    (("--weights=exports/flower", "--model=cnn", *FLOWERS), "weights=exports/flower: the model is mlp, not cnn: omit --model"),
    (("--weights=exports/flower", "--dataset=csv:flowers"), "no column to predict: choose one with --label=COLUMN"),
    (("--weights=exports/flower", *TEXTS), "exports/flower reads features, but csv:texts has text: choose data of the same kind"),
    (("--weights=exports/pair", *TEXTS), "exports/pair reads text_pair, but csv:texts has text: choose"),
    (("--weights=exports/flower", *PHOTOS), "exports/flower reads features, but folder:photos has image"),
    (("--weights=exports/photo", *FLOWERS), "image_size=(10, 8): csv:flowers has no images to resize"),
    (("--weights=exports/photo", *PHOTOS, "--image_size=9"), "of shape (10, 8, 3), but folder:photos has shape (9, 9, 3)"),
    (("--weights=exports/photo", *PHOTOS, "--image_size=x"), "--image_size='x'"),
    (("--weights=exports/flower", "--dataset=csv:herbs", "--label=kind"), "herbs/test.csv, line 3: column 'kind' holds 'thyme' (11 such lines); expected a class of the model: correct or remove these lines"),
    (("--weights=flower.keras", "--dataset=csv:two", "--label=kind"), "flower.keras has 3 classes, but csv:two has 2: choose data with the same classes"),
    (("--weights=pair.keras", *TEXTS), "weights=pair.keras: this model reads texts, but there is no tokenizer.json next to it"),
    (("--weights=exports/price", *FLOWERS), "flowers/train.csv, line 2: column 'kind' holds 'lily' (12 such rows); a regression needs numbers"),
    (("--weights=exports/flower", *PRICES), "prices/test.csv, line 2: column 'price' holds '0.567' (33 such lines); expected a class of the model"),
    (("--weights=exports/flower", *FLOWERS, "--out=a_run"), "a_run: this is the folder of a run: choose another folder"),
    (("--weights=exports/flower", *FLOWERS, "--out=a_file/x"), "a_file/x: cannot write to this folder"),
    (("--weights=exports/flower", *FLOWERS, "--split=dev"), "--split=dev: expected one of test, validation, train, all"),
    (("--kfold=1", "--model=mlp", *FLOWERS), "--kfold=1"),
    (("--kfold=3", *FLOWERS), "no model: choose one with --model, such as --model=cnn"),
    (("--kfold=3", "--model=mlp", "--weights=exports/flower", *FLOWERS), "--weights and --kfold: --kfold trains the model from scratch: omit one of them"),
    (("--kfold=5", "--model=mlp", *FLOWERS), "kfold=5: 4 examples of class 'lily': use at most 4 folds"),
    (("--kfold=13", "--model=mlp", *PRICES), "kfold=13: 12 examples: use at most 12 folds"),
    (("--kfold=2", "--model=mlp", "--epochs=0", *PRICES), "epochs=0: expected a whole number, at least 1"),
]  # fmt: skip


@pytest.fixture(scope="module")
def mistakes(run):
    return run(*(arguments for arguments, _ in MISTAKES))


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_mistakes(number, mistakes):
    (code, out, err), expected = mistakes[number], MISTAKES[number][1]
    assert (code, out) == (2, "") and err.count("\n") == 1, (code, out, err)
    assert err.startswith("zoo evaluate: ") and expected in err


def test_mistakes_about_results(run):
    none, other = run(("--out=table",), ("--out=table", "nowhere"), name="results")
    assert none == [
        2,
        "",
        "zoo results: no runs: expected their folders, as in zoo results runs/*\n",
    ]
    message = "nowhere: not a finished run: expected a folder with metrics.json"
    assert other == [2, "", f"zoo results: {message}\n"]


def test_mistakes_about_a_server(run, double):
    there = f"--grpc={double.grpc}"
    cases = {
        (
            "--model=flower",
            "--dataset=csv:herbs",
            "--label=kind",
        ): "flower has the classes lily, rose, tulip, but the dataset has lily, thyme, tulip: choose",
        (
            "--model=flower",
            "--dataset=csv:two",
            "--label=kind",
        ): "the dataset has lily, tulip: choose",
        ("--model=none", *FLOWERS): "does not serve none",
        ("--model=flower", *TEXTS): "reads features, but csv:texts has text",
    }
    done = run(*((there, *command) for command in cases))
    for (code, _, err), expected in zip(done, cases.values(), strict=True):
        assert code == 2 and err.count("\n") == 1 and expected in err, err


def test_help_is_quick_and_without_tensorflow():
    code = "import sys, runpy\nsys.argv[1:] = ['evaluate', '--help']\nrunpy.run_module('zoo', run_name='__main__', alter_sys=True)\nassert 'tensorflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    for word in ("--kfold", "--weights", "--split", "--hparam", "--epochs", "--dataset"):
        assert done.stdout.count(f"\n  {word} ") + done.stdout.count(f"\n  {word}\n") == 1


def test_settings_of_a_training_are_not_used_in_silence():
    values = copy.deepcopy(evaluate.FLAGS)
    values(["zoo"])
    assert evaluate.describe_unused_flags(values) == ""
    values(["zoo", "--weights=run", "--batch_size=9", "--threshold=0.4", "--l2=1", "--hparam=a=1"])
    assert evaluate.describe_unused_flags(values).startswith("not used: --l2, --hparam: the model")
    values(["zoo", "--l1=1", "--ema=0.9", "--epochs=2"])
    assert "--ema, --epochs, --l1 and 2 more: " in evaluate.describe_unused_flags(values)


def test_of_many_names_those_from_the_first_that_differs_are_shown():
    ours = tuple(map(str, range(40)))
    theirs = (*ours[:20], "x", *ours[21:])
    with pytest.raises(UserError, match=r"it has the classes \.\.\. 20, 21, ") as error:
        check_same_names("it", "classes", ours, "d", theirs)
    assert "29 ..., but d has ... x, 21" in str(error.value)
    with pytest.raises(UserError) as error:
        check_same_names("it", "classes", ours[:35], "d", ours)
    expected = "it has the classes ... , but d has ... 35, 36, 37, 38, 39: choose"
    assert expected in str(error.value)
    check_same_names("it", "classes", ours, "d", ours)
