"""Every mistake ends in one line that says what to do, exit code 2, and nothing lost or left."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, write_image

from zoo.data import catalog

GOOD_CSV = "a,b,kind\n" + "".join(f"{i},{i * 2},{'xy'[i % 2]}\n" for i in range(20))
FILES = {
    "good.csv": GOOD_CSV,
    "empty.csv": "",
    "header.csv": "a,b,kind\n",
    "short.csv": "a,b,kind\n1,2,x\n2,3,y\n",
    "long_row.csv": GOOD_CSV + "1,2,x,9\n",
    "all_long.csv": "a,b,kind\n" + "1,2,x,9\n" * 9,
    "gap.csv": GOOD_CSV.replace("3,6,y", "3,,y"),
    "word.csv": GOOD_CSV.replace("5,10,y", "5,ten,y"),
    "infinite.csv": GOOD_CSV.replace("5,10,y", "inf,10,y"),
    "no_label.csv": GOOD_CSV.replace("7,14,y", "7,14,"),
    "one_class.csv": GOOD_CSV.replace(",y", ",x"),
    "only_label.csv": "kind\n" + "x\ny\n" * 9,
    "latin.csv": GOOD_CSV.encode() + b"1,2,caf\xe9\n",
    "price.csv": "a,b,price\n" + "".join(f"{i},{i * 2},{i}.5\n" for i in range(20)),
    "whole.csv": "a,b,price\n" + "".join(f"{i},{i * 2},{1000 + i}\n" for i in range(99)),
    "parts/train.csv": GOOD_CSV,
    "parts/test.csv": GOOD_CSV.replace(",x", ",z"),
    "columns/train.csv": GOOD_CSV,
    "columns/test.csv": GOOD_CSV.replace("a,b,kind", "a,c,kind"),
    "no_train/test.csv": GOOD_CSV,
    "a_file": "x",
    "broken_plugin.py": "import no_such_module",
    "plugin_taken.py": "import zoo\n@zoo.register()\ndef cnn(input_shape=(8, 8, 1), num_classes=2): ...",
    "bad.flags": "--epochs=many\n",
}
MNIST = ("--dataset=mnist_5k",)

# flags, and what the line has to say
CASES = [
    ([], "no model: name one with --model, such as --model=cnn (see --list)"),
    (["--model=cmn"], "no model is named 'cmn'. Did you mean 'cnn'?"),
    (["--model="], "no model is named ''"),
    (["--modle=cnn"], "Unknown command line flag 'modle'. Did you mean: model ?"),
    (["cnn"], "'cnn': expected only flags, such as --model=cnn"),
    (["--model=cnn", "--epochs=many"], "--epochs=many"),
    (["--model=cnn", "--epochs=0"], "epochs=0: expected a whole number, at least 1"),
    (["--model=cnn", "--batch_size=-1"], "batch_size=-1: expected a whole number, at least 1"),
    (["--model=cnn", "--learning_rate=0"], "learning_rate=0.0: expected a number, above 0"),
    (["--model=cnn", "--learning_rate=fast"], "--learning_rate=fast"),
    (["--model=cnn", "--optimizer=adamm"], "should be one of <sgd|momentum"),
    (["--model=cnn", "--schedule=linear"], "should be one of <constant|cosine"),
    (["--model=cnn", "--precision=float8"], "should be one of <float32|"),
    (["--model=cnn", "--strategy=tpus"], "should be one of <auto|cpu"),
    (["--model=cnn", "--warmup=1.5"], "warmup=1.5: expected a number, at least 0 and below 1"),
    (["--model=cnn", "--label_smoothing=1"], "label_smoothing=1.0: expected"),
    (["--model=cnn", "--ema=2"], "ema=2.0: expected"),
    (["--model=cnn", "--early_stopping=-1"], "early_stopping=-1: expected"),
    (["--model=cnn", "--weight_decay=-1"], "weight_decay=-1.0: expected"),
    (["--model=cnn", "--seed=-1"], "--seed=-1"),
    (["--model=cnn", "--holdout=0.9"], "--holdout=0.9"),
    (["--model=cnn", "--augment=spin=9"], "augment: no change is named 'spin'"),
    (["--model=cnn", "--augment=rotation=500"], "augment: rotation=500: expected a number"),
    (["--model=cnn", "--class_weights=heavy"], "class_weights='heavy': expected 'balanced'"),
    (["--model=cnn", "--hparam=dropuot=0.5"], "no hyperparameter 'dropuot'. Did you mean 'dropout'?"),
    (["--model=cnn", "--hparam=dropout"], "--hparam=dropout: expected NAME=VALUE"),
    (["--model=cnn", "--hparam=dropout=lots"], "cnn: dropout='lots': expected a number"),
    (["--model=cnn", "--hparam=dropout=1.5"], "cnn: dropout=1.5: expected a number, at least 0"),
    (["--model=cnn", "--hparam=filters=32,none"], "cnn: filters='32,none': expected one or more"),
    (["--model=cnn", "--hparam=num_classes=3"], "cnn has no hyperparameter 'num_classes'"),
    (["--model=lenet5", "--hparam=width=3"], "lenet5 has no hyperparameter 'width'. It has: none"),
    (["--model=cnn", "--plugin=no_such_module"], "--plugin=no_such_module: ModuleNotFoundError"),
    (["--model=cnn", "--plugin=nowhere.py"], "--plugin=nowhere.py: FileNotFoundError"),
    (["--model=cnn", "--plugin=broken_plugin.py"], "No module named 'no_such_module'"),
    (["--model=cnn", "--plugin=plugin_taken.py"], "a model named 'cnn' is registered already"),
    (["--flagfile=nowhere.flags"], "nowhere.flags"),
    (["--flagfile=bad.flags"], "--epochs=many"),
    (["--model=cnn", "--run_dir=a_file/run"], "a_file/run: cannot write there"),
    (["--model=cnn", "--export_dir=a_file/out"], "a_file/out/cnn: cannot write there"),
    (["--model=cnn", "--export_dir=/proc/out"], "/proc/out/cnn: cannot write there"),
    (["--model=cnn", "--image_size=big", "--dataset=folder:photos"], "--image_size='big': expected"),
    (["--model=cnn", "--image_size=1,2,3", "--dataset=folder:photos"], "expected ROWS,COLUMNS"),
    (["--model=cnn", "--dataset=minst"], "no dataset is named 'minst'. Did you mean 'mnist'?"),
    (["--model=cnn", "--dataset=../mnist"], "dataset '../mnist'"),
    (["--model=cnn", "--dataset=glue/nothing"], "BuilderConfig nothing not found"),
    (["--model=cnn", "--dataset=mnist"], "does not answer: connect to the network, name a folder"),
    (["--model=cnn", *MNIST, "--train_split=trian"], "mnist_5k has the splits train, test"),
    (["--model=cnn", *MNIST, "--train_split=train[:x%]"], "mnist_5k has the splits train, test"),
    (["--model=cnn", *MNIST, "--train_split=train[:1]"], "has 1 examples: too few"),
    (["--model=cnn", *MNIST, "--label=digit"], "mnist_5k has no column 'digit'. It has: image, label"),
    (["--model=cnn", *MNIST, "--image_size=10"], "an image of 10x10 is too small: the smallest is 18x18"),
    (["--model=cnn", *MNIST, "--class_weights=1,2"], "2 numbers for 10 classes"),
    (["--model=cnn", *MNIST, "--strategy=gpu"], "TensorFlow sees no GPU here"),
    (["--model=cnn", "--dataset=csv:good.csv", "--label=kind"], "cnn reads image data, but the dataset has features"),
    (["--model=mlp", "--dataset=csv:nowhere.csv", "--label=y"], "there is no file nowhere.csv"),
    (["--model=mlp", "--dataset=csv:no_train", "--label=kind"], "there is no file no_train/train.csv"),
    (["--model=mlp", "--dataset=csv:good.csv"], "say which column to predict with --label=COLUMN; there are a, b, kind"),
    (["--model=mlp", "--dataset=csv:good.csv", "--label=kidn"], "no such column. Did you mean 'kind'?"),
    (["--model=mlp", "--dataset=csv:empty.csv", "--label=kind"], "the file is empty"),
    (["--model=mlp", "--dataset=csv:header.csv", "--label=kind"], "0 rows; expected at least 4"),
    (["--model=mlp", "--dataset=csv:short.csv", "--label=kind"], "2 rows; expected at least 4"),
    (["--model=mlp", "--dataset=csv:long_row.csv", "--label=kind"], "Expected 3 fields in line 22, saw 4"),
    (["--model=mlp", "--dataset=csv:all_long.csv", "--label=kind"], "line 2 has more fields"),
    (["--model=mlp", "--dataset=csv:gap.csv", "--label=kind"], "gap.csv, line 5: column 'b' is empty"),
    (["--model=mlp", "--dataset=csv:word.csv", "--label=kind"], "word.csv, line 7: column 'b' holds 'ten'"),
    (["--model=mlp", "--dataset=csv:infinite.csv", "--label=kind"], "line 7: column 'a' holds 'inf'"),
    (["--model=mlp", "--dataset=csv:no_label.csv", "--label=kind"], "line 9: column 'kind' is empty"),
    (["--model=mlp", "--dataset=csv:one_class.csv", "--label=kind"], "holds only 'x'; expected at least 2 classes"),
    (["--model=mlp", "--dataset=csv:only_label.csv", "--label=kind"], "is the only column"),
    (["--model=mlp", "--dataset=csv:latin.csv", "--label=kind"], "is not UTF-8"),
    (["--model=mlp", "--dataset=csv:parts", "--label=kind"], "holds 'z', which train.csv never does"),
    (["--model=mlp", "--dataset=csv:columns", "--label=kind"], "is not in both this file and train.csv"),
    (["--model=mlp", "--dataset=csv:good.csv", "--label=kind", "--train_split=train"], "only TFDS datasets have split"),
    (["--model=mlp", "--dataset=csv:good.csv", "--label=kind", "--augment=flip"], "the dataset has features, not images"),
    (["--model=mlp", "--dataset=csv:price.csv", "--label=price", "--label_smoothing=0.1"], "there are no classes"),
    (["--model=mlp", "--dataset=csv:price.csv", "--label=price", "--learning_rate=1e30", "--optimizer=sgd"], "Try a learning rate below 1e+30"),
    (["--model=mlp", "--dataset=csv:whole.csv", "--label=price"], "99 different whole numbers, too many for classes"),
    (["--model=mlp", "--dataset=csv:good.csv", "--label=kind", "--image_size=9"], "has no images to resize"),
    (["--model=cnn", *MNIST, "--run_dir=photos"], "photos: the folder holds files that are not of a run"),
    (["--model=cnn", *MNIST, "--run_dir=."], ".: the folder holds files that are not of a run"),
    (["--model=cnn", "--dataset=folder:nowhere"], "there is no such folder"),
    (["--model=cnn", "--dataset=folder:one"], "has 1 folders of classes; expected at least 2"),
    (["--model=cnn", "--dataset=folder:hollow"], "no images for this class"),
    (["--model=cnn", "--dataset=folder:strange"], "this class is not in the training folder"),
    (["--model=cnn", "--dataset=folder:broken"], "broken/b/3.jpg: this is no readable"),
    (["--model=cnn", "--dataset=folder:truncated"], "truncated/b/3.jpg: this is no readable"),
    (["--model=cnn", "--dataset=folder:truncated", "--memory_budget=0"], "truncated/b/3.jpg: this is no readable"),
    (["--model=perceptron", "--dataset=folder:late", "--memory_budget=0", "--epochs=1"], "late/test/b/1.jpg: this is no readable"),
    (["--model=cnn", "--dataset=folder:tiny"], "an image of 5x5 is too small"),
]  # fmt: skip


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """A folder with one file or folder for each mistake."""
    folder = tmp_path_factory.mktemp("mistakes")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    random = np.random.default_rng(0)

    def images(*names, size=20):
        for name in names:
            write_image(folder / name, random.integers(0, 256, (size, size, 3), "uint8"))

    images("one/a/1.png", "hollow/a/1.png", "photos/a/1.png", "photos/b/1.png")
    (folder / "hollow/b").mkdir()
    images("strange/train/a/1.png", "strange/train/b/1.png", "strange/test/c/1.png")
    for name in ("broken", "truncated"):
        images(*(f"{name}/{label}/{i}.jpg" for label in "ab" for i in range(8)), size=40)
    (folder / "broken/b/3.jpg").write_bytes(b"not an image")
    whole = (folder / "truncated/b/3.jpg").read_bytes()
    (folder / "truncated/b/3.jpg").write_bytes(whole[: len(whole) // 2])
    images(
        *(
            f"late/{part}/{label}/{i}.jpg"
            for part in ("train", "test")
            for label in "ab"
            for i in range(8)
        )
    )
    (folder / "late/test/b/1.jpg").write_bytes(whole[: len(whole) // 2])
    images(*(f"tiny/{label}/{i}.png" for label in "ab" for i in range(8)), size=5)
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files but those of runs: some mistakes are found only in training."""
    files = (p for p in folder.rglob("*") if p.is_file() and "runs" not in p.parts)
    return {str(p): p.read_bytes() for p in files}


@pytest.mark.parametrize(("flags", "message"), CASES, ids=[" ".join(c[0]) or "none" for c in CASES])
def test_mistake(flags, message, train, mistakes, tfds_dir, monkeypatch):
    monkeypatch.setattr(catalog, "_reachable", lambda urls: False)
    monkeypatch.chdir(mistakes)
    before = snapshot(mistakes)
    code, out, err = train(*flags, f"--data_dir={tfds_dir}")
    assert code == 2, (out, err)
    assert message in err
    assert err.startswith("train.py: ") and err.count("\n") == 1, err
    assert "Traceback" not in out + err
    assert snapshot(mistakes) == before


def test_there_are_at_least_forty():
    assert len(CASES) >= 40 and len({" ".join(c[0]) for c in CASES}) == len(CASES)


@pytest.mark.parametrize(
    "flags", [["--model=cmn"], ["--model=mlp", "--dataset=csv:gap.csv", "--label=kind"]]
)
def test_in_a_process_of_its_own(flags, mistakes):
    """Before TensorFlow is imported and after it, which has much to say on stderr."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *flags],
        cwd=mistakes,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("train.py: ") and done.stderr.count("\n") == 1, done.stderr


def test_a_full_disk_is_told_in_one_line(train, tfds_dir, monkeypatch):
    import errno

    from zoo import report

    def full(path, record):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(report, "write_json", full)
    code, _, err = train("--model=perceptron", *MNIST, "--epochs=1", f"--data_dir={tfds_dir}")
    assert code == 2
    assert err == "train.py: runs/perceptron-mnist_5k/metrics.json: No space left on device\n"
