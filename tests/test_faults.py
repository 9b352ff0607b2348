"""Faults of disks and memory, hostile files and mistakes, over all commands: one line, nothing lost."""
# ruff: noqa: E501, a table

import ast
import contextlib
import errno
import io
import json
import os
import pkgutil
import re
import shutil
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.paths import ROOT

import zoo
from zoo.data.images.decoding import decode_image
from zoo.errors import UserError
from zoo.evaluation import plots
from zoo.exporting import saved_model
from zoo.exporting.tensors import make_example
from zoo.exporting.versions import list_versions
from zoo.storage.filenames import WARMUP
from zoo.storage.json_files import read_json
from zoo.training.callbacks import ProgressCallback
from zoo.training.checkpoints import find_latest_checkpoint

TRAIN, LABEL, CHECK = str(ROOT / "train.py"), "zoo label", "zoo check"
PREDICT, SIGNATURES, EPOCH = "zoo predict", "benchmarks.signatures", "benchmarks.compare"
TARGET = "benchmarks.time_to_accuracy"
# what the line begins with
PROGRAMS = {
    TRAIN: "train.py",
    **{command: f"python -m {command}" for command in (LABEL, CHECK, PREDICT)},
    SIGNATURES: "signatures.py",
    EPOCH: "compare.py",
    TARGET: "time_to_accuracy.py",
}
GOOD = "a,b,kind\n" + "".join(f"{i},{i * 2},{'xy'[i % 2]}\n" for i in range(20))
CSV = ("--model=mlp", "--label=kind")
JSONL = (TRAIN, "--model=lstm", "--text=a", "--label=kind")
FILES = {
    "open.csv": GOOD + '20,40,"x\n21,42,y\n',
    "endless.csv": GOOD + '20,40,"x\n' + "1,2,x\n" * 40_000,
    "long.csv": GOOD + "1," + "2" * 200_000 + ",x\n",
    "nul.csv": GOOD + "20,\0,x\n",
    "utf16.csv": GOOD.encode("utf-16"),
    "lines.csv": GOOD + '20,40,"x\ny"\n',
    "number.csv": GOOD + "9" * 5_000 + ",1,x\n",
    "deep.jsonl": "[" * 100_000,
    "long.jsonl": '{"a": "' + "x" * 10_000_000,
    "number.jsonl": '{"a": ' + "9" * 10_000 + ', "kind": 1}\n',
    "half.jsonl": '{"a": "x", "kind": "\\ud800"}\n' * 9,
    "lines.jsonl": '{"a": "x", "kind": "y\\nz"}\n' * 9,
    "key.jsonl": '{"a": "x", "\\ud800": 1, "kind": "y"}\n' * 9,
    "binary.flags": b"--epochs=\xff\xfe\n",
    "self.flags": "--flagfile=self.flags\n",
    "other.flags": "--flagfile=nowhere.flags\n",
    "nul.flags": "--model=cnn\n--run_dir=a\0b\n",
    "words.flags": "model cnn\n",
    "not_a_zip.keras": "x" * 100,
    "broken/labels.json": "{",
    "deep/labels.json": "[" * 100_000,
    "huge/labels.json": '{"p": {"stable": 99999999999999999999}}',
    "list/labels.json": '{"p": [1]}',
}
SPEC = {"kind": "image", "shape": [28, 28, 1], "class_names": ["a", "b"], "feature_names": []}
ZOO_JSON = {
    "z_torn": '{"spec"',
    "z_deep": "[" * 100_000,
    "z_list": "[]",
    "z_latin": b'{"spec": "\xe9"}',
    "z_empty": "{}",
    "z_kind": json.dumps({"spec": SPEC | {"kind": "sound"}}),
    "z_shape": json.dumps({"spec": SPEC | {"shape": [1e308 * 10]}}),
    "z_huge": json.dumps({"spec": SPEC | {"shape": [10**30]}}),
    "z_name": json.dumps({"spec": SPEC | {"class_names": ["a\nb", "c"]}}),
    "z_half": json.dumps({"spec": SPEC | {"class_names": ["\ud800", "c"]}}),
    "z_long": '{"spec": "' + "x" * (65 << 20) + '"}',
}

# program, arguments, and what the line has to say
CASES = [
    (TRAIN, *CSV, "--dataset=csv:open.csv", "open.csv, lines 22 to 23: a quote is not closed before the end of the file"),
    (TRAIN, *CSV, "--dataset=csv:endless.csv", "endless.csv, lines 22 to 40022: a quote is not closed before the end of the file: close it"),
    (TRAIN, *CSV, "--dataset=csv:nul.csv", "nul.csv, line 22: a NUL byte: save the file as UTF-8 text"),
    (TRAIN, *CSV, "--dataset=csv:lines.csv", "column 'kind' holds 'x\\ny' (1 such rows); expected a class name without line breaks"),
    (*JSONL, "--dataset=jsonl:deep.jsonl", "deep.jsonl, line 1: expected a JSON object"),
    (*JSONL, "--dataset=jsonl:long.jsonl", "long.jsonl, line 1: expected a JSON object"),
    (*JSONL, "--dataset=jsonl:number.jsonl", "number.jsonl, line 1: expected a JSON object"),
    (*JSONL, "--dataset=jsonl:half.jsonl", "half.jsonl, line 1: column 'kind' holds '\\ud800' (9 such lines)"),
    (*JSONL, "--dataset=jsonl:lines.jsonl", "holds 'y\\nz' (9 such rows); expected a class name without line breaks"),
    (*JSONL, "--dataset=jsonl:key.jsonl", "key.jsonl, line 1: '\\ud800' is not a valid column name"),
    (TRAIN, "--flagfile=binary.flags", "--flagfile: expected a file of flags, one per line: 'utf-8' codec"),
    (TRAIN, "--flagfile=self.flags", "--flagfile: self.flags includes itself"),
    (TRAIN, "--flagfile=other.flags", "nowhere.flags"),
    (TRAIN, "--model=mlp", "--label=", "--label=: expected a column: quote names that the shell reads, as in '--label=$price'"),
    (TRAIN, "--model=mlp", "--group=", "--group=: expected a column"),
    (TRAIN, "--model=cnn", "--dataset=", "--dataset=: expected a value: set the variable that it comes from, or omit --dataset"),
    (TRAIN, "--model=cnn", "--weights=", "--weights=: expected a value"),
    (TRAIN, "--model=cnn", "--add_dataset=", "--add_dataset=: expected a value"),
    (TRAIN, "--flagfile=nul.flags", "--run_dir='a\\x00b': expected one line of text"),
    (TRAIN, "--flagfile=words.flags", "'model cnn': expected only flags"),
    (TRAIN, "--flagfile=.", "Is a directory"),
    (TRAIN, "--model=cnn", "--label=a\n--overwrite", "--label='a\\n--overwrite': expected one line of text"),
    (TRAIN, "--model=cnn", "--epochs=99999999999", "--epochs=99999999999: expected a smaller number"),
    (TRAIN, "--model=cnn", "--batch_size=" + "9" * 5_000, "--batch_size"),
    (TRAIN, "--model=cnn", "--learning_rate=inf", "--learning_rate=inf: expected a finite number"),
    (TRAIN, "--model=cnn", "--holdout=nan", "--holdout=nan: expected a finite number"),
    (TRAIN, "--model=cnn", "--hparam=dense=0x" + "f" * 5_000, "cnn: dense=...: expected a whole number, at least 1, below 2147483648"),
    (TRAIN, "--model=cnn", "--hparam=dropout=" + "1" * 400, "cnn: dropout=111"),
    (TRAIN, "--model=cnn", "--hparam=dense=" + "(" * 9_000, "cnn: dense='((("),
    (TRAIN, "--model=cnn", "--checkpoint_every=" + "9" * 5_000, "expected a number of steps"),
    (TRAIN, "--model=../../cnn", "no model is named '../../cnn'"),
    (TRAIN, "--model=cnn", "--dataset=../x", "dataset '../x'"),
    (TRAIN, "--model=cnn", "--dataset=folder:bombs", "bombs/b/2.png: an image has more than 89,478,485 pixels"),
    (TRAIN, "--model=cnn", "--dataset=folder:warned", "warned/b/2.png: an image has more than 89,478,485 pixels"),
    (TRAIN, "--model=cnn", "--dataset=folder:lines", "class 'a\\nb': expected a UTF-8 name without line breaks"),
    (TRAIN, "--model=perceptron", "--dataset=mnist_5k", "--weights=not_a_zip.keras", "not_a_zip.keras: not a .keras file"),
    (TRAIN, "--model=perceptron", "--dataset=mnist_5k", "--weights=lambda.keras", "lambda.keras: Keras cannot load this model: Requested the deserialization of a `Lambda`"),
    (TRAIN, "--model=perceptron", "--dataset=mnist_5k", "--weights=bomb.keras", "bomb.keras: it unpacks to"),
    (TRAIN, "--model=perceptron", "--dataset=mnist_5k", "--weights=system.keras", "system.keras: Keras cannot load this model"),
    (TRAIN, "--model=perceptron", "--dataset=mnist_5k", "--weights=deep.keras", "deep.keras: not a .keras file"),
    (LABEL, "expected MODEL VERSION LABEL, got nothing (see --help)"),
    (LABEL, "p", "1", "expected MODEL VERSION LABEL, got p 1 (see --help)"),
    (LABEL, "p", "1", "stable", "--exportdir=e", "there is no flag --exportdir. Did you mean '--export_dir'?"),
    (LABEL, "p", "1", "stable", "--export_dir=nowhere", "nowhere: there is no such folder"),
    (LABEL, "q", "1", "stable", "--export_dir=exports", "exports has no model 'q'. It has: p"),
    (LABEL, "../../etc", "1", "stable", "--export_dir=exports", "no model '../../etc'"),
    (LABEL, "p", "3", "stable", "--export_dir=exports", "p has no version 3: choose one of 1, or none"),
    (LABEL, "p", "9" * 5_000, "stable", "--export_dir=exports", "p has no version 999"),
    (LABEL, "p", "1", "../x", "--export_dir=exports", "label '../x': expected a lowercase name"),
    (LABEL, "p", "1", "a\nb", "--export_dir=exports", "label 'a\\nb': expected a lowercase name"),
    (LABEL, "p", "none", "stable", "--export_dir=exports", "p has no label 'stable'. It has: none"),
    (LABEL, "p", "1", "stable", "--export_dir=exports", "--keep_versions=0", "--keep_versions=0: expected a whole number, at least 1"),
    (LABEL, "p", "1", "stable", "--export_dir=exports", "--keep_versions=99999999999", "expected a smaller number"),
    (LABEL, "p", "1", "stable", "--export_dir=broken", "broken/labels.json: expected {model: {label: version}}"),
    (LABEL, "p", "1", "stable", "--export_dir=deep", "deep/labels.json: expected {model: {label: version}}"),
    (LABEL, "p", "1", "stable", "--export_dir=huge", "huge/labels.json: expected {model: {label: version}}"),
    (LABEL, "p", "1", "stable", "--export_dir=list", "list/labels.json: expected {model: {label: version}}"),
    (CHECK, "expected DIR, got nothing (see --help)"),
    (CHECK, "nowhere", "nowhere: there is no export; expected one such as saved_models/cnn/1"),
    (CHECK, "exports/p", "--server=localhost", "'localhost' is not an address: expected HOST:PORT"),
    (CHECK, "exports/p", "--server=127.0.0.1:9", "127.0.0.1:9 cannot be reached"),
    (CHECK, "copy", "--server=127.0.0.1:9", "copy: the name of the folder is not a number"),
    (CHECK, "spoiled/z_torn", "zoo.json: not valid JSON"),
    (CHECK, "spoiled/z_deep", "zoo.json: not valid JSON: maximum recursion"),
    (CHECK, "spoiled/z_list", "zoo.json: expected a JSON object"),
    (CHECK, "spoiled/z_latin", "zoo.json: not valid JSON: 'utf-8' codec"),
    (CHECK, "spoiled/z_empty", "zoo.json does not describe the data"),
    (CHECK, "spoiled/z_kind", "kind='sound': expected one of image, features"),
    (CHECK, "spoiled/z_shape", "shape=(inf,): expected"),
    (CHECK, "spoiled/z_huge", "shape=(1000000000000000000000000000000,): expected"),
    (CHECK, "spoiled/z_name", "class 'a\\nb': expected a UTF-8 name without line breaks"),
    (CHECK, "spoiled/z_half", "class '\\ud800': expected a UTF-8 name without line breaks"),
    (CHECK, "spoiled/z_long", "bytes; expected at most 67,108,864"),
    (CHECK, "spoiled/no_json", "zoo.json: No such file or directory"),
    (CHECK, "spoiled/no_warmup", "tf_serving_warmup_requests: No such file or directory"),
    (CHECK, "spoiled/warmup", "the warm-up records cannot be read"),
    (CHECK, "spoiled/graph", "TensorFlow cannot load it"),
    (CHECK, "spoiled/variables", "TensorFlow cannot load it"),
    (CHECK, "spoiled/keras", "model.keras: not a .keras file"),
    (PREDICT, "--model=../../etc", "--export_dir=exports", "1.png", "exports has no model '../../etc'"),
    (PREDICT, "--model=..", "--export_dir=exports", "1.png", "exports has no model '..'"),
    (PREDICT, "--model=p", "--export_dir=exports", "--version=99999999999", "1.png", "expected a smaller number"),
    (PREDICT, "--model=p", "--export_dir=exports", "--timeout=nan", "1.png", "expected a finite number"),
    (PREDICT, "--model=p", "--export_dir=exports", "bombs/b/2.png", "bombs/b/2.png: exports/p/1 refused the request: an image has more than 89,478,485 pixels"),
    (PREDICT, "--model=z_deep", "--export_dir=spoiled_models", "1.png", "zoo.json: not valid JSON"),
    (PREDICT, "--model=z_kind", "--export_dir=spoiled_models", "1.png", "zoo.json does not describe the data"),
    (SIGNATURES, "--model=cmn", "no model is named 'cmn'. Did you mean 'cnn'?"),
    (SIGNATURES, "--model=cnn", "--calls=0", "--calls=0"),
    (EPOCH, "--rounds=0", "--rounds=0"),
    (EPOCH, "--rounds=nan", "--rounds=nan"),
    (TARGET, "--model=lstm", "expected one of cnn, transformer"),
    (EPOCH, "--models=mlp,cmn", "'cmn' is none of mlp,cnn,lstm,transformer"),
]  # fmt: skip


def png(rows, columns):
    """A PNG whose header claims a size that its data don't have."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def small_png(folder, name):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((28, 28), "uint8")).save(path)


def changed_keras(source, path, name, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", compression) as new:
        for member in old.namelist():
            new.writestr(member, content if member == name else old.read(member))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return zoo.export(zoo.get("perceptron"), tmp_path_factory.mktemp("exports") / "p")


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory, exported):
    """A folder with what each mistake needs."""
    folder = tmp_path_factory.mktemp("mistakes")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for name in ("exports", "broken", "deep", "huge", "list"):
        shutil.copytree(exported, folder / name / "p" / "1")
    shutil.copytree(exported, folder / "copy")

    def spoiled(name):
        (folder / "spoiled_models" / name).mkdir(parents=True, exist_ok=True)
        (folder / "spoiled").mkdir(exist_ok=True)
        version = shutil.copytree(exported, folder / "spoiled_models" / name / "1")
        (folder / "spoiled" / name).symlink_to(version)
        return version

    for name, content in ZOO_JSON.items():
        file = spoiled(name) / "assets.extra/zoo.json"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (spoiled("no_json") / "assets.extra/zoo.json").unlink()
    (spoiled("no_warmup") / WARMUP).unlink()
    (spoiled("warmup") / WARMUP).write_bytes(b"x" * 99)
    (spoiled("graph") / "saved_model.pb").write_bytes(b"\xff" * 99)
    shutil.rmtree(spoiled("variables") / "variables")
    (spoiled("keras") / "assets.extra/model.keras").write_bytes(b"x")

    small_png(folder, "1.png")
    for name, size in (("bombs", 50_000), ("warned", 10_000)):
        for label in "ab":
            for i in range(4):
                small_png(folder, f"{name}/{label}/{i}.png")
        (folder / name / "b/2.png").write_bytes(png(size, size))
    for label in ("a\nb", "c"):
        small_png(folder, f"lines/{label}/1.png")

    write_keras_files(exported / "assets.extra/model.keras", folder)
    return folder


def write_keras_files(good, folder):
    """Files that expand, nest or run code when they are loaded."""
    changed_keras(
        good, folder / "bomb.keras", "metadata.json", b" " * (64 << 20), zipfile.ZIP_DEFLATED
    )
    changed_keras(good, folder / "deep.keras", "config.json", b"[" * 100_000 + b"]" * 100_000)
    command = {"module": "os", "class_name": "system", "config": {"command": "touch PWNED"}}
    changed_keras(good, folder / "system.keras", "config.json", json.dumps(command).encode())
    given = keras.Input((28, 28, 1), dtype="uint8", name="image")
    code = keras.layers.Lambda(lambda x: Path("PWNED").touch() or x)
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        keras.Model({"image": given}, {"logits": code(given)}).save(folder / "lambda.keras")
    assert (folder / "lambda.keras").is_file()
    Path("PWNED").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def command(python, mistakes, tfds_dir):
    """Runs a program with these arguments in the folder of mistakes: (exit code, stdout, stderr)."""

    def run(program, *arguments):
        words = [program] if program.endswith(".py") else ["-m", *program.split()]
        done = python(*words, *arguments, cwd=mistakes, TFDS_DATA_DIR=str(tfds_dir))
        return done.returncode, done.stdout, done.stderr

    return run


def snapshot(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


@pytest.mark.parametrize("case", CASES, ids=[" ".join(c[:-1])[-80:] for c in CASES])
def test_mistake(case, command, mistakes):
    program, *arguments, message = case
    before = snapshot(mistakes)
    code, out, err = command(program, *arguments)
    assert code == 2, (out, err)
    assert message in err
    assert err.startswith(f"{PROGRAMS[program]}: ")
    assert err.count("\n") == 1 and len(err) < 5_000 and "Traceback" not in out + err, err
    assert snapshot(mistakes) == before and not (mistakes / "PWNED").exists()


def test_there_are_at_least_sixty():
    assert len(CASES) >= 60 and len({c[:-1] for c in CASES}) == len(CASES)
    assert {c[0] for c in CASES} == PROGRAMS.keys()


EXPORT = Path("saved_models/perceptron")
RUN = Path("runs/perceptron-iris")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, python, iris_csv):
    """A folder with a run that has ended, and its export."""
    folder = tmp_path_factory.mktemp("finished")
    done = python(TRAIN, *flags_of(iris_csv), "--epochs=1", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory, python, iris_csv):
    """The same, after a second epoch that was not yet scored."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("trained") / "runs")
    code = "from zoo.evaluation import scoring; scoring.evaluate_model = exit\n"
    code += f"import runpy; runpy.run_path({TRAIN!r}, run_name='__main__')"
    done = python("-c", code, *flags_of(iris_csv), "--epochs=2", cwd=folder)
    assert done.returncode and "epoch 2/2" in done.stdout, done.stderr
    return folder


def flags_of(iris_csv):
    """A table, whose export takes a third of the time of one of images."""
    flags = ("--model=perceptron", f"--dataset=csv:{iris_csv}", "--label=species")
    return *flags, "--schedule=constant", "--nojit_compile"


@pytest.fixture
def again(finished, iris_csv, train, tmp_path):
    """Goes on with a copy of the finished run for another epoch: (exit code, stdout, stderr)."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return lambda *flags: train(*flags_of(iris_csv), "--epochs=2", *flags)


@pytest.fixture
def score_again(trained, iris_csv, train, tmp_path):
    """Goes on with a copy of the trained run, which is scored and exported."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return lambda *flags: train(*flags_of(iris_csv), "--epochs=2", *flags)


def full(path="somewhere"):
    return OSError(errno.ENOSPC, "No space left on device", str(path))


def of_tensorflow(path="somewhere"):
    return tf.errors.ResourceExhaustedError(None, None, f"{path}/x; No space left on device")


def of_hdf5(path="somewhere"):
    return OSError(
        "Can't write data (file write failed: errno = 28, error message = 'No space left on device')"
    )


def fails(error, only=""):
    """Raises the error, for a path with a part of it if `only` is given."""

    def patched(original):
        def call(*arguments, **named):
            if any(only in str(one) for one in arguments[:2]):
                raise error()
            return original(*arguments, **named)

        return call

    return patched


def draw_nothing(figure, path):
    """In place of what takes a third of the time after a training."""


# what fails, and how
WRITING = {
    "flags.txt": ("pathlib.Path.write_text", fails(full, "flags.txt")),
    "checkpoint": ("zoo.training.checkpoints.np.savez", fails(full)),
    "checkpoint's end": ("zoo.training.checkpoints._flush_to_disk", fails(full)),
    "history.csv": ("zoo.training.callbacks.csv.DictWriter.writerows", fails(full)),
    "best.keras": ("keras.Model.save", fails(of_hdf5, "best.keras")),
    "last.keras": ("keras.Model.save", fails(of_hdf5, "last.keras")),
    "tensorboard": ("keras.callbacks.TensorBoard.on_epoch_end", fails(of_tensorflow)),
    "curves.png": ("zoo.evaluation.plots.FigureCanvasAgg.print_png", fails(full)),
    "metrics.json": ("zoo.storage.json_files.write_json", fails(full)),
    "card.md": ("zoo.evaluation.model_card.render_card", fails(full)),
    "graph": ("zoo.exporting.saved_model.write_saved_model", fails(of_tensorflow)),
    "model.keras": ("keras.Model.save", fails(of_hdf5, "model.keras")),
    "warm-up": ("zoo.exporting.saved_model.write_warmup", fails(of_tensorflow)),
    "rename": ("zoo.exporting.saved_model.os.rename", fails(full)),
    "models.config": ("zoo.serving.server_config.write_text", fails(full)),
}


# as they come after the training
LATE = list(WRITING)[list(WRITING).index("curves.png") :]


@pytest.mark.parametrize("place", WRITING)
def test_a_full_disk(place, request, monkeypatch):
    again = request.getfixturevalue("score_again" if place in LATE else "again")
    name, patched = WRITING[place]
    before = snapshot(EXPORT)
    weights = zoo.load(RUN).get_weights()
    if place != "curves.png":
        monkeypatch.setattr(plots, "save_figure", draw_nothing)
    with monkeypatch.context() as patch:
        module, _, attribute = name.rpartition(".")
        target = pkgutil.resolve_name(module)
        patch.setattr(target, attribute, patched(getattr(target, attribute)))
        code, out, err = again()
    assert code == 2, (out, err)
    assert re.fullmatch(r"train\.py: .+: No space left on device: free some space.*\n", err), err
    assert "a file:" not in err
    before.pop(EXPORT / "contract.json", None)  # written anew
    assert before.items() <= snapshot(EXPORT).items()
    assert not list(EXPORT.glob(".draft-*"))
    versions = [path.name for path in list_versions(EXPORT)]
    late = place in ("models.config", "card.md")
    assert versions == (["1", "2"] if late else ["1"])
    # what was there is whole: the state before, or the one after it
    assert len(zoo.load(RUN).get_weights()) == len(weights)
    zoo.load(RUN / "best.keras")
    read_json(RUN / "metrics.json")
    start, damaged = find_latest_checkpoint(RUN)
    assert start and not damaged


def test_after_a_full_disk_it_goes_on(again, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "save", fails(of_hdf5, "last.keras")(keras.Model.save))
        assert again()[0] == 2
    code, out, err = again()
    assert (code, err) == (0, "") and "resumes in epoch" in out
    assert out.splitlines()[-1] == str(EXPORT / "2")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("Unable to allocate 7.28 TiB for an array"), "out of memory (Unable to allocate 7.28 TiB for an array): use a smaller --batch_size"),
        (MemoryError(), "out of memory: use a smaller --batch_size"),
        (tf.errors.ResourceExhaustedError(None, None, "{{node}} OOM when allocating tensor with shape[9] and type float on /job"), "out of memory (OOM when allocating tensor with shape[9] and type float): use a"),
    ],
)  # fmt: skip
def test_too_little_memory(error, message, again, monkeypatch):
    before = snapshot(EXPORT)
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: (_ for _ in ()).throw(error))
    code, _, err = again()
    assert code == 1 and err.startswith(f"train.py: {message}") and err.count("\n") == 1
    assert snapshot(EXPORT) == before


def test_what_nobody_foresaw_shows_where_it_is(score_again, monkeypatch):
    before = snapshot(EXPORT)
    monkeypatch.setattr(plots, "save_figure", draw_nothing)
    for error in (KeyError("x"), RuntimeError("x"), tf.errors.InternalError(None, None, "x")):
        monkeypatch.setattr(
            saved_model, "write_saved_model", fails(lambda error=error: error)(None)
        )
        with pytest.raises(type(error)):
            score_again()
        assert snapshot(EXPORT) == before


@pytest.mark.parametrize("moment", ["on_train_batch_end", "on_epoch_end"])
def test_a_run_folder_that_vanishes(moment, again, monkeypatch):
    before = snapshot(EXPORT)
    original = getattr(ProgressCallback, moment)

    def remove(self, number, logs=None):
        original(self, number, logs)
        shutil.rmtree(RUN, ignore_errors=True)

    monkeypatch.setattr(ProgressCallback, moment, remove)
    code, _, err = again()
    assert code == 2 and err.count("\n") == 1, err
    assert f"train.py: {RUN}" in err and "No such file or directory: it was deleted" in err
    assert snapshot(EXPORT) == before


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT])
def test_folders_that_cannot_be_written(number, again, monkeypatch):
    before = snapshot(Path("."))
    error = OSError(number, os.strerror(number), "x")
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.mkdtemp", fails(lambda: error)(None))
        code, _, err = again()
    assert code == 2 and err.count("\n") == 1 and os.strerror(number) in err
    assert snapshot(Path(".")) == before


# the limit on the size of files, as a full disk: writing fails instead of ending the process
LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
program, limit = sys.argv.pop(1), int(sys.argv.pop(1)) << 10
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
runpy.run_path(program, run_name="__main__")
"""


@pytest.mark.parametrize("kibibytes", [2, 8, 90])
def test_a_limit_on_files(kibibytes, finished, python, iris_csv, tmp_path):
    """In a checkpoint, in best.keras, and in the graph of the export."""
    shutil.copytree(finished / "saved_models", tmp_path / "saved_models")
    before = snapshot(tmp_path)
    arguments = (TRAIN, kibibytes, *flags_of(iris_csv), "--epochs=1")
    done = python("-c", LIMITED, *arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert re.match(r"\S+: \S+/\S+: File too large: ", done.stderr), done.stderr
    assert before.items() <= snapshot(tmp_path).items()
    assert sorted(path.name for path in (tmp_path / EXPORT).iterdir()) == ["1", "contract.json"]


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills(small_disk, finished, python, iris_csv, tmp_path):
    shutil.copytree(finished / "saved_models", tmp_path / "saved_models")
    before = snapshot(tmp_path / "saved_models")
    flags = (*flags_of(iris_csv), "--epochs=3", "--run_dir=disk/run", "--checkpoint_every=1")
    done = python(TRAIN, *flags, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(r"train\.py: disk/run/\S+: No space left on device: .*\n", done.stderr)
    assert not find_latest_checkpoint(small_disk / "run")[1]
    assert snapshot(tmp_path / "saved_models") == before


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--list", "train.py: .*: No space left on device: free some space.*\n"),
        ("--model=cn", "train.py: no model is named 'cn'. Did you mean 'cnn'.*\n"),
    ],
)
def test_standard_output_that_is_full(flag, message, unbuffered):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    run = [sys.executable, TRAIN, flag]
    with open("/dev/full", "w") as out:
        done = subprocess.run(run, stdout=out, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(message, done.stderr)


def test_nothing_that_is_loaded_is_run():
    """No module of the package evaluates text or unpickles."""
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    for file in [
        *(ROOT / "zoo").rglob("*.py"),
        *(ROOT / "benchmarks").rglob("*.py"),
        ROOT / "train.py",
    ]:
        tree = ast.parse(file.read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        ours = {a.name for i in imports if i.module == "zoo.exporting.loading" for a in i.names}
        for node in ast.walk(tree):
            where = f"{file}, line {getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
                assert not {name.partition(".")[0] for name in names} & banned, where
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if isinstance(node.func, ast.Name):
                assert name not in ("eval", "exec", "compile", "__import__"), where
            assert name not in ("enable_unsafe_deserialization", "unsafe_load"), where
            owner = getattr(getattr(node.func, "value", None), "id", "")
            if owner == "np" and name == "load":
                assert "allow_pickle" not in given or given["allow_pickle"].value is False, where
            if name == "load_model" and not (isinstance(node.func, ast.Name) and name in ours):
                assert given["safe_mode"].value is True, where
            if owner == "yaml":
                assert name == "safe_load", where
            if owner == "subprocess" or (owner == "os" and name in ("system", "popen")):
                assert "shell" not in given and name not in ("system", "popen"), where


@pytest.mark.parametrize("names", [("a\nb", "c"), ("a\0", "c"), ("\ud800", "c"), ("a\r", "c")])
def test_class_names_are_lines(names, tmp_path):
    with pytest.raises(UserError, match="expected a UTF-8 name without line breaks"):
        zoo.export(zoo.get("perceptron", num_classes=2), tmp_path / "p", class_names=names)
    assert not (tmp_path / "p").exists()


def header(kind, rows, columns):
    """A file of 10 x 20 pixels whose header claims others."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((10, 20, 3), "uint8")).save(file, kind)
    content = bytearray(file.getvalue())
    places = {"BMP": (18, "<ii"), "GIF": (6, "<HH"), "JPEG": (content.find(b"\xff\xc0") + 5, ">HH")}
    start, form = places[kind]
    written = struct.pack(form, *((rows, columns) if kind == "JPEG" else (columns, rows)))
    content[start : start + len(written)] = written
    return bytes(content)


BOMBS = {
    "png": png(50_000, 50_000),
    "png of a line": png(1, 2**31 - 1),
    "bmp": header("BMP", 50_000, 50_000),
    "bmp down": header("BMP", -50_000, 50_000),
    "gif": header("GIF", 50_000, 50_000),
    "jpeg": header("JPEG", 50_000, 50_000),
}


@pytest.fixture(scope="module")
def served(exported):
    return tf.saved_model.load(str(exported)).signatures


@pytest.mark.parametrize("bomb", BOMBS)
def test_images_of_absurd_size(bomb, served):
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 89,478,485 pixels"):
        decode_image(tf.constant(BOMBS[bomb]), (28, 28, 1))
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 89,478,485 pixels"):
        served["image_bytes"](image_bytes=tf.constant([BOMBS[bomb]]))
    one = make_example({"image_bytes": BOMBS[bomb]}).SerializeToString()
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 89,478,485 pixels"):
        served["classify"](inputs=tf.constant([one]))


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"\xff\xd8", b"\x89PNG", b"B", b"GIF89a", b"RIFF"]
)
def test_images_cut_short(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(tf.constant(content), (28, 28, 1))
