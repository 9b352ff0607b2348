"""README.md and docs/ are true: their commands and their code run, their tables are today's."""

import importlib
import inspect
import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from absl.testing import flagsaver
from support.commands import call_command
from support.files import fill_once, read_few, write_image
from support.onnx_files import add_onnx_file
from support.paths import ROOT
from support.serving_double import Double, small_models

import zoo
from benchmarks import contenders, request_logs, serve
from benchmarks.explanations import PICTURES, write_inputs
from zoo.commands import compress as compress_command
from zoo.commands import pretrain as pretrain_command
from zoo.commands import tune as tune_command
from zoo.commands.runner import parse_flags
from zoo.compressing import workflow
from zoo.data import loading
from zoo.data.sources import tfds
from zoo.data.spec import Spec, Tokenizer
from zoo.pretrained.store import describe_weights
from zoo.registry import _ENTRIES
from zoo.training import loop
from zoo.tuning import trial_runs

PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))}
TEXT = "\n".join(PAGES.values())
CONSOLE = list(
    dict.fromkeys(
        line.removeprefix("$ ").replace("python train.py", "zoo train")
        for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("$ ")
    )
)


def find_commands(*names: str) -> list[str]:
    pattern = rf"(echo .* \| )?zoo ({'|'.join(names)})( |$)"
    return [line for line in CONSOLE if re.match(pattern, line)]


TRAIN, LAUNCH = find_commands("train"), find_commands("launch")
TUNE, PRETRAIN = find_commands("tune"), find_commands("pretrain")
COMPRESS = find_commands("compress")
SERVING = find_commands("predict", "check", "label", "onnx", "export")
# run in tests/commands/test_monitor.py
MONITOR = find_commands("monitor")
# run in tests/commands/test_retrain.py
RETRAIN = find_commands("retrain")
EVALUATE = find_commands("evaluate", "results")
EXPLAIN = [*find_commands("explain"), *(line for line in EVALUATE if "--slices" in line)]
EVALUATE = [line for line in EVALUATE if line not in EXPLAIN]
# they need a server, or are one: run in tests/serving/test_local_server.py,
# tests/serving/test_log_proxy.py, tests/demo/test_demo.py and tests/commands/test_tune_batching.py
SERVERS = find_commands("serve", "serve-log", "demo", "tune-batching")
SHIPPED = [(model, one) for model in zoo.list_models() for one in describe_weights(model)]
TOKENS = ("", "[UNK]", "[SEP]", "a", "fine", "film")
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PLUGIN = next(code for code in CODE if "@zoo.register" in code)
IMAGE_PRESET = "efficientnet_lite0_ra_imagenet"
CLIENTS = [code for code in CODE if "Client(" in code and "zoo.export" not in code]
# `python -m benchmarks.compare` whose contenders are forks, which need not import TensorFlow again
COMPARE = """
import multiprocessing, sys
from benchmarks import compare
from zoo.commands.runner import run_command
fork = multiprocessing.get_context("fork")
multiprocessing.get_context = lambda method: fork
run_command(compare, sys.argv[1:])
"""


@pytest.fixture
def user_folder(train, temporary_files):
    """The files that the commands name, in the current folder."""
    shutil.copytree(fill_once("user", write_user_files), ".", symlinks=True, dirs_exist_ok=True)
    return train


def write_user_files(folder: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(40):
        pixels = random.integers(0, 256, (70, 80, 3), "uint8")
        write_image(folder / "photos" / ("cat" if i % 2 else "dog") / f"{i}.jpg", pixels)
    numbers = random.normal(size=(80, 3))
    frame = pd.DataFrame(numbers, columns=["weight", "power", "price"])
    frame.to_csv(folder / "cars.csv", index=False)
    frame.assign(species=np.where(frame.price > 0, "rose", "lily")).to_csv(
        folder / "flowers.csv", index=False
    )
    credit = {"Status": ["bad", "good"] * 40, "Time": [12, 24, 36, 48] * 20}
    credit |= {
        "Share": [1.0, 2.5] * 40,
        "Home": ["rent", "owner", "parents", ""] * 20,
        "Income": numbers[:, 0].round(2),
    }
    pd.DataFrame(credit).to_csv(folder / "credit.csv", index=False)
    reviews = [("a good film", 5), ("a dull play", 1), ("not so good", 2), ("great fun", 4)] * 15
    pd.DataFrame(reviews, columns=["review", "stars"]).to_csv(folder / "reviews.csv", index=False)
    (folder / "glove.txt").write_text("good 1 2 3\nfun 4 5 6\n")
    films = [(f"Film {i}", f"a film that is seen {i} times", i % 90, i % 2) for i in range(60)]
    pd.DataFrame(films, columns=["title", "review", "minutes", "stars"]).to_csv(
        folder / "films.csv"
    )
    pairs = [("it rains", "rain falls", 1), ("it rains", "it is dry", 0)] * 30
    pd.DataFrame(pairs, columns=["a", "b", "same"]).to_csv(folder / "pairs.csv", index=False)
    questions = pd.DataFrame(pairs, columns=["first", "second", "same"])
    questions.to_json(folder / "questions.jsonl", orient="records", lines=True)
    topics = [["sports"], [], ["sports", "money"], ["money"]]
    articles = pd.DataFrame({"body": ["a goal", "rain", "a sale", "a bank"], "topics": topics})
    pd.concat([articles] * 15).to_json(folder / "articles.jsonl", orient="records", lines=True)
    for i in range(40):
        write_image(folder / f"pictures/{i}.jpg", random.integers(0, 256, (30, 40, 3), "uint8"))
    tags = {"file": [f"{i}.jpg" for i in range(40)], "tags": ["sun", "sun|sea", "sea", ""] * 10}
    pd.DataFrame(tags).to_csv(folder / "pictures/labels.csv", index=False)
    write_inputs(folder, rows=60)
    (folder / "configs").symlink_to(ROOT / "configs")
    (folder / "tuning/cnn-mnist_5k").mkdir(parents=True)
    (folder / "tuning/cnn-mnist_5k/best.flags").write_text("--model=cnn\n--dataset=mnist_5k\n")
    (folder / "my_models.py").write_text(PLUGIN)


def test_every_command_is_run_by_a_test_or_by_make():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    tested = TRAIN + TUNE + COMPRESS + PRETRAIN + SERVING + SERVERS + LAUNCH + EVALUATE
    tested += EXPLAIN + MONITOR + RETRAIN
    rest = [line for line in CONSOLE if line not in tested]
    assert rest[0].startswith("git clone")
    for line in rest[1:]:
        # the files for docker are tested in tests/serving/test_server_config.py, those for clusters
        # in tests/distribution/test_kubernetes.py
        elsewhere = ("(cd saved_models && docker", "curl", "kubectl", "TF_CONFIG=")
        if not line.startswith(elsewhere):
            program, target = line.split()
            assert program == "make" and target in targets
    assert len(TRAIN) >= 20 and len(SERVING) >= 9 and len(EVALUATE) >= 5
    assert LAUNCH and TUNE and PRETRAIN and COMPRESS and EXPLAIN and MONITOR and RETRAIN


# of images and of texts; tests/commands/test_train.py trains on tables to the end, and the tests of
# training/ with the models and the settings
TRAINED = [line for line in TRAIN if re.search("--plugin|--model=textcnn|--find_lear", line)]


class Started(Exception):
    """The model is compiled, and the data is read."""


@pytest.mark.parametrize("command", TRAIN)
def test_train_command(
    command, user_folder, tfds_dir, bert_preset, image_preset, monkeypatch, capfd
):
    """To the end with images and with texts, otherwise up to the first step of the training."""
    if command not in TRAINED:
        monkeypatch.setattr(loop, "fit_model", Mock(side_effect=Started))
    monkeypatch.setattr(tfds, "is_reachable", lambda urls: False)
    monkeypatch.setattr(loading, "read_data", read_few(loading.read_data))
    command = re.sub("all_minilm_l6_v2_en|roberta_base_en", bert_preset, command)
    flags = shlex.split(command.replace(IMAGE_PRESET, image_preset))[2:]
    Path("runs").mkdir()
    Path("runs/lstm-imdb_reviews").symlink_to(ROOT / "zoo/weights/lstm_imdb_reviews")
    pretrained = Path("runs/transformer-reviews-pretrained")
    pretrained.symlink_to(ROOT / "zoo/weights/transformer_imdb_reviews")
    extra = [f"--data_dir={tfds_dir}", "--epochs=1", "--nojit_compile"]
    if not any(word in command for word in ("csv:", "jsonl:", "folder:", "--train_split")):
        extra.append("--train_split=train[:5%]")
    if "--flagfile" in command or "--recipe" in command:
        extra.append("--dataset=mnist_5k")
    if command in TRAINED or "--list" in flags or "--help" in flags:
        code, out, err = user_folder(*flags, *extra)
        assert code == 0, err
        last = out.splitlines()[-1]
        assert Path(last, "saved_model.pb").is_file() or "cnn" in out or "range test:" in last
    else:
        with pytest.raises(Started):
            user_folder(*flags, *extra)
        out, err = capfd.readouterr()
        assert " to train on, " in out
    # of the small data here: texts that are cut, and rows that are there twice
    assert all(line.startswith("train.py: warning: ") for line in err.splitlines()), err
    _ENTRIES.pop("tiny", None)


@pytest.mark.parametrize("command", TUNE)
def test_tune_command(command, user_folder, tfds_dir, monkeypatch):
    """Up to the model of the first trial."""
    shutil.rmtree("tuning")
    monkeypatch.setattr(trial_runs, "prepare_model", Mock(side_effect=Started))
    monkeypatch.setattr(loading, "read_data", read_few(loading.read_data))
    argv = [*shlex.split(command)[2:], f"--data_dir={tfds_dir}"]
    with pytest.raises(Started):
        call_command(tune_command, *argv)
    assert len(list(Path("tuning").glob("*/trial-0001"))) == 1


@pytest.mark.parametrize("command", PRETRAIN)
def test_pretrain_command(command, user_folder, tfds_dir, monkeypatch):
    """Up to the first step."""
    monkeypatch.setattr(loop, "fit_model", Mock(side_effect=Started))
    Path("reviews.txt").write_text("a fine film\nno fun\n" * 9)
    argv = [*shlex.split(command.replace("imdb_reviews", "synthetic_reviews"))[2:],
            f"--data_dir={tfds_dir}"]  # fmt: skip
    with pytest.raises(Started):
        call_command(pretrain_command, *argv)


@pytest.mark.parametrize("command", COMPRESS)
def test_compress_command(command, tfds_dir, monkeypatch, tmp_path, capfd):
    """Up to the first method, of shipped weights in place of the runs."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    for run, shipped in (("cnn-mnist_5k", "cnn_mnist"), ("lstm-imdb_reviews",) * 2):
        weights = ROOT / "zoo/weights" / shipped.replace("-", "_")
        Path("runs", run).symlink_to(weights)
    monkeypatch.setattr(workflow, "run_methods", Mock(side_effect=Started))
    extra = [f"--data_dir={tfds_dir}"]
    if "imdb_reviews" in command:
        extra.append("--dataset=synthetic_reviews")
    elif "--dataset=mnist_5k" not in command:
        extra.append("--dataset=mnist_5k")
    with pytest.raises(Started):
        call_command(compress_command, *shlex.split(command)[2:], *extra)
    assert "to test each model once" in capfd.readouterr().out


@pytest.fixture
def run_line(run_zoo, monkeypatch):
    """Runs a line such as `echo "a film" | zoo predict ...`: (exit code, stdout, stderr)."""

    def run(line, *more):
        typed, _, command = line.rpartition(" | ")
        text = typed.removeprefix("echo ").strip('"')
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        name, *arguments = shlex.split(command)[1:]
        return run_zoo(importlib.import_module(f"zoo.commands.{name}"), *arguments, *more)

    return run


def test_serving_commands(run_line, python, tmp_path, image_preset):
    """Against exports of small models; commands that name a server find none there."""
    spec = Spec("text", (8,), ("neg", "pos"), tokenizer=Tokenizer("words", TOKENS, 8))
    # any model of texts under the name: that of an LSTM takes three times as long to export
    model = zoo.get("fasttext", vocabulary_size=len(TOKENS), buckets=8, width=4)
    version = zoo.export(model, tmp_path / "saved_models/lstm", spec=spec)
    shutil.copytree(version, version.with_name("2"))
    add_onnx_file(tmp_path / "saved_models/sum/1")
    cnn = zoo.get("cnn", input_shape=(20, 20, 3), filters=(2,), dense=4)
    zoo.export(cnn, tmp_path / "saved_models/cnn")
    shutil.copytree(tmp_path / "saved_models/cnn", tmp_path / "saved_models/cnn-int8")
    for path in re.findall(r"photos/\S+", " ".join(SERVING)):
        write_image(tmp_path / path, np.zeros((30, 40, 3), "uint8"))
    (tmp_path / "reviews.txt").write_text("a fine film\nno fun\n")
    (tmp_path / "reviews.csv").write_text("text,stars\na fine film,5\nno fun,1\n")
    for line in SERVING:
        code, out, err = run_line(line.replace(IMAGE_PRESET, image_preset))
        if "--server" in line:
            assert code == 2 and "localhost:8501" in err, err
            assert err.count("\n") == 1
        else:
            assert code == 0 and out, err
    for code in CLIENTS:
        in_process = code.replace(', server="localhost:8501"', "")
        assert in_process != code
        done = python("-c", in_process, cwd=tmp_path)
        # the weights are random, and so is the label
        assert done.returncode == 0 and re.search("'(neg|pos)'", done.stdout), done.stderr


@pytest.mark.parametrize("line", SERVERS + RETRAIN)
def test_flags_of_commands_that_are_run_elsewhere(line):
    name, *arguments = shlex.split(line)[1:]
    module = importlib.import_module(f"zoo.commands.{name.replace('-', '_')}")
    saved = flagsaver.save_flag_values(module.FLAGS)
    assert parse_flags(module, arguments) == []
    flagsaver.restore_flag_values(saved, module.FLAGS)


def test_evaluate_commands(run_line, user_folder, tfds_dir, monkeypatch):
    """After a short training and a copy of it; commands that name a server find none there."""
    flags = ("--model=cnn", "--dataset=mnist_5k", f"--data_dir={tfds_dir}", "--nojit_compile")
    small = ("--hparam=filters=4", "--hparam=dense=8", "--epochs=1", "--train_split=train[:2%]")
    code, _, err = user_folder(*flags, *small)
    assert code == 0, err
    shutil.copytree("runs/cnn-mnist_5k", "runs/cnn-mnist_5k-2")
    shutil.copytree("runs/cnn-mnist_5k", "compressing/cnn-mnist_5k/prune-0.8")
    metrics = Path("runs/cnn-mnist_5k-2/metrics.json")
    metrics.write_text(metrics.read_text().replace('"seed": 0', '"seed": 1'))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    for line in EVALUATE:
        more = ["--epochs=1", "--nojit_compile"] if "--kfold" in line else []
        code, out, err = run_line(line.replace("--kfold=5", "--kfold=2"), *more)
        if "--server" in line:
            assert code == 2 and "localhost:8501" in err, err
            assert err.count("\n") == 1
        else:
            assert code == 0 and out, err
    assert Path("results/results.csv").read_text().count("\n") == 2


def test_explain_commands(run_line, user_folder, without_export, monkeypatch, tmp_path):
    """After a short training, with the pictures of the page."""
    (command,) = (line for line in TRAIN if "diabetes.csv" in line)
    code, _, err = user_folder(*shlex.split(command)[2:], "--epochs=1", "--nojit_compile")
    assert code == 0, err
    assert len(EXPLAIN) == 8
    monkeypatch.undo()  # the commands draw, other than that training
    monkeypatch.chdir(tmp_path)
    for line in EXPLAIN:
        code, out, err = run_line(line)
        assert code == 0 and out, err
    for file, picture in PICTURES.items():
        assert Path(file).stat().st_size > 5_000, file
        assert f"(images/{picture})" in PAGES["explaining.md"]


@pytest.mark.parametrize("code", [code for code in CODE if code not in (PLUGIN, *CLIENTS)])
def test_code_runs_as_it_stands(code, python, tmp_path):
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr


def test_tables_of_weights():
    rows = re.findall(r"^\| `([\w/]+)` \| ([\d.]+%) \| ([\d,]+) kB \|", TEXT, re.MULTILINE)
    assert rows == [
        (f"{model}/{one.name}", f"{one.accuracy:.2%}", f"{one.size / 1e3:,.0f}")
        for model, one in SHIPPED
    ]
    for _, one in SHIPPED:
        assert f"`{one.name}`: {one.accuracy:.2%}, {one.size / 1e3:,.0f} kB" in PAGES["README.md"]


def test_table_of_models():
    rows = re.findall(r"^\| `(\w+)` \| [\w, ]+ \| ([\d,]+) \|", PAGES["README.md"], re.MULTILINE)
    assert dict(rows) == {name: f"{zoo.describe(name).parameters:,}" for name in zoo.list_models()}


def test_readme_is_a_face():
    assert 180 <= len(PAGES["README.md"].splitlines()) <= 220
    for page, text in PAGES.items():
        folder = ROOT if page == "README.md" else ROOT / "docs"
        for link in re.findall(r"\]\((?!http|#)([^)#]+)", text):
            assert (folder / link).exists(), f"{page}: {link}"


def test_benchmark_runs_in_small(python, tmp_path):
    arguments = ("--models=mlp", "--rounds=1", "--examples=1000", f"--out={tmp_path}")
    done = python("-c", COMPARE, *arguments)
    assert done.returncode == 0, done.stderr
    assert "| mlp | 128 |" in done.stdout
    assert done.stdout.strip() in (tmp_path / "RESULTS.md").read_text()
    assert (tmp_path / "results.png").stat().st_size > 5_000


def test_speeds_are_those_of_the_benchmarks_results():
    lines = (ROOT / "benchmarks/RESULTS.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(contenders.BATCH) and all(row in TEXT for row in rows)


def test_benchmark_of_prediction_runs_in_small(python):
    arguments = ("--model=lenet5", "--examples=300", "--rounds=1")
    done = python("-m", "benchmarks.prediction", *arguments)
    assert done.returncode == 0, done.stderr
    names = ["keras", "load_pretrained", "export", "one"]
    assert [line.split()[0] for line in done.stdout.splitlines()] == names


def test_benchmark_of_loading_runs_in_small(python):
    sizes = ("--rows=300", "--photos=12", "--texts=40", "--rounds=1")
    done = python("-m", "benchmarks.loading", "--parts=csv,streamed,words,wordpiece", *sizes)
    assert done.returncode == 0, done.stderr
    told, _, _, *rows = done.stdout.splitlines()
    assert told == "the ids of the word pieces are equal"
    assert [row.split()[1] for row in rows] == ["csv", "streamed", "words", "wordpiece"]


def test_benchmark_of_predicting_runs_in_small(python):
    arguments = ("--parts=rows", "--rows=600", "--rounds=1", "--servers")
    done = python("-m", "benchmarks.predict_files", *arguments)
    assert done.returncode == 0, done.stderr
    names = ["graph", "predict", "requests", "rest, 1", "rest, 4", "grpc, 1", "grpc, 4"]
    rows = [line[2:] for line in done.stdout.splitlines() if not line.startswith(("| 600", "|-"))]
    assert [row.startswith(name) for row, name in zip(rows, names, strict=True)] == [True] * 7


def test_benchmarks_models_are_of_the_sizes_they_say():
    """The zoo's, Keras' and PyTorch's count the same, but for PyTorch's second bias of its LSTM."""
    for family in contenders.BATCH:
        contenders.EXAMPLES[family] = 64
        zoo_epoch, keras_epoch = contenders.zoo(family), contenders.keras(family)
        counts = [
            inspect.getclosurevars(epoch).nonlocals["model"].count_params()
            for epoch in (zoo_epoch, keras_epoch)
        ]
        assert counts[0] == counts[1], family


def test_benchmark_of_scaling_runs_in_small(python, tmp_path):
    arguments = ("--parts=classes", "--largest=10", f"--out={tmp_path}")
    done = python("-m", "benchmarks.scaling", *arguments)
    assert done.returncode == 0, done.stderr
    row, slopes = done.stdout.splitlines()[2:]
    assert row.startswith("| classes 10 | ") and slopes.startswith("| classes, slope | ")
    assert all(float(cell.replace(",", "")) >= 0 for cell in row.strip("| ").split(" | ")[1:])
    assert (tmp_path / "scaling.png").stat().st_size > 5_000


def test_benchmark_of_request_logs_runs_in_small(run_zoo):
    double = Double(small_models("price"))
    arguments = ("--model=price", '--inputs={"features": [[80, 3]]}', "--seconds=0.2")
    addresses = (f"--server={double.rest}", f"--proxy={double.rest}")
    code, out, err = run_zoo(request_logs, *arguments, *addresses, "--clients=2")
    double.stop()
    assert code == 0, err
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[:3] for row in rows] == [["2", "the", "server"], ["2", "the", "proxy"]]
    assert all(float(row[3].replace(",", "")) > 0 and row[-1] == "0" for row in rows)


def test_benchmark_of_serving_runs_in_small(run_zoo):
    double = Double(small_models("price"))
    arguments = ("--model=price", f"--export_dir={small_models()}", "--seconds=0.5", "--clients=2")
    code, out, err = run_zoo(serve, *arguments, f"--server={double.rest}", "--shares=0.5")
    double.stop()
    assert code == 0, err
    rows = [line.split(" | ") for line in out.splitlines()[2:]]
    assert [row[0].split(",")[0] for row in rows] == ["| closed", "| open"]
    assert all(float(row[1].replace(",", "")) > 0 and row[-1] == "0 |" for row in rows)


@pytest.mark.parametrize("model", ["perceptron", "fasttext"])
def test_benchmark_of_signatures_runs_in_small(model, python):
    done = python("-m", "benchmarks.signatures", f"--model={model}", "--calls=2")
    assert done.returncode == 0, done.stderr
    assert {"keras", "serving_default", "classify", "top_k"} <= set(done.stdout.split())


@pytest.mark.parametrize("version", ["3.9", "3.14"])
def test_make_refuses_other_pythons_in_one_line(version, tmp_path):
    fake = tmp_path / "python"
    major, minor = version.split(".")
    pretend = f"import sys; sys.version_info = ({major}, {minor}); exec(sys.argv[1])"
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = -V ] && echo "Python {version}.1" && exit\n'
        f'exec {sys.executable} -c "{pretend}" "$2"\n'
    )
    fake.chmod(0o755)
    make = ["make", "--no-print-directory", "train", f"PYTHON={fake}", f"VENV={tmp_path}/venv"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True)
    ours, *make_says = done.stderr.splitlines()
    assert ours.startswith("TensorFlow 2.21 needs Python 3.10 to 3.13") and version in ours
    assert done.returncode == 2 and len(make_says) == 1 and not (tmp_path / "venv").exists()
