"""Whatever is given: a result or one line that says what to do, never another error or a hang."""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from absl.testing import flagsaver
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zoo.commands import train
from zoo.commands.flags import parse_hparams
from zoo.commands.runner import run_command
from zoo.data.config import DataConfig, parse_image_size
from zoo.data.loading import dataset_slug
from zoo.data.sources.table import load_table
from zoo.data.spec import Spec, spec_from_record
from zoo.data.texts.tokenizers import read_tokenizer, save_tokenizer
from zoo.errors import UserError
from zoo.evaluation.record import find_finished_record
from zoo.exporting.loading import load_spec
from zoo.recipe import Recipe, parse_augmentation, parse_class_weights
from zoo.registry import find_entry, list_names
from zoo.schema import is_line, parse_literal
from zoo.serving.rows.reading import read_rows
from zoo.serving.server_config import write_server_files
from zoo.serving.version_labels import set_label
from zoo.storage.checksums import write_checksums
from zoo.storage.json_files import read_json
from zoo.training.checkpoints import find_latest_checkpoint
from zoo.training.run_folder import open_run, parse_checkpoint_interval
from zoo.training.source import Source, inherit_settings

# FUZZ=deep pytest tests/test_fuzz.py: many more, and other ones each time
COMMON = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PROFILES = {
    "quick": settings(COMMON, max_examples=150, derandomize=True),
    "deep": settings(COMMON, max_examples=4_000),
}

HUGE = "9" * 5_000
ODD = ["", "nan", "inf", "-0", "1e999", HUGE, f"0x{'f' * 5_000}", "(" * 300, "[" * 9_999, "1" * 25]
ODD += ["\0", "\ud800", "a\nb", "../..", "/", "~", "~nobody/x", "none", "\u0665"]
TEXTS = st.one_of(
    st.text(max_size=30),
    st.text("0123456789.,-+eE_xX()[]{}'\" infa%:=/\\", max_size=12),
    st.sampled_from(ODD),
)
BYTES = st.one_of(st.binary(max_size=60), TEXTS.map(lambda x: x.encode("utf-8", "surrogatepass")))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
DEEP = b"[" * 100_000
NUMBER = b"1" * 10_000


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def refused_or_done(call, *arguments, **named):
    """What the call gives, or None if it raises a UserError of one line."""
    try:
        return call(*arguments, **named)
    except UserError as error:
        assert str(error)
        return None


def fuzz(*arguments, **named):
    """`given`, in the profile that is asked for."""
    profile = PROFILES[os.environ.get("FUZZ", "quick")]

    def decorate(test):
        return profile(given(*arguments, **named)(test))

    return decorate


class Reached(Exception):
    """The flags have passed all checks that do without TensorFlow."""


def run(argv) -> str:
    """What train.py writes on stderr before it imports TensorFlow."""
    err, saved = io.StringIO(), flagsaver.save_flag_values(train.FLAGS)
    with (
        mock.patch.object(sys, "argv", ["train.py", *argv]),
        mock.patch.object(train, "import_tensorflow", side_effect=Reached),
        contextlib.redirect_stderr(err),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            run_command(train, argv)
        except SystemExit as stopped:
            assert stopped.code == 2
            assert err.getvalue().startswith("train.py: ")
        except Reached:
            assert err.getvalue() == ""
        finally:
            flagsaver.restore_flag_values(saved, train.FLAGS)
    return err.getvalue()


# fmt: off
FLAGS = [
    "model", "hparam", "recipe", "dataset", "train_split", "label", "text",
    "tokenizer", "vocabulary_size", "length", "image_size", "holdout", "memory_budget",
    "epochs", "batch_size", "accumulate_steps", "optimizer", "learning_rate", "schedule", "warmup",
    "weight_decay", "l1", "l2", "label_smoothing", "clip_norm", "ema",
    "early_stopping", "augment", "class_weights", "trainable", "lora_rank", "layer_decay",
    "head_learning_rate", "precision", "jit_compile", "steps_per_execution", "seed", "overwrite",
    "columns", "task", "separator", "group", "time", "stratify", "lowercase", "resize", "color",
    "long_texts", "skip_broken", "monitor", "export_name", "change_contract", "checkpoint_every",
    "export_formats", "keep_versions", "strategy", "tpu",
    "find_learning_rate", "loss", "focal_gamma", "oversample", "plateau_patience", "threshold",
    "weight", "merge_label_case", "explain_signature", "head_epochs", "encoding", "add_dataset",
]
# fmt: on


def test_every_flag_is_fuzzed():
    known = set(train.FLAGS)
    # modules that a plugin names are imported, and folders are looked for
    apart = {
        "preset",
        "preset_weights",
        "vectors",
        "weights",
        "plugin",
        "list",
        "data_dir",
        "cache_dir",
        "run_dir",
        "export_dir",
    }
    assert known == set(FLAGS) | apart


@fuzz(name=st.sampled_from(FLAGS), value=TEXTS)
@example("epochs", HUGE)
@example("epochs", "1" * 25)
@example("holdout", "nan")
@example("learning_rate", "inf")
@example("class_weights", "nan")
@example("class_weights", "inf,1")
@example("hparam", "dropout=" + "1" * 400)
@example("hparam", "dense=0x" + "f" * 5_000)
@example("hparam", "filters=(32,None)")
@example("label", "a\n--overwrite")
@example("label", "\ud800")
@example("checkpoint_every", "9" * 30)
@example("checkpoint_every", HUGE)
def test_values_of_flags(folder, name, value):
    err = run(["--model=cnn", f"--export_dir={folder}", f"--{name}={value}"])
    assert err.count("\n") <= 1 and len(err) < 5_000


@fuzz(value=TEXTS, name=st.sampled_from(["run_dir", "export_dir", "data_dir", "weights", "preset"]))
@example("\0", "run_dir")
@example("a" * 300, "run_dir")
@example("a/" * 3_000, "export_dir")
@example("~nobody-of-that-name/x", "run_dir")
@example("~nobody-of-that-name/x", "export_dir")
def test_folders(folder, value, name):
    if not value.startswith(("/", "~", "..")) or "nobody" in value:
        err = run(["--model=bert", f"--export_dir={folder}", f"--{name}={value}"])
        assert err.count("\n") <= 1


@fuzz(content=BYTES | st.lists(st.tuples(st.sampled_from(FLAGS), TEXTS), max_size=3))
@example(b"--model=cnn\n--epochs=\xff\n")
@example(b"\xff\xfe-\0-\0")
@example(b"--flagfile=\n")
@example(b"--flagfile\n")
@example(b"--flagfile=flags\0\n")
@example(b"--flagfile=.\n")
@example(b"--run_dir=a\0b\n--model=cnn\n")
@example(b"--no\n--\n---\n-\n--=\n")
def test_flagfiles(folder, content):
    if isinstance(content, list):
        lines = "".join(f"--{name}={value}\n" for name, value in content)
        content = lines.encode("utf-8", "surrogatepass")
    (folder / "flags").write_bytes(content)
    run([f"--flagfile={folder / 'flags'}", f"--export_dir={folder}"])


@fuzz(TEXTS)
def test_literals(value):
    parse_literal(value)
    refused_or_done(parse_augmentation, value)
    refused_or_done(parse_augmentation, f"shift={value}")
    refused_or_done(parse_class_weights, value)
    refused_or_done(parse_hparams, [value])
    refused_or_done(parse_image_size, value)
    refused_or_done(parse_checkpoint_interval, value)
    if is_line(value):
        for name in (
            dataset_slug(value),
            dataset_slug(f"csv:{value}"),
            dataset_slug(f"folder:{value}"),
        ):
            assert "/" not in name


@fuzz(JSON)
@example(10**400)
@example(10**5_000)
@example((1, 10**5_000))
@example([[1]])
def test_values_of_hyperparameters(value):
    for name in list_names():
        entry = find_entry(name)
        for hparam in entry.hyperparameters:
            refused_or_done(entry.check, {hparam: value}, entry.hyperparameters)


HEADER = b"a,b,c\n"
ROWS = b"".join(b"%d,%d.5,%s\n" % (i, i, b"xy"[i % 2 :][:1]) for i in range(6))


def read_table(kind, file, label="c", columns=()):
    config = DataConfig(text=tuple(columns), label=label)
    source = refused_or_done(load_table, kind, str(file), config)
    if source:
        assert len(source.splits["train"]) >= 4


@fuzz(
    content=BYTES
    | st.lists(st.lists(BYTES, max_size=4), max_size=6).map(
        lambda rows: b"\n".join(b",".join(row) for row in rows)
    ),
    columns=st.sampled_from([[], ["a"], ["a", "b"]]),
)
@example(b'1,2,"x\n', [])
@example(b'1,"' + b"2,x\n" * 50_000, [])
@example(b"1,\0,x\n", ["b"])
@example(b"\xff\xfe1\0", [])
@example(b"1," + b"2" * 140_000 + b",x\n", [])
@example(b"1,2,\xc2\x85x\n", [])
@example(b"1,2,x\x0by\n", [])
@example(NUMBER + b",2,x\n", [])
@example(b"1,2," + NUMBER + b"\n", [])
@example(b"1,2,nan\n", [])
@example(b"1,2,1e999\n", [])
@example(b"\r1,2,3\r\r\n", [])
def test_csv(folder, content, columns):
    file = folder / "t.csv"
    for before in (b"", HEADER, HEADER + ROWS):
        file.write_bytes(before + content)
        read_table("csv", file, columns=columns)


@fuzz(
    content=BYTES | st.lists(JSON.map(json.dumps), max_size=5).map(lambda x: "\n".join(x).encode()),
    columns=st.sampled_from([[], ["a"], ["a", "b"]]),
)
@example(DEEP, [])
@example(b'{"a": 1, "b": ' + NUMBER + b', "c": "x"}', [])
@example(b'{"a": 1, "b": ' + NUMBER[:4000] + b', "c": "x"}', [])
@example(b'{"a": 1, "b": 2, "c": ' + NUMBER[:4000] + b"}", [])
@example(b'{"a": 1, "b": 2, "c": NaN}', [])
@example(b'{"a": 1, "b": 2, "c": "\\ud800"}', [])
@example(b'{"a": "\\ud800", "b": "x", "c": "x"}', ["a"])
@example(b'{"a": 1, "b": 2, "c": "x\\ny"}', [])
@example(b'{"a": 1, "b": [2], "c": {"x": 1}}', [])
@example(b'{"a": 1, "b": 2, "c": "x", "\\ud800": 3}', [])
@example(b'{"a": 1, "b": 2, "c": -Infinity}', [])
@example(b'"' + b"x" * 10_000_000 + b'"', [])
def test_jsonl(folder, content, columns):
    file = folder / "t.jsonl"
    rows = b"".join(b'{"a": %d, "b": 1.5, "c": "%c"}\n' % (i, b"xy"[i % 2]) for i in range(6))
    if columns:
        rows = (
            rows.replace(b"1.5", b'"two"')
            .replace(b'"a": ', b'"a": "t')
            .replace(b', "b"', b'", "b"')
        )
    for before in (b"", rows):
        file.write_bytes(before + content)
        read_table("jsonl", file, columns=columns)


@fuzz(
    kind=st.sampled_from(["image", "features", "text", "text_pair", "sound"]),
    ending=st.sampled_from([".txt", ".csv", ".jsonl"]),
    content=BYTES,
    known=st.booleans(),
)
@example("features", ".jsonl", b'{"a": ' + NUMBER[:4000] + b', "b": 1}', True)
@example("features", ".jsonl", b'{"a": ' + NUMBER + b', "b": 1}', True)
@example("features", ".jsonl", b'{"a": true, "b": [1]}', False)
@example("features", ".csv", b"a,b\n1," + b"2" * 140_000, True)
@example("text", ".jsonl", DEEP, True)
@example("text", ".jsonl", b'{"text": "\\ud800"}', True)
@example("text", ".csv", b"text\n\0\n", True)
@example("text", ".csv", b'text\n"\n', True)
@example("text_pair", ".txt", b"a\tb\tc\n", True)
def test_what_predict_reads(folder, kind, ending, content, known):
    file = folder / f"input{ending}"
    file.write_bytes(content)
    spec = Spec(kind, (8,), None, ("a", "b") if known else ())
    rows = refused_or_done(read_rows, [str(file)], spec, "m")
    if rows is not None:
        refused_or_done(lambda: [json.dumps(row.shown) for row in rows])


TOKENIZER = {
    "kind": "words",
    "vocabulary": ["", "[UNK]", "[SEP]", "film"],
    "length": 8,
    "lowercase": True,
}
SPEC = {"kind": "image", "shape": [8, 8, 1], "class_names": ["a", "b"], "feature_names": []}
METRICS = {
    "export": "saved_models/cnn/1",
    "recipe": {"epochs": 1},
    "formats": {},
    "test": {"accuracy": 0.5, "accuracy_interval": [0, 1], "f1": 0.5, "loss": 1, "examples": 9},
}


def spoiled(content: dict):
    """Bytes of JSON files: others' altogether, or ours with other values."""
    changed = st.dictionaries(st.sampled_from(sorted(content)), JSON, max_size=2)
    return (
        BYTES
        | JSON.map(lambda x: json.dumps(x).encode())
        | changed.map(lambda x: json.dumps(content | x).encode())
    )


@fuzz(spoiled(TOKENIZER))
@example(DEEP)
@example(json.dumps(TOKENIZER | {"length": float("inf")}).encode())
@example(json.dumps(TOKENIZER | {"length": 10**30}).encode())
@example(json.dumps(TOKENIZER | {"length": -1}).encode())
@example(json.dumps(TOKENIZER | {"kind": "bytes"}).encode())
@example(json.dumps(TOKENIZER | {"vocabulary": "abc"}).encode())
@example(json.dumps(TOKENIZER | {"vocabulary": ["", "[UNK]", "[SEP]", "\ud800"]}).encode())
@example(json.dumps(TOKENIZER | {"vocabulary": ["", "[UNK]", "[SEP]", "a", "a"]}).encode())
def test_tokenizer_json(folder, content):
    file = folder / "tokenizer.json"
    file.write_bytes(content)
    tokenizer = refused_or_done(read_tokenizer, file)
    if tokenizer:
        save_tokenizer(Spec("text", (8,), ("a", "b"), tokenizer=tokenizer), folder)
        assert read_tokenizer(file) == tokenizer


@fuzz(spoiled(SPEC))
@example(DEEP)
@example(json.dumps(SPEC | {"shape": [float("inf")]}).encode())
@example(json.dumps(SPEC | {"shape": [10**30, 1, 1]}).encode())
@example(json.dumps(SPEC | {"class_names": ["a\nb", "c"]}).encode())
@example(json.dumps(SPEC | {"class_names": ["\ud800", "c"]}).encode())
@example(json.dumps(SPEC | {"class_names": "ab"}).encode())
@example(json.dumps(SPEC | {"kind": ["image"]}).encode())
def test_zoo_json(folder, content):
    file = folder / "zoo.json"
    for written in (content, b'{"spec": ' + content + b"}"):
        file.write_bytes(written)
        refused_or_done(lambda: spec_from_record(read_json(file), file))


@fuzz(spoiled(METRICS | {"model": "cnn", "hyperparameters": {"dropout": 0.5}}))
@example(DEEP)
@example(json.dumps(METRICS | {"export": "\0"}).encode())
@example(json.dumps(METRICS | {"test": {"accuracy": 1}}).encode())
@example(json.dumps({"model": "cnn", "hyperparameters": [1]}).encode())
@example(json.dumps({"model": "cnn", "hyperparameters": {"filters": {}}}).encode())
def test_metrics_json(folder, content):
    (folder / "metrics.json").write_bytes(content)
    (folder / "last.keras").touch()
    refused_or_done(find_finished_record, folder, Recipe(epochs=1), folder, ["saved_model"])
    refused_or_done(load_spec, folder)
    record = refused_or_done(read_json, folder / "metrics.json")
    if record is not None:
        source = Source(folder, None, record, None)
        refused_or_done(inherit_settings, source, find_entry("cnn"), {})
        refused_or_done(lambda: record.get("spec") and source.spec)


@fuzz(BYTES | JSON.map(lambda x: json.dumps(x).encode()))
@example(DEEP)
@example(b'{"m": {"stable": 99999999999999999999999}}')
@example(b'{"m": {"stable": -1}}')
@example(b'{"m": []}')
def test_files_of_serving(folder, content):
    exports = folder / "exports"
    (exports / "m" / "1").mkdir(parents=True, exist_ok=True)
    (exports / "m" / "1" / "saved_model.pb").touch()
    (exports / "labels.json").write_bytes(content)
    (exports / "models.config").write_bytes(content)
    refused_or_done(write_server_files, exports)
    (exports / "models.config").write_bytes(content)
    refused_or_done(set_label, exports, "m", 1, "stable")
    refused_or_done(set_label, exports, content.decode(errors="replace"), 1, "stable")
    refused_or_done(set_label, exports, "m", 1, content.decode(errors="replace"))


@fuzz(state=spoiled({"epoch": 1, "step": 2, "history": []}), sums=BYTES, variables=BYTES)
@example(DEEP, b"", b"")
@example(b"{}", b"x  /dev/zero\n", b"PK")
def test_checkpoints(folder, state, sums, variables):
    path = folder / "run" / "checkpoints" / "1"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    (path / "state.json").write_bytes(state)
    (path / "variables.npz").write_bytes(variables)
    (path / "SHA256SUMS").write_bytes(sums)
    assert find_latest_checkpoint(folder / "run") == (None, [path])
    write_checksums(path, ("variables.npz", "state.json"))
    find_latest_checkpoint(folder / "run")


@fuzz(there=BYTES, lock=BYTES)
@example(b"\xff", b"\xff")
@example(b"--epochs=many\n", b"")
@example(b"--epochs=" + NUMBER + b"\n", NUMBER)
def test_run_folders(folder, there, lock):
    path = folder / "begun"
    path.mkdir(exist_ok=True)
    (path / "flags.txt").write_bytes(there)
    (path / "lock").write_bytes(lock)

    def begin():
        with open_run(path, "--epochs=2\n", free=(), overwrite=False):
            pass

    refused_or_done(begin)
