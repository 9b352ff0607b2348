"""The command `zoo predict`: in this process and through both APIs, and its mistakes."""
# ruff: noqa: E501, a table

import csv
import functools
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from support.files import write_image
from support.images import read_by_pillow, with_orientation, write_odd_images
from support.paths import ROOT
from support.serving_double import Double, small_models
from support.text_folders import write_text_folder

from zoo.commands import predict
from zoo.data.images.decoding import resize_image
from zoo.data.spec import Spec
from zoo.serving.client import Client
from zoo.serving.rows.row_log import RowLog

# runs command after command, in a process of its own for the sake of its flags
WORKER = """
import contextlib, io, json, sys, traceback
from absl.testing import flagsaver
from zoo.__main__ import main
from zoo.commands.predict import FLAGS
from zoo.commands.runner import import_tensorflow
import_tensorflow()
import tensorflow as tf
load, loaded = tf.saved_model.load, {}
def load_once(path, tags):
    if path not in loaded:
        loaded[path] = load(path, tags=tags)
    return loaded[path]
tf.saved_model.load = load_once
commands = sys.stdin
for command in commands:
    arguments, typed, terminal = json.loads(command)
    sys.argv = ["zoo", "predict", *arguments]
    sys.stdin = io.TextIOWrapper(io.BytesIO(typed.encode("latin-1")))
    sys.stdin.isatty = lambda: terminal
    saved, code, out, err = flagsaver.save_flag_values(FLAGS), 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exit:
            code = exit.code
        except BaseException:
            code = traceback.format_exc()
    flagsaver.restore_flag_values(saved, FLAGS)
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""
FILES = {
    "reviews.txt": "the film is good\n\ncaf\u00e9 \U0001f600\n",
    "pairs.txt": "the film\tis good\r\na\tb\r\n",
    "reviews.csv": '\ufefftext,stars\n"good, the film",5\nis it?,1\n',
    "reviews.jsonl": '{"text": "good"}\n\n{"text": "film", "stars": 1}\n',
    "pairs.csv": "text_b,text_a\nfilm,good\n",
    "flowers.csv": "c d,kind,a,b\n0.5,rose,1,2\n1.5,lily,-1,1e3\n",
    "flowers.jsonl": '{"a": 1, "b": 2, "c d": 0.5}\n{"a": -1, "b": 1e3, "c d": 1.5}\n',
    "houses.csv": "age,size\n3,80\n",
    "no_pair.txt": "the film\tis good\nno tab here\n",
    "latin.txt": "caf\u00e9".encode("latin-1"),
    "empty.txt": "",
    "header.csv": "a,b,c d\n",
    "other.csv": "a,b,cd\n1,2,3\n",
    "word.csv": "a,b,c d\n1,two,3\n",
    "gap.csv": "a,b,c d\n1,,3\n",
    "short.csv": "a,b,c d\n1,2\n",
    "long.csv": "a,b,c d\n7,2,3,4\n",
    "huge.csv": "a,b,c d\n1," + "x" * 140_000 + ",3\n",
    "broken.jsonl": '{"text": "a"}\n{text: b}\n',
    "list.jsonl": '["a"]\n',
    "number.jsonl": '{"text": 7}\n',
    "mixed.txt": b"good\ncaf\xe9\nfilm\n",
    "mixed.jsonl": '{"text": "a"}\n{text: b}\n{"text": "c"}\n{"text": 7}\n',
    "mixed.csv": "a,b,c d\n1,2,3\n1,2\n1,two,3\n4,5,6\n",
    "semicolons.csv": "a;b;c d\n1;2;3\n",
    "carets.csv": "a^b^c d\n1^2^3\n",
    "broken.png": "this is no image",
    "notes.pdf": "x",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for name, content in FILES.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    random = np.random.default_rng(0)
    for name in ("1.png", "2.JPG", "3.bmp", "4.gif", "a_folder_with_a_long_name/of_a_photo/5.jpeg"):
        write_image(folder / name, random.integers(0, 256, (12, 9, 3), "uint8"))
    write_image(folder / "photos" / "scans" / "1.tif", random.integers(0, 256, (9, 9, 3), "uint8"))
    turned = with_orientation(random.integers(0, 256, (12, 9, 3), "uint8"), "JPEG", 6)
    (folder / "photos" / "turned.jpg").write_bytes(turned)
    write_odd_images(folder / "odd")
    (folder / "photos" / "._turned.jpg").touch()
    (folder / "empty_folder").mkdir()
    (folder / "empty_folder" / "notes.txt").touch()
    (folder / "cut.png").write_bytes((folder / "1.png").read_bytes()[:60])
    return folder


@pytest.fixture(scope="module")
def double():
    double = Double(small_models(), {"stable": 1})
    yield double
    double.stop()


@pytest.fixture(scope="module")
def worker(folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    with (folder / "log").open("w+") as log:
        command = [sys.executable, "-c", WORKER]
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stderr=log, text=True, **pipes
        )
        yield process
        process.stdin.close()
        process.wait()
        log.seek(0)
        assert log.read() == "", "TensorFlow or gRPC write past Python's stderr"


@pytest.fixture
def command(worker):
    """Runs the command with these arguments: (exit code, stdout, stderr)."""

    def run(*arguments, stdin="", terminal=False):
        typed = stdin.encode().decode("latin-1")
        print(json.dumps([arguments, typed, terminal]), file=worker.stdin, flush=True)
        return json.loads(worker.stdout.readline())

    return run


@pytest.fixture(params=["local", "rest", "grpc"])
def ask(request, command, double):
    """The command with a model by each of the three ways; expects success and gives stdout."""
    where = {"rest": f"--server={double.rest}", "grpc": f"--grpc={double.grpc}"}

    def run(model, *arguments, **stdin):
        place = where.get(request.param, f"--export_dir={small_models()}")
        code, out, err = command(f"--model={model}", place, *arguments, **stdin)
        # a line of the reviews is blank, which is told
        assert code == 0 and all(" blank " in line for line in err.splitlines()), err
        return out

    return run


@functools.cache
def model(name):
    return Client(name, export_dir=small_models())


def objects(out):
    return [json.loads(line) for line in out.splitlines()]


def test_table_of_images(ask, folder):
    names = ["1.png", "2.JPG", "3.bmp", "4.gif", "a_folder_with_a_long_name/of_a_photo/5.jpeg"]
    given = {"image_bytes": [(folder / name).read_bytes() for name in names]}
    expected = model("cnn").predict(given, "image_bytes")
    title, *lines = ask("cnn", *names).splitlines()
    assert title == "input".ljust(42) + "label".ljust(22) + "probability"
    for line, label, probabilities in zip(
        lines, *map(expected.get, ("label", "probabilities")), strict=True
    ):
        assert line[42:].split() == [label, f"{max(probabilities):.4f}"]
    shown = [line[:40].strip() for line in lines]
    assert shown == [*names[:4], "...er_with_a_long_name/of_a_photo/5.jpeg"]


def test_a_folder_is_its_images_as_pillow_sees_them(command, folder, double):
    files = [folder / "photos" / "scans" / "1.tif", folder / "photos" / "turned.jpg"]
    files += sorted((folder / "odd").iterdir())
    assert len(files) == 10
    pixels = [read_by_pillow(file.read_bytes()) for file in files]
    served = model("cnn")
    images = [resize_image(tf.constant(x), served.spec().shape).numpy() for x in pixels]
    expected = served.predict({"image": np.stack(images)})["probabilities"].max(axis=1)
    for place in (f"--export_dir={small_models()}", f"--server={double.rest}"):
        code, out, err = command("--model=cnn", place, "photos", "odd", "--json")
        assert code == 0 and err.endswith("photos: skipped 1 hidden or system file\n")
        rows = objects(out)
        assert [row["input"] for row in rows] == [str(x.relative_to(folder)) for x in files]
        np.testing.assert_allclose([row["probability"] for row in rows], expected, atol=1e-5)


def test_a_table_of_paths_of_images(command, folder):
    names = ["photos/turned.jpg", "gone.png", "1.png", "cut.png"]
    pd.DataFrame({"id": range(4), "path": names}).to_csv(folder / "paths.csv", index=False)
    arguments = ("--model=cnn", f"--export_dir={small_models()}")
    code, _, err = command(*arguments, "paths.csv")
    assert code == 2 and "paths.csv, line 3: column 'path': there is no file 'gone.png'" in err
    code, _, err = command(*arguments, "paths.csv", "--skip_bad_rows", "--out=paths_out.csv")
    assert code == 0 and "2 of 4 rows were left out" in err
    found = pd.read_csv(folder / "paths_out.csv")
    assert found["id"].tolist() == [0, 2] and found["path"].tolist() == [names[0], names[2]]
    _, out, _ = command(*arguments, names[0], names[2], "--json")
    probabilities = [row["probability"] for row in objects(out)]
    np.testing.assert_allclose(found["probability"], probabilities, atol=1e-6)
    code, _, err = command(*arguments, "flowers.csv")
    assert code == 2 and "flowers.csv: no column has the paths of images" in err


def test_batches_change_nothing(ask):
    names = ("1.png", "2.JPG", "3.bmp", "4.gif")
    assert ask("cnn", *names, "--batch_size=3") == ask("cnn", *names)


def test_top_of_images_and_texts_and_features(ask):
    for name, file, count in (
        ("cnn", "1.png", 1),
        ("gru", "reviews.txt", 3),
        ("flower", "flowers.csv", 2),
    ):
        rows = objects(ask(name, file, "--top=2", "--json"))
        best = objects(ask(name, file, "--json"))
        assert len(rows) == len(best) == count
        for row, first in zip(rows, best, strict=True):
            assert row.keys() == {"input", "top"} and len(row["top"]) == 2
            assert row["top"][0]["label"] == first["label"]
            probabilities = [one["probability"] for one in row["top"]]
            assert probabilities[0] == pytest.approx(first["probability"], abs=1e-5)
            assert probabilities == sorted(probabilities, reverse=True)
        assert len(ask(name, file, "--top=99").splitlines()) == 1 + 3 * count


def test_texts_from_files_and_standard_input(ask):
    texts = ["the film is good", "", "caf\u00e9 \U0001f600"]
    expected = model("gru").predict({"text": texts})["label"].tolist()
    rows = objects(ask("gru", "reviews.txt", "--json"))
    assert [row["input"] for row in rows] == texts
    assert [row["label"] for row in rows] == expected
    assert objects(ask("gru", "--json", stdin="\n".join(texts))) == rows
    rows = objects(ask("gru", "reviews.csv", "reviews.jsonl", "--json"))
    assert [row["input"] for row in rows] == ["good, the film", "is it?", "good", "film"]
    table = ask("gru", stdin="good " * 30 + "\nb\tc")
    assert [line[:42] for line in table.splitlines()[1:]] == [
        "good good good good good good good go...  ",
        "b c".ljust(42),
    ]


def test_pairs_of_texts(ask):
    rows = objects(ask("pairs", "pairs.txt", "pairs.csv", "--json"))
    assert [row["input"] for row in rows] == [
        {"text_a": "the film", "text_b": "is good"},
        {"text_a": "a", "text_b": "b"},
        {"text_a": "good", "text_b": "film"},
    ]
    given = {name: [row["input"][name] for row in rows] for name in ("text_a", "text_b")}
    assert [row["label"] for row in rows] == model("pairs").predict(given)["label"].tolist()
    assert objects(ask("pairs", "--json", stdin="the film\tis good\na\tb\n")) == rows[:2]
    assert "\ntext_a=the film, text_b=is good  " in ask("pairs", "pairs.txt")


def test_features_by_their_names(ask):
    expected = model("flower").predict({"features": [[1, 2, 0.5], [-1, 1e3, 1.5]]})
    rows = objects(ask("flower", "flowers.csv", "--json"))
    assert [row["label"] for row in rows] == expected["label"].tolist()
    found = [row["probability"] for row in rows]
    np.testing.assert_allclose(found, expected["probabilities"].max(1), atol=1e-5)
    assert rows[0]["input"].items() >= {"a": 1, "b": 2, "c d": 0.5}.items()
    again = objects(ask("flower", "flowers.jsonl", "--json"))
    assert [row["label"] for row in again] == expected["label"].tolist()


def test_a_classifier_of_texts_is_used_as_it_is(command, tmp_path):
    folder = write_text_folder(tmp_path / "encoder", "distilbert", labels=("no", "yes"))
    file = tmp_path / "texts.txt"
    file.write_text("a good film\tthe film\nbad\twas\n")
    code, out, err = command(f"--preset={folder}", str(file), "--text=a,b", "--top=2", "--json")
    assert code == 0 and "lose their end" in err
    answers = objects(out)
    assert len(answers) == 2 and {x["label"] for x in answers[0]["top"]} == {"no", "yes"}
    code, best, _ = command(f"--preset={folder}", str(file), "--text=a,b", "--json")
    assert objects(best)[1]["label"] == answers[1]["top"][0]["label"]
    code, _, err = command(f"--preset={folder}", "--model=bert", str(file))
    assert code == 2 and "--model=text_encoder predict" in err


def test_vectors_of_texts_are_those_of_the_signature(ask, command, tmp_path):
    texts = ["the film is good", "caf\u00e9"]
    file = tmp_path / "a.txt"
    file.write_text("\n".join(texts))
    features = model("gru").predict({"text": texts}, "features")["features"]
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    rows = objects(ask("gru", str(file), "--signature=features", "--json"))
    np.testing.assert_allclose([row["features"] for row in rows], expected, atol=1e-5)
    shown = ask("gru", str(file), "--signature=features").splitlines()
    assert shown[0].split() == ["input", "features"] and shown[1].endswith(" ...")


def test_vectors_without_an_export(command, tmp_path):
    local = ("--model=gru", f"--export_dir={small_models()}")
    expected = command(*local, "reviews.txt", "--signature=features", "--json")[1]
    out = tmp_path / "vectors.csv"
    code, _, _ = command(*local, "reviews.txt", "--signature=features", f"--out={out}")
    with out.open(newline="") as stream:
        vectors = [json.loads(row["features"]) for row in csv.DictReader(stream)]
    assert code == 0 and vectors == [row["features"] for row in objects(expected)]
    weights = f"--weights={small_models()}/gru"
    code, found, _ = command(weights, "reviews.txt", "--signature=features", "--json")
    assert code == 0
    np.testing.assert_allclose([x["features"] for x in objects(found)], vectors, atol=1e-5)
    assert command(weights, "reviews.txt", "--top=2") == command(*local, "reviews.txt", "--top=2")
    folder = write_text_folder(tmp_path / "encoder", "distilbert")
    options = (f"--preset={folder}", "--signature=features", "--json")
    code, found, err = command(*options, "reviews.txt")
    assert code == 0 and "is the mean over the tokens" in err
    assert np.linalg.norm(objects(found)[0]["features"]) == pytest.approx(1, abs=1e-5)


def test_a_preset_names_its_classes(command, image_preset):
    code, out, err = command(f"--preset={image_preset}", "1.png", "photos", "--top=2", "--json")
    assert (code, err.count("\n")) == (0, 2)
    assert "the 3 classes have no names, only numbers" in err and "skipped 1 hidden" in err
    answers = objects(out)
    assert [answer["input"] for answer in answers] == [
        "1.png",
        "photos/scans/1.tif",
        "photos/turned.jpg",
    ]
    for answer in answers:
        labels, probabilities = zip(*(pair.values() for pair in answer["top"]), strict=True)
        assert set(labels) < {"0", "1", "2"} and probabilities[0] >= probabilities[1] > 0
    code, best, _ = command(f"--preset={image_preset}", "1.png", "--json")
    assert objects(best)[0] == {"input": "1.png"} | answers[0]["top"][0]
    code, _, err = command(f"--preset={image_preset}", "--server=a:1", "1.png")
    assert code == 2 and "and --server: omit one of them" in err
    code, _, err = command(f"--preset={image_preset}", "--model=cnn", "1.png")
    assert code == 2 and "only --model=image_backbone and --model=text_encoder predict" in err
    code, out, err = command(f"--preset={image_preset}", "1.png", "broken.png", "--skip_bad_rows")
    assert code == 0 and "1 of 2 rows were left out" in err and "broken.png" in err


def test_regression(ask):
    (value,) = model("price").predict({"features": [[80, 3]]})["prediction"].tolist()
    (row,) = objects(ask("price", "houses.csv", "--json"))
    assert row["prediction"] == pytest.approx(value, rel=1e-5)
    title, line = ask("price", "houses.csv").splitlines()
    assert title == "input".ljust(42) + "prediction"
    assert float(line[42:]) == pytest.approx(value, rel=1e-5)


def test_versions_and_labels(command, double):
    for which in ("--version=1", "--label=stable"):
        code, out, _ = command("--model=cnn", f"--server={double.rest}", which, "1.png")
        assert code == 0 and out.count("\n") == 2


def test_whoever_types_is_told_and_answered_line_by_line(command, double):
    server = f"--server={double.rest}"
    double.asked = 0
    code, out, err = command("--model=gru", server, stdin="good\nfilm\n", terminal=True)
    assert code == 0 and out.count("\n") == 3
    assert err == "reading texts from standard input, one per line; press Ctrl-D to end\n"
    assert double.asked == 1 + 2  # the metadata, and each line
    code, _, err = command("--model=pairs", server, terminal=True)
    told, error = err.splitlines()
    assert code == 2 and told.startswith(
        "reading pairs of texts, separated by a tab, from standard"
    )
    assert error == "zoo predict: nothing to predict: the input is empty"


LOCAL, REST = "LOCAL", "REST"
MISTAKES = [
    ([], "no model: choose one with --model, such as --model=cnn"),
    (["--modle=cnn"], "there is no flag --modle. Did you mean '--model'? (see --help)"),
    (["--model=cmn", LOCAL, "1.png"], "has no model 'cmn'. Did you mean 'cnn'? It has: cnn, flower, gru, pairs, price"),
    (["--model=cnn", "1.png"], "saved_models: there is no such folder"),
    (["--model=cnn", LOCAL, "9.png"], "9.png: there is no such file"),
    (["--model=cnn", LOCAL, "empty_folder"], "empty_folder: no images in this folder; skipped 1 file that"),
    (["--model=gru", LOCAL, "empty_folder"], "empty_folder: this is a folder; gru reads texts: choose"),
    (["--model=cnn", LOCAL, "--version=3", "1.png"], "cnn has no version 3; it has: 1, 2"),
    (["--model=cnn", LOCAL, "--label=stable", "1.png"], "label=stable: only a server knows labels"),
    (["--model=cnn", LOCAL], "no files: cnn reads images: choose .jpg, .png, .webp, .gif, .bmp, .tif or similar files"),
    (["--model=cnn", LOCAL, "1.png", "reviews.txt"], "reviews.txt: cnn reads images: choose .jpg, .png,"),
    (["--model=cnn", LOCAL, "1.png", "broken.png"], "broken.png: "),
    (["--model=cnn", REST, "1.png", "cut.png", "3.bmp"], "zoo predict: cut.png: 127.0.0.1:"),
    (["--model=cnn", REST, "1.png", "broken.png", "3.bmp"], "zoo predict: broken.png: image_bytes: not a readable image"),
    (["--model=cnn", LOCAL, "--top=2", "broken.png"], "broken.png: image_bytes: not a readable image"),
    (["--model=cnn", LOCAL, "--top=0", "1.png"], "--top=0"),
    (["--model=gru", LOCAL, "1.png"], "1.png: gru reads texts: choose .csv, .tsv, .jsonl, .parquet or .arrow files or .txt files, or pipe"),
    (["--model=gru", REST, "notes.pdf"], "notes.pdf: gru reads texts"),
    (["--model=gru", LOCAL, "latin.txt"], "latin.txt, line 1: not UTF-8: save the file as UTF-8"),
    (["--model=gru", LOCAL, "empty.txt"], "nothing to predict: the input is empty"),
    (["--model=gru", LOCAL], "nothing to predict: the input is empty"),
    (["--model=gru", LOCAL, "flowers.csv"], "flowers.csv: no column 'text'. The columns are c d, kind, a, b: name it with --text"),
    (["--model=gru", LOCAL, "broken.jsonl"], "broken.jsonl, line 2: expected a JSON object, {...}, on each line"),
    (["--model=gru", LOCAL, "list.jsonl"], "list.jsonl, line 1: expected a JSON object"),
    (["--model=gru", LOCAL, "number.jsonl"], "number.jsonl, line 1: column 'text' holds 7; expected a text"),
    (["--model=pairs", LOCAL, "no_pair.txt"], "no_pair.txt, line 2: expected two texts separated by one tab"),
    (["--model=pairs", REST, "reviews.csv"], "reviews.csv: no column 'text_a'. Did you mean 'text'?"),
    (["--model=flower", LOCAL], "no files: flower reads tables: choose .csv, .tsv, .jsonl, .parquet or .arrow files"),
    (["--model=flower", LOCAL, "reviews.txt"], "reviews.txt: flower reads tables: choose"),
    (["--model=flower", LOCAL, "header.csv"], "header.csv: no rows; expected at least one below the column names"),
    (["--model=flower", LOCAL, "other.csv"], "other.csv: no column 'c d'. Did you mean 'cd'? The columns are a, b, cd"),
    (["--model=flower", REST, "other.csv"], "each example needs one number as the feature 'c d'"),
    (["--model=flower", LOCAL, "word.csv"], "word.csv, line 2: column 'b' holds 'two'; expected a number"),
    (["--model=flower", REST, "word.csv"], "zoo predict: word.csv, line 2: 127.0.0.1:"),
    (["--model=flower", LOCAL, "gap.csv"], "gap.csv, line 2: column 'b' is empty; expected a finite number"),
    (["--model=flower", REST, "gap.csv"], "each example needs one number as the feature 'b'"),
    (["--model=flower", LOCAL, "short.csv"], "short.csv, line 2: 2 fields, but line 1 names 3 columns"),
    (["--model=flower", LOCAL, "long.csv"], "long.csv, line 2: 4 fields, but line 1 names 3 columns"),
    (["--model=flower", LOCAL, "huge.csv"], "huge.csv, line 2: column 'b' holds 'xxx"),
    (["--model=price", LOCAL, "--top=2", "houses.csv"], "--top=2: price predicts a number, not classes"),
    (["--model=cnn", LOCAL, "--signature=features", "1.png"], "--signature=features: cnn reads image, but only models of texts"),
    (["--model=gru", LOCAL, "--signature=features", "--top=2", "reviews.txt"], "--signature=features and --top: omit one of them"),
    (["--model=gru", LOCAL, "--long_texts=windows", "reviews.txt"], "--long_texts=windows: a trained model reads long texts as in its"),
    (["--weights=runs/x", "--server=a:1", "reviews.txt"], "--weights=runs/x and --server: omit one of them"),
    (["--model=cnn", "--server=a:1", "--grpc=b:2", "1.png"], "server=a:1 and grpc=b:2: pass only one of them"),
    (["--model=cnn", "--server=localhost", "1.png"], "'localhost' is not an address: expected HOST:PORT"),
    (["--model=cnn", "--server=127.0.0.1:9", "1.png"], "127.0.0.1:9 cannot be reached: Connection refused: start"),
    (["--model=cnn", "--grpc=127.0.0.1:9", "1.png"], "127.0.0.1:9 is not available: "),
    (["--model=gru", LOCAL, "reviews.csv", "--out=a.txt"], "out=a.txt: expected a file whose name ends in .csv or .jsonl"),
    (["--model=gru", LOCAL, "reviews.csv", "--out=reviews.csv"], "out=reviews.csv: this file is predicted: choose another file"),
    (["--model=gru", LOCAL, "reviews.csv", "--out=no/a.csv"], "out=no/a.csv: there is no folder no: choose another file"),
    (["--model=gru", LOCAL, "reviews.csv", "--out=a.csv", "--json"], "choose a .jsonl file and omit --json"),
    (["--model=gru", LOCAL, "reviews.csv", "reviews.txt", "--out=a.csv"], "reviews.txt, line 1: the columns are other than those of the first file"),
    (["--model=gru", LOCAL, "latin.txt", "--skip_bad_rows"], "nothing to predict: 1 row was left out: latin.txt, line 1: not UTF-8"),
    (["--model=cmn", REST, "1.png"], "does not serve cmn: Servable not found"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda x: " ".join(x) if isinstance(x, list) else ""
)
def test_mistake(arguments, message, command, double):
    places = {LOCAL: f"--export_dir={small_models()}", REST: f"--server={double.rest}"}
    code, out, err = command(*(places.get(one, one) for one in arguments))
    assert code == 2 and message in err
    mistakes = [line for line in err.splitlines() if ": warning: " not in line]
    assert len(mistakes) == 1 and mistakes[0].startswith("zoo predict: "), err
    assert out == ""


def test_a_server_that_is_too_late(command, double):
    double.delay = 0.3
    try:
        code, _, err = command("--model=cnn", f"--server={double.rest}", "--timeout=0.05", "1.png")
    finally:
        double.delay = 0.0
    assert (
        code == 2
        and "did not answer in 0.05 s: raise the timeout, or send less at once (4 attempts)" in err
    )


def test_what_came_before_a_mistake_is_written(command):
    arguments = ("--model=gru", f"--export_dir={small_models()}", "--batch_size=1", "--json")
    code, out, err = command(*arguments, "reviews.txt", "latin.txt")
    assert code == 2 and len(objects(out)) == 3 and "latin.txt, line 1" in err


def read_csv(folder, name):
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_of_predictions_has_all_columns(command, folder):
    local = f"--export_dir={small_models()}"
    code, out, err = command("--model=gru", local, "reviews.csv", "--out=out.csv")
    assert (code, out, err) == (0, "2 predictions: out.csv\n", "")
    rows = read_csv(folder, "out.csv")
    assert [list(row) for row in rows] == [["text", "stars", "prediction", "probability"]] * 2
    assert [row["stars"] for row in rows] == ["5", "1"]
    expected = model("gru").predict({"text": ["good, the film", "is it?"]})
    assert [row["prediction"] for row in rows] == expected["label"].tolist()
    found = [float(row["probability"]) for row in rows]
    np.testing.assert_allclose(found, expected["probabilities"].max(1), atol=1e-5)
    # a column of the input is kept, whatever it is called
    command("--model=gru", local, "out.csv", "--out=again.jsonl", "--top=2")
    row = json.loads((folder / "again.jsonl").read_text().splitlines()[0])
    assert row.items() >= rows[0].items() and row["prediction_1"] == rows[0]["prediction"]
    assert row["probability_1"] > row["probability_2"]
    command("--model=gru", local, "out.csv", "--out=again.csv")
    assert read_csv(folder, "again.csv")[0]["prediction.1"] == rows[0]["prediction"]
    command("--model=price", local, "houses.csv", "--out=out.csv")
    assert list(read_csv(folder, "out.csv")[0]) == ["age", "size", "prediction"]
    command("--model=cnn", local, "photos", "--out=out.csv")
    assert [row["file"] for row in read_csv(folder, "out.csv")] == [
        "photos/scans/1.tif",
        "photos/turned.jpg",
    ]


@pytest.mark.parametrize(
    ("name", "file", "kept", "bad"),
    [
        ("gru", "mixed.txt", ["good", "film"], ["line 2: not UTF-8"]),
        (
            "gru",
            "mixed.jsonl",
            ["a", "c"],
            ["line 2: expected a JSON obj", "line 4: column 'text'"],
        ),
        (
            "pairs",
            "no_pair.txt",
            [{"text_a": "the film", "text_b": "is good"}],
            ["line 2: expected"],
        ),
        ("flower", "mixed.csv", [1.0, 4.0], ["line 3: 2 fields", "line 4: column 'b' holds 'two'"]),
        ("cnn", "1.png broken.png 3.bmp", ["1.png", "3.bmp"], ["broken.png: image_bytes: not a"]),
    ],
)
def test_bad_rows_are_left_out_and_counted(name, file, kept, bad, command, folder):
    local = f"--export_dir={small_models()}"
    code, out, err = command(f"--model={name}", local, *file.split(), "--json", "--skip_bad_rows")
    assert code == 0
    shown = [row["input"] for row in objects(out)]
    assert [row["a"] if name == "flower" else row for row in shown] == kept
    *told, total = err.splitlines()
    assert len(told) == len(bad) and all(map(str.__contains__, told, bad))
    noun = f"{len(bad)} of {len(bad) + len(kept)} rows were left out"
    assert total == f"zoo predict: warning: {noun}"


def test_how_a_table_was_read_is_told(command):
    code, _, err = command("--model=flower", f"--export_dir={small_models()}", "semicolons.csv")
    told = "semicolons.csv: the fields are separated by semicolons"
    assert (code, err) == (0, f"zoo predict: warning: {told}\n")
    local = f"--export_dir={small_models()}"
    code, out, err = command("--model=flower", local, "carets.csv", "--separator=^", "--json")
    assert (code, err) == (0, "") and objects(out)[0]["input"]["b"] == 2


@pytest.mark.parametrize(
    ("asked", "is_piped", "in_flight"),
    [(None, False, 4), (None, True, 1), (8, False, 8), (8, True, 8)],
)
def test_what_is_asked_for_holds_for_standard_input_too(asked, is_piped, in_flight, monkeypatch):
    found = []
    monkeypatch.setattr(predict, "predict_batches", lambda *given: found.append(given[-1]) or [])
    monkeypatch.setattr(predict, "FLAGS", SimpleNamespace(concurrency=asked, batch_size=2))
    spec = Spec("features", (2,), ("x", "y"))
    assert not [*predict.iterate_predictions(iter([]), None, spec, is_piped, RowLog(False))]
    assert found == [in_flight]


def test_help_names_every_flag(command):
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    named = re.findall(r"^  --(\w+)", out, re.M)
    assert named == [
        "model",
        "export_dir",
        "preset",
        "preset_weights",
        "weights",
        "plugin",
        "server",
        "grpc",
        "version",
        "label",
        "timeout",
        "text",
        "separator",
        "encoding",
        "long_texts",
        "skip_bad_rows",
        "batch_size",
        "concurrency",
        "signature",
        "top",
        "json",
        "out",
    ]


def test_a_reader_that_goes_away(double):
    """In a process of its own, as it is called."""
    shell = f"{sys.executable} -m zoo predict --model=gru --server={double.rest}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell} --batch_size=1 | head -n 2"],
        cwd=ROOT,
        input="good film\n" * 30,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("input  ") and done.stdout.count("\n") == 2
