"""The README is true: its commands and its code run, its tree and its table are today's."""

import inspect
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, few, write_image

import zoo.data
from benchmarks import contenders
from zoo import pretrained, report
from zoo.data import catalog
from zoo.data.spec import Spec, Tokenizer

README = (ROOT / "README.md").read_text()
CONSOLE = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
TRAIN = list(dict.fromkeys(line for line in CONSOLE if line.startswith("python train.py")))
LAUNCH = [line for line in CONSOLE if line.startswith("python -m zoo.launch")]
SERVING = [line for line in CONSOLE if "python -m zoo.serving." in line]
SHIPPED = [(model, one) for model in zoo.list_models() for one in pretrained.shipped(model)]
EVALUATE = [line for line in CONSOLE if line.startswith("python -m zoo.evaluate")]
TOKENS = ("", "[UNK]", "[SEP]", "a", "fine", "film")
CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PLUGIN = next(code for code in CODE if "@zoo.register" in code)
CLIENT = next(code for code in CODE if "Client(" in code)
PRETRAINED = next(code for code in CODE if "load_pretrained(" in code)


@pytest.fixture
def user_folder(train):
    """The files that the commands name, in the current folder."""
    random = np.random.default_rng(0)
    for i in range(40):
        pixels = random.integers(0, 256, (70, 80, 3), "uint8")
        write_image(Path("photos", "cat" if i % 2 else "dog", f"{i}.jpg"), pixels)
    numbers = random.normal(size=(80, 3))
    frame = pd.DataFrame(numbers, columns=["weight", "power", "price"])
    frame.to_csv("cars.csv", index=False)
    frame.assign(species=np.where(frame.price > 0, "rose", "lily")).to_csv(
        "flowers.csv", index=False
    )
    reviews = [("a good film", 5), ("a dull play", 1), ("not so good", 2), ("great fun", 4)] * 15
    pd.DataFrame(reviews, columns=["review", "stars"]).to_csv("reviews.csv", index=False)
    pairs = [("it rains", "rain falls", 1), ("it rains", "it is dry", 0)] * 30
    pd.DataFrame(pairs, columns=["a", "b", "same"]).to_csv("pairs.csv", index=False)
    questions = pd.DataFrame(pairs, columns=["first", "second", "same"])
    questions.to_json("questions.jsonl", orient="records", lines=True)
    Path("configs").symlink_to(ROOT / "configs")
    Path("my_models.py").write_text(PLUGIN)
    return train


def test_every_command_is_run_by_a_test_or_by_make():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    rest = [line for line in CONSOLE if line not in TRAIN + SERVING + LAUNCH + EVALUATE]
    assert rest[0].startswith("git clone")
    for line in rest[1:]:
        # of docker and of the server that it starts, tests/test_serving_config.py has the files;
        # tests/test_kubernetes.py has those of clusters
        elsewhere = ("(cd saved_models && docker", "curl", "kubectl", "TF_CONFIG=")
        if not line.startswith(elsewhere):
            program, target = line.split()
            assert program == "make" and target in targets
    assert len(TRAIN) >= 10 and len(SERVING) >= 8


def model_of(command):
    return re.search(r"--model=(\w+)|configs/([a-z0-9]+)|$", command).group()


# the others differ in what comes before the export
EXPORTED = {model_of(command): command for command in reversed(TRAIN)}.values()


@pytest.mark.parametrize("command", TRAIN)
def test_command(command, user_folder, tfds_dir, bert_preset, train_module, monkeypatch):
    """To the end once for each model, and else to the end of the training."""
    if command not in EXPORTED:
        monkeypatch.setattr(report, "evaluate", lambda *_: {})
        monkeypatch.setattr(train_module, "finish", lambda *_: None)
    monkeypatch.setattr(catalog, "_reachable", lambda urls: False)
    monkeypatch.setattr(zoo.data, "read", few(zoo.data.read))
    flags = shlex.split(command.replace("all_minilm_l6_v2_en", bert_preset))[2:]
    if "--weights=runs/lstm-imdb_reviews" in flags:
        before = ["--run_dir=runs/lstm-imdb_reviews", "--hparam=width=4", "--epochs=1"]
        assert user_folder(*(f for f in flags if "--weights" not in f), *before)[0] == 0
    extra = [f"--data_dir={tfds_dir}", "--epochs=1", "--nojit_compile"]
    if not any(word in command for word in ("csv:", "jsonl:", "folder:", "--train_split")):
        extra.append("--train_split=train[:5%]")
    if "--flagfile" in command:
        extra.append("--dataset=mnist_5k")
    code, out, err = user_folder(*flags, *extra)
    assert code == 0, err
    assert not err or re.match(r"train.py: warning: the default dataset \w+ was replaced", err)
    if "--list" in flags or "--help" in flags:
        assert "cnn" in out
    elif command in EXPORTED:
        assert Path(out.splitlines()[-1], "saved_model.pb").is_file()
    else:
        assert "epoch 1/1" in out
    zoo.registry._ENTRIES.pop("tiny", None)


def test_serving_commands(python, tmp_path):
    """Against exports of small models; those that name a server find none there."""
    spec = Spec("text", (8,), ("neg", "pos"), tokenizer=Tokenizer("words", TOKENS, 8))
    lstm = zoo.get("lstm", vocabulary_size=len(TOKENS), width=4, embedding=4)
    version = zoo.export(lstm, tmp_path / "saved_models/lstm", spec=spec)
    shutil.copytree(version, version.with_name("2"))
    cnn = zoo.get("cnn", input_shape=(20, 20, 3), filters=(2,), dense=4)
    zoo.export(cnn, tmp_path / "saved_models/cnn")
    for path in re.findall(r"photos/\S+", " ".join(SERVING)):
        write_image(tmp_path / path, np.zeros((30, 40, 3), "uint8"))
    (tmp_path / "reviews.txt").write_text("a fine film\nno fun\n")
    for line in SERVING:
        typed, _, command = line.rpartition(" | ")
        arguments = shlex.split(command.removeprefix("python "))
        done = python(*arguments, cwd=tmp_path, input=typed.removeprefix("echo ").strip('"'))
        if "--server" in line:
            assert done.returncode == 2 and "localhost:8501" in done.stderr, done.stderr
            assert done.stderr.count("\n") == 1
        else:
            assert done.returncode == 0 and done.stdout, done.stderr
    in_process = CLIENT.replace(', server="localhost:8501"', "")
    assert in_process != CLIENT
    done = python("-c", in_process, cwd=tmp_path)
    assert done.returncode == 0 and "pos" in done.stdout, done.stderr


def test_evaluate_commands(python, user_folder, tfds_dir):
    """After two short trainings; that which names a server finds none there."""
    for number in (1, 2):
        flags = ("--model=cnn", "--dataset=mnist_5k", f"--data_dir={tfds_dir}", f"--seed={number}")
        code, _, err = user_folder(*flags, "--epochs=1", "--train_split=train[:10%]")
        assert code == 0, err
    for line in EVALUATE:
        arguments = shlex.split(line.removeprefix("python "))
        more = ["--epochs=1", "--nojit_compile"] if "--kfold" in line else []
        done = python(*arguments, *more, cwd=Path.cwd(), TFDS_DATA_DIR=str(tfds_dir))
        if "--server" in line:
            assert done.returncode == 2 and "localhost:8501" in done.stderr, done.stderr
            assert done.stderr.count("\n") == 1
        else:
            assert done.returncode == 0 and done.stdout, done.stderr
    assert Path("results/results.csv").read_text().count("\n") == 2


def test_the_code_runs_as_it_stands(python, tmp_path):
    done = python("-c", CODE[0], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "93,322" in done.stdout and (tmp_path / "saved_models/bright/1").is_dir()


def test_shipped_weights(python, tmp_path):
    """What the README says of them, in code and in the table."""
    done = python("-c", PRETRAINED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = [f"{model}/{one.name}" for model, one in SHIPPED]
    assert done.stdout.splitlines()[0] == str(listed)
    rows = re.findall(r"^\| `([\w/]+)` \| ([\d.]+%) \| ([\d,]+) kB \|", README, re.MULTILINE)
    assert rows == [
        (f"{model}/{one.name}", f"{one.accuracy:.2%}", f"{one.size / 1e3:,.0f}")
        for model, one in SHIPPED
    ]


def test_tree_names_every_file():
    tree = README.partition("```text\nREADME.md")[2].partition("```")[0]
    files = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()
    for file in files:
        path = Path(file)
        if path.name in ("__init__.py", "README.md") or file.startswith("."):
            continue
        folders = {f"{parent.name}/" for parent in path.parents[:2]}
        assert path.name in tree or any(f in tree for f in folders), f"{file} is not in the tree"
    for name in re.findall(r"^\s*([\w./]+)  ", tree, re.MULTILINE):
        name = name.rstrip("/")
        assert any(f == name or name in Path(f).parts for f in files), f"{name} is not there"


def test_benchmark_runs_in_small(python, tmp_path):
    arguments = ("--models=mlp", "--rounds=1", "--examples=1000", f"--out={tmp_path}")
    done = python("-m", "benchmarks.compare", *arguments)
    assert done.returncode == 0, done.stderr
    assert "| mlp | 128 |" in done.stdout
    assert done.stdout.strip() in (tmp_path / "RESULTS.md").read_text()
    assert (tmp_path / "results.png").stat().st_size > 5_000


def test_speeds_are_those_of_the_benchmarks_results():
    lines = (ROOT / "benchmarks/RESULTS.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(contenders.BATCH) and all(row in README for row in rows)


def test_benchmark_of_prediction_runs_in_small(python):
    arguments = ("--model=lenet5", "--examples=300", "--rounds=1")
    done = python("-m", "benchmarks.prediction", *arguments)
    assert done.returncode == 0, done.stderr
    names = ["keras", "load_pretrained", "export", "one"]
    assert [line.split()[0] for line in done.stdout.splitlines()] == names


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
