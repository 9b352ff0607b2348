"""`zoo tune` from the flags to the winner."""

import csv
import functools
from pathlib import Path

import pytest

from zoo.commands import tune as tune_command
from zoo.commands import tune_report
from zoo.commands.recipe_files import find_config_name
from zoo.training.run_folder import read_flags
from zoo.tuning import plots

STUDY = Path("tuning/mlp-iris")


@pytest.fixture
def tune(run_zoo, monkeypatch):
    """Runs `zoo tune` with these flags in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: path.touch())
    return functools.partial(run_zoo, tune_command)


@pytest.mark.usefixtures("without_export")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--model=lenet5", "lenet5 reads image data"),
        ("--space=augment=flip|zoom=0.1", "--space=augment=flip|zoom=0.1: augment='flip': the"),
        ("--space=label_smoothing=0:0.2,threshold=0.4|0.6", "threshold=0.4: it decides between"),
        ("--kfold=99", "use at most 41 folds"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_there_is_a_folder(
    tune, iris_csv, wrong, message
):
    flags = ("--model=mlp", f"--dataset=csv:{iris_csv}", "--label=species", "--epochs=2")
    code, _, err = tune(*flags, wrong)
    assert code == 2 and message in err and not Path("tuning").exists()


def test_a_study(tune, iris_csv, monkeypatch):
    """The winner is trained as its trial was, and more trials, but no other flags, go on."""
    flags = ("--model=mlp", f"--dataset=csv:{iris_csv}", "--label=species", "--epochs=2")
    flags += ("--hparam=hidden=8", "--space=learning_rate=1e-3:0.1:log,hparam.activation=relu|tanh")
    code, out, err = tune(*flags, "--trials=2")
    assert code == 0 and err == "", err
    lines = out.splitlines()
    assert lines.pop(5) == (
        "batches of 8 examples instead of 128, so that an epoch has 16 steps: --batch_size=128 for "
        "larger ones"
    )
    assert lines[:6] == [
        f"mlp on csv:{iris_csv}: 123 examples to train on, 12 to validate; the 15 to test score "
        "the winner alone",
        "2 trials, compared by accuracy on the validation split, vary:",
        "  learning_rate      0.001 to 0.1, logarithmic",
        "  hparam.activation  relu | tanh",
        "trial 1 is the recipe as it stands",
        lines[5],
    ]
    assert lines[5].startswith("trial 1/2  accuracy 0.") and "  (about " in lines[5]
    assert lines[6].startswith("trial 2/2  accuracy 0.") and " left)" not in lines[6]
    with open(STUDY / "trials.csv") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["hparam.activation"] == "relu"
    best = max(rows, key=lambda row: float(row["accuracy"]))["trial"]
    winner = STUDY / f"winner-000{best}"
    trial_history = STUDY / f"trial-000{best}" / "history.csv"
    assert (winner / "history.csv").read_bytes() == trial_history.read_bytes()
    command = f"zoo train --flagfile={STUDY}/best.flags --run_dir={winner}"
    assert command in lines and f'"command": "{command}"' in (winner / "metrics.json").read_text()
    assert find_config_name(["train", f"--flagfile={STUDY}/best.flags"]) == "best"
    names = {"best.flags", "trials.csv", "history.png", "parallel.png", "importance.png"}
    assert names <= {path.name for path in STUDY.iterdir()}
    flagfile = read_flags(STUDY)
    assert flagfile["space"] == "learning_rate=0.001:0.1:log,hparam.activation=relu|tanh"
    assert "space" not in read_flags(winner) and read_flags(winner)["epochs"] == "2"

    monkeypatch.setattr(tune_report, "run_trials", lambda tuning, data: [])
    code, out, err = tune(*flags, "--trials=3")
    assert code == 0, err
    assert "3 trials, compared by" in out and "\n2 trials are finished\n" in out
    assert f"{winner} is finished" in out
    text = iris_csv.read_text().replace("5.1,3.5,1.4,0.2", "5.1,3.5,1.4,0.3", 1)
    Path("other.csv").write_text(text)
    other = [flag.replace(str(iris_csv), "other.csv") for flag in flags]
    code, _, err = tune(*other, "--trials=3", f"--run_dir={STUDY}")
    assert code == 2 and err.count("\n") == 1
    assert "its run was started with other flags (dataset was" in err


def test_a_study_of_other_data_is_refused(tune, iris_csv, monkeypatch):
    """The file is the same, and a row in it is not."""
    Path("iris.csv").write_text(iris_csv.read_text())
    flags = ("--model=mlp", "--dataset=csv:iris.csv", "--label=species")
    monkeypatch.setattr(tune_report, "run_trials", lambda tuning, data: [])
    code, _, err = tune(*flags)
    assert code == 2 and "none of 0 trials could be trained: raise --trials" in err
    Path("iris.csv").write_text(iris_csv.read_text().replace("5.1,", "9.1,", 1))
    code, _, err = tune(*flags)
    assert code == 2 and "its run was trained on other data (" in err and err.count("\n") == 1


def test_epochs_of_the_head_alone_suit_the_weights(tune, photo_folder, monkeypatch):
    monkeypatch.setattr(tune_report, "run_trials", lambda tuning, data: [])
    folder = f"--dataset=folder:{photo_folder}"
    _, out, _ = tune("--model=image_backbone", folder, "--holdout=0.2")
    assert "no epochs of the head alone, since the layers below it have random weights" in out
    assert "head_epochs" not in read_flags(Path(f"tuning/image_backbone-{photo_folder.name}"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "no model: choose one with --model"),
        (["--model=cnn", "--space=dropout=0:0.5"], "Did you mean 'hparam.dropout'?"),
        (["--model=cnn", "--space=l2=0:1e-3:log"], "a logarithmic range cannot start at 0"),
        (["--model=cnn", "--space=batch_size=64:16"], "the range is empty"),
        (["--model=cnn", "--objective=acuracy"], "Did you mean 'accuracy'?"),
        (["--model=cnn", "--trials=0"], "--trials=0"),
        (["--model=cnn", "--kfold=1"], "--kfold=1"),
        (["--model=cnn", "--export_name=7"], "--export_name=7: expected letters"),
        (["--model=cnn", "--run_dir=/proc/study"], "/proc/study: cannot write to this folder"),
        (["--model=bert", "--preset=x", "--lowercase=true"], "--preset=x has a tokenizer of its"),
    ],
)
def test_mistakes_end_in_one_line(flags, message, tune):
    code, out, err = tune(*flags)
    assert code == 2 and err.startswith("zoo tune: ") and err.count("\n") == 1, err
    assert message in err and out == ""
    assert not list(Path().iterdir())


def test_optuna_is_an_extra(tune, monkeypatch):
    monkeypatch.setattr(tune_command.importlib.util, "find_spec", lambda name: None)
    code, _, err = tune("--model=cnn")
    assert code == 2 and "run pip install 'keras-model-zoo[tune]'" in err


def test_help_shows_the_space(tune):
    code, out, _ = tune("--model=cnn", "--help")
    assert code == 0 and "  hparam.filters     16,32,32 | 32,64,64 | 64,128,128 | 32,64\n" in out
