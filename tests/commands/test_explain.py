"""The command `zoo explain`: on weights, exports, a server and datasets, and its mistakes."""
# ruff: noqa: E501, a table

import functools
import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.files import write_image
from support.paths import ROOT
from support.serving_double import Double

import zoo
from zoo.commands import explain as explain_command
from zoo.commands import explain_report
from zoo.data.spec import Spec
from zoo.data.tables.columns import Column
from zoo.explaining.explanation import Explanation

GOLDEN = ROOT / "tests/golden/export"
COLUMNS = (
    Column("size", "number", center=80.0, scale=30.0),
    Column("town", "category", values=("Bonn", "Rom", "Ulm")),
)


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Exports of version 0.1, and one of flats that knows its dataset."""
    folder = tmp_path_factory.mktemp("exports")
    shutil.copytree(GOLDEN, folder, dirs_exist_ok=True)
    keras.utils.set_random_seed(0)
    spec = Spec("features", (2,), ("cheap", "dear"), ("size", "town"), columns=COLUMNS)
    model = zoo.get("perceptron", input_shape=(2,), num_classes=2, cardinalities=(0, 4))
    record = {"model": "perceptron", "dataset": "csv:flats.csv", "data_settings": {"label": "rent"}}
    zoo.export(model, folder / "flats", spec=spec, record=record)
    return folder


@pytest.fixture
def explain(exports, tmp_path, run_zoo):
    """Runs the command in a folder with inputs: (exit code, stdout, stderr)."""
    random = np.random.default_rng(0)
    write_image(tmp_path / "photos" / "1.png", random.integers(0, 256, (20, 30, 3), "uint8"))
    (tmp_path / "reviews.txt").write_text("a good film\nso dull\n")
    flats = pd.DataFrame({"size": [95, 20, 70, 88] * 10, "town": ["Rom", "Ulm", "", "Oslo"] * 10})
    flats = flats.assign(rent=["dear", "cheap"] * 20)
    flats.to_csv(tmp_path / "flats.csv", index=False)
    flats[:4].to_csv(tmp_path / "four.csv", index=False)

    return functools.partial(run_zoo, explain_command, f"--export_dir={exports}")


def test_photos_get_an_overlay(explain, exports, tmp_path):
    code, out, err = explain("--model=cnn", "photos", "--method=grad_cam")
    headline, line, last = out.splitlines()
    assert (code, err) == (0, "")
    assert headline == (
        f"cnn: Grad-CAM of the logit of the predicted class ({exports}/cnn/1, its Keras model)"
    )
    assert line.startswith("photos/1.png: ") and line.endswith("%)")
    assert last == "explanations: explanations/cnn  (photos-1.png)"
    width, height = Image.open(tmp_path / "explanations/cnn/photos-1.png").size
    assert width == 800 and height < 800


def test_texts_get_a_page_and_their_strongest_words(explain, tmp_path):
    code, out, err = explain("--model=transformer", "reviews.txt", "--out=words")
    headline, first, strongest, _, _, last = out.splitlines()
    assert (code, err) == (0, "") and "compared with a text without words" in headline
    assert first.startswith("reviews.txt, line 1: ")
    assert {word.split()[0] for word in strongest.strip().split("  ")} == {"a", "good", "film"}
    assert last == "explanations: words  (explanations.html)"
    page = (tmp_path / "words/explanations.html").read_text()
    assert page.count("<span") == 5 and ">good</span>" in page


def test_a_space_between_characters_is_named(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    sizes = np.array([0.5, -0.25], "float32")
    explanation = Explanation("occlusion", "a", 0.9, 2.0, None, sizes, (" ", "好"))
    assert explain_report._format_strongest(explanation) == "(space) +0.5  好 -0.25"


def test_rows_get_bars_or_json(explain, exports, tmp_path):
    code, out, _ = explain("--model=flats", "four.csv")
    assert code == 0 and f"({exports}/flats/1, its Keras model)" in out.splitlines()[0]
    assert out.count("four.csv, line ") == 4 and "size=95 " in out
    pictures = tmp_path / "explanations/flats"
    assert len(list(pictures.glob("four.csv-line-*.png"))) == 4
    code, out, _ = explain("--model=flats", "four.csv", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and rows[1]["input"] == {"size": 20.0, "town": "Ulm"}
    for row in rows:
        assert row["method"] == "integrated_gradients" and row["label"] in ("cheap", "dear")
        sums = sum(cell["attribution"] for cell in row["attributions"])
        assert row["output"] - row["baseline_output"] == pytest.approx(sums, abs=1e-4)
    _, out, _ = explain("--model=flats", "four.csv", "--class=dear", "--out=dear")
    assert " of the logit of the class dear, compared with" in out
    predicted = [row["label"] for row in rows]
    assert out.count(", predicted cheap") == predicted.count("cheap")
    # a linear model: what a cell adds is what it takes away
    _, out, _ = explain("--model=flats", "four.csv", "--json", "--method=occlusion")
    for row, line in zip(rows, out.splitlines(), strict=True):
        for one, other in zip(row["attributions"], json.loads(line)["attributions"], strict=True):
            assert one["column"] == other["column"]
            assert one["attribution"] == pytest.approx(other["attribution"], abs=1e-4)


def test_files_are_read_as_the_training_read_its_own(explain, exports, tmp_path):
    keras.utils.set_random_seed(0)
    columns = (COLUMNS[0], Column("город", "category", values=("Бонн", "Рим")))
    spec = Spec("features", (2,), ("cheap", "dear"), ("size", "город"), columns=columns)
    model = zoo.get("perceptron", input_shape=(2,), num_classes=2, cardinalities=(0, 3))
    settings = {"label": "rent", "encoding": "cp866", "separator": "^"}
    record = {"model": "perceptron", "dataset": "csv:x.csv", "data_settings": settings}
    zoo.export(model, exports / "odd", spec=spec, record=record)
    text = "size,город\n95,Рим\n20,Бонн\n"
    (tmp_path / "plain.csv").write_text(text)
    (tmp_path / "odd.csv").write_bytes(text.replace(",", "^").encode("cp866"))
    for place in ("--model=odd", f"--weights={exports / 'odd'}"):
        _, expected, _ = explain(place, "plain.csv", "--json")
        code, out, err = explain(place, "odd.csv", "--json")
        assert (code, err, out) == (0, "", expected.replace("plain.csv", "odd.csv"))


def test_a_server_without_the_signature_is_explained_by_occlusion(explain, exports):
    double = Double(exports, {})
    try:
        server = f"--server={double.rest}"
        code, out, _ = explain("--model=transformer", server, "reviews.txt")
        assert code == 0 and out.startswith("transformer: occlusion of the logit")
        assert "has no signature 'explain': export the model with --explain_signature" in out
        code, out, _ = explain("--model=flats", server, "four.csv", "--json")
        assert code == 0 and json.loads(out.splitlines()[0])["method"] == "occlusion"
        message = "the graph of cnn has no signature 'explain': export it with --explain_signature"
        code, _, err = explain("--model=cnn", server, "photos", "--method=integrated_gradients")
        assert code == 2 and message in err
        code, _, err = explain("--model=flats", server, "four.csv", "--class=dear")
        assert code == 2 and "flats explains the class that it predicts: pass --weights" in err
    finally:
        double.stop()


def test_shuffled_columns_of_the_dataset_of_the_training(explain, exports, tmp_path):
    code, out, err = explain("--model=flats", "--method=permutation", "--split=all")
    lines = out.splitlines()
    assert code == 0 and "all examples are scored, those of the training too" in err
    assert lines[0].startswith("csv:flats.csv, all split: accuracy 0.")
    assert lines[1] == "column  fall of the accuracy"
    assert {line.split()[0] for line in lines[2:4]} == {"size", "town"}
    folder = tmp_path / "explanations/flats"
    assert json.loads((folder / "permutation.json").read_text())["repeats"] == 5
    assert (folder / "permutation.png").stat().st_size > 5_000
    weights = f"--weights={exports / 'flats'}"
    code, out, _ = explain(weights, "--method=permutation", "--split=all", "--json")
    assert code == 0 and set(json.loads(out)) == {"accuracy", "repeats", "columns"}


MISTAKES = [
    ([], "no model: choose one with --model, such as --model=cnn"),
    (["--model=cnn", "9.png"], "9.png: there is no such file"),
    (["--model=cmn", "photos"], "has no model 'cmn'. Did you mean 'cnn'?"),
    (["--weights=runs/none", "photos"], "there is no such run, export or .keras file"),
    (["--model=cnn", "--weights=mnist", "--server=a:1", "photos"], "--weights and --server: pass one"),
    (["--model=cnn", "reviews.txt"], "reviews.txt: cnn reads images"),
    (["--model=cnn"], "no files: cnn reads images"),
    (["--model=flats", "flats.csv", "--method=grad_cam"], "perceptron has no convolution, whose output Grad-CAM needs: choose --method=integrated_gradients or"),
    (["--model=flats", "--method=permutation", "flats.csv"], "it reads a dataset: pass --dataset=csv:flats.csv instead"),
    (["--model=flats", "--method=permutation", "--grpc=a:1"], "it needs the model itself: pass --weights"),
    (["--model=flats", "--method=permutation", "--class=dear"], "--class=dear and --method=permutation: it compares scores"),
    (["--model=flats", "flats.csv", "--class=dead"], "class=dead: perceptron has no such class. Did you mean 'dear'? It has: cheap, dear"),
    (["--model=flats", "flats.csv", "--label=rent"], "--label=rent: only --method=permutation reads a dataset"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistake(arguments, message, explain):
    code, out, err = explain(*arguments)
    assert code == 2 and message in err, err
    *warnings, last = err.splitlines()
    assert out == "" and last.startswith("zoo explain: ")
    assert all(line.startswith("zoo explain: warning: ") for line in warnings)


def test_help_teaches_the_methods(explain):
    code, out, _ = explain("--help")
    assert code == 0
    for words in (
        "integrated_gradients  sums",
        "grad_cam",
        "occlusion",
        "permutation",
        "--weights",
    ):
        assert words in out
