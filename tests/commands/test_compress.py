"""`zoo compress` from the flags to the exports."""

import csv
import functools
import json
from pathlib import Path

import numpy as np
import pytest

from zoo.commands import compress as compress_command
from zoo.compressing import results, workflow
from zoo.compressing.pruning import measure_sparsity
from zoo.errors import UserError
from zoo.exporting.loading import load_model
from zoo.exporting.verification import verify_export
from zoo.pretrained.publishing import publish_run
from zoo.storage.filenames import EXTRA_FOLDER, STATISTICS

FOLDER = Path("compressing/mlp-iris")


@pytest.fixture
def compress(run_zoo, monkeypatch):
    """Runs `zoo compress` with these flags in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.setattr(results, "save_figure", lambda figure, path: path.touch())
    return functools.partial(run_zoo, compress_command)


def read_table():
    with open(FOLDER / "compress.csv") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


SMALL = (
    "--label=species",
    "--hparam=hidden=64,32",
    "--epochs=10",
    "--learning_rate=0.02",
    "--batch_size=16",
    "--explain_signature",
)


def test_methods_one_after_the_other(train, without_export, compress, iris_csv, monkeypatch):
    """What is finished is not made again, and what loses too much is not exported."""
    data = ("--model=mlp", f"--dataset=csv:{iris_csv}")
    assert train(*data, *SMALL)[0] == 0
    code, out, err = compress(*data, "--methods=int8,distill:lstm")
    assert code == 2 and "lstm reads text" in err and not FOLDER.exists()
    real = workflow.export_model

    def export_int8(model, folder, **options):
        if "int8" in folder.name:
            return real(model, folder, **options)
        (folder / "1/assets.extra").mkdir(parents=True)
        return folder / "1"

    monkeypatch.setattr(workflow, "export_model", export_int8)
    methods = "int8,structured:0.5+litert_float16"
    code, out, err = compress(*data, f"--methods={methods}")
    assert code == 0 and err == "", err
    lines = out.splitlines()
    assert lines[:3] == [
        "compresses runs/mlp-iris",
        f"mlp of runs/mlp-iris on csv:{iris_csv}: 123 examples to train on, 12 to choose by, 15 to "
        "test each model once",
        "3 methods: int8, structured:0.5, structured:0.5+litert_float16",
    ]
    trained = next(line for line in lines if line.startswith("structured:0.5: mlp, "))
    assert trained.endswith(" parameters, 5 epochs at a learning rate of up to 0.02")
    check_rows(read_table())

    made = []
    measure = workflow._measure
    monkeypatch.setattr(
        workflow,
        "_measure",
        lambda work, name, *rest: made.append(name) or measure(work, name, *rest),
    )
    flags = ("--methods=int8,structured:0.9", "--epochs=1", "--learning_rate=1e-9")
    code, out, err = compress(*data, *flags, f"--run_dir={FOLDER}")
    assert code == 2 and "epochs was not set, is 1" in err and err.count("\n") == 1
    code, out, err = compress(*data, "--methods=int8,prune:0.99", "--max_drop=0.5%")
    assert code == 0 and made == ["prune:0.99"], err
    check_refused(read_table()["prune:0.99"])
    assert "on the validation split, and --max_drop=0.5% allows less" in out


def check_rows(rows):
    """The table of int8, structured:0.5 and its LiteRT file, against runs and exports."""
    assert len(rows) == 4 and rows["original"]["export"] == ""
    run = json.loads(Path("runs/mlp-iris/metrics.json").read_text())
    assert float(rows["original"]["test"]) == run["test"]["accuracy"]
    assert rows["int8"]["export"] == "saved_models/mlp-int8/1"
    assert int(rows["int8"]["bytes"]) < int(rows["original"]["bytes"])
    smaller = rows["structured:0.5"]
    assert load_model(smaller["run"]).get_layer("dense_1").units == 32
    # 4 x 32, 32 x 16 and 16 x 3, with biases
    assert int(smaller["parameters"]) == 160 + 528 + 51
    assert any(x.startswith("explain: ") for x in verify_export(Path(rows["int8"]["export"])))
    assert Path(rows["int8"]["export"], EXTRA_FOLDER, STATISTICS).is_file()
    assert (
        "int8 by zoo compress, 100% of the parameters"
        in Path(rows["int8"]["run"], "card.md").read_text()
    )
    with pytest.raises(UserError, match="its weights are quantised"):
        publish_run(rows["int8"]["run"])
    for row in (rows["int8"], smaller):
        metrics = json.loads(Path(row["run"], "metrics.json").read_text())
        assert metrics["compression"]["method"] == row["method"]
        assert metrics["test"]["accuracy"] == float(row["test"])
        assert metrics["export"] == row["export"]
    file = Path(smaller["export"], "assets.extra/model_float16.tflite")
    assert rows["structured:0.5+litert_float16"]["export"] == str(file)
    assert file.stat().st_size == int(rows["structured:0.5+litert_float16"]["bytes"])
    assert "mlp-int8" in Path("saved_models/models.config").read_text()


def check_refused(refused):
    """The row of a model that loses too much: a run, and no export."""
    assert refused["export"] == "" and float(refused["drop"]) > 0.005
    assert "refused, not exported: it loses" in refused["refused"]
    assert "99% of the kernels are zeros" in refused["note"]
    assert measure_sparsity(load_model(refused["run"])) == pytest.approx(0.99, abs=0.01)
    assert not Path("saved_models/mlp-prune-0.99").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "nothing to compress: choose a model with --model"),
        (["--model=cnn"], "no methods: choose some, such as --methods=int8,prune:0.8"),
        (["--model=cnn", "--methods=int9"], "unknown method 'int9'"),
        (["--model=cm", "--methods=int8"], "no model is named 'cm'"),
        (["--model=cnn", "--methods=int8", "--max_drop=5"], "--max_drop=5: expected a percentage"),
        (["--model=cnn", "--methods=int8", "--epochs=0"], "--epochs=0"),
        (["--model=cnn", "--methods=int8", "--learning_rate=-1"], "learning_rate=-1.0: expected"),
        (["--model=cnn", "--methods=int8", "--export_name=7"], "--export_name=7: expected letters"),
        (["--model=cnn", "--methods=int8", "--run_dir=/proc/a"], "/proc/a: cannot write to this"),
        (
            ["--model=cnn", "--methods=int8"],
            "runs/cnn-mnist: there is no such run to compress: train one with zoo train "
            "--model=cnn --dataset=mnist, or pass --weights=mnist or --weights with a run",
        ),
        (["--weights=runs/a", "--methods=int8"], "runs/a: there is no model"),
        (
            ["--model=cnn", "--weights=mnist", "--dataset=csv:no.csv", "--methods=int8"],
            "no.csv",
        ),
    ],
)
def test_mistakes_end_in_one_line(flags, message, compress):
    code, out, err = compress(*flags)
    assert code == 2 and err.startswith("zoo compress: ") and err.count("\n") == 1, err
    assert message in err and out == ""
    assert not list(Path().iterdir())


def test_help_teaches(compress):
    code, out, _ = compress("--help")
    assert code == 0 and "structured:0.5+int8   one after the other" in out
    assert np.max([len(line) for line in out.splitlines()]) <= 100
