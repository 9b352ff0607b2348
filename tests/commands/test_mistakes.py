"""Every mistake ends in one line that says what to do, exit code 2, and nothing lost or left."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.files import write_image
from support.paths import ROOT

import zoo
from zoo.data.sources import tfds

GOOD_CSV = "a,b,kind\n" + "".join(f"{i},{i * 2},{'xy'[i % 2]}\n" for i in range(20))
REVIEWS_CSV = "review,stars\n" + '"dull, it is",one\n"fine, it is",five\n' * 12
REVIEWS_JSONL = '{"review": "dull", "stars": 1}\n{"review": "fine", "stars": 5}\n' * 12
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
    "reviews.csv": REVIEWS_CSV,
    "reviews.jsonl": REVIEWS_JSONL,
    "one_star.csv": REVIEWS_CSV.replace("five", "one"),
    "three.csv": "a,b,c,kind\n" + "k,l,m,x\nn,o,p,y\n" * 9,
    "blank_text.csv": REVIEWS_CSV.replace('"fine, it is",five\n', " ,five\n", 1),
    "stars/train.csv": REVIEWS_CSV,
    "stars/test.csv": REVIEWS_CSV.replace("five", "six"),
    "stars_jsonl/train.jsonl": REVIEWS_JSONL,
    "stars_jsonl/test.jsonl": REVIEWS_JSONL.replace("5", "6"),
    "empty.jsonl": "\n\n",
    "no_json.jsonl": REVIEWS_JSONL + "\n{review: dull}\n",
    "no_object.jsonl": REVIEWS_JSONL + '["dull", 1]\n',
    "latin.jsonl": REVIEWS_JSONL.encode() + b'{"review": "caf\xe9", "stars": 1}\n',
    "number.jsonl": REVIEWS_JSONL.replace('"fine"', "7"),
    "null.jsonl": REVIEWS_JSONL.replace('"fine"', "null"),
    "no_review.jsonl": REVIEWS_JSONL + '{"stars": 1}\n',
    "lists.jsonl": REVIEWS_JSONL.replace("5", "[5]"),
    "broken.keras": "x",
    "torn/tokenizer.json": "{",
}
MNIST = ("--dataset=mnist_5k",)
SYNTHETIC = ("--dataset=synthetic_reviews", "--train_split=train[:99]")
REVIEWS = ("--dataset=csv:reviews.csv", "--text=review", "--label=stars")
COLUMNS = ("--text=review", "--label=stars")

# flags, and what the line has to say
CASES = [
    ([], "no model: choose one with --model, such as --model=cnn (see --list)"),
    (["--model=cmn"], "no model is named 'cmn'. Did you mean 'cnn'?"),
    (["--model="], "no model is named ''"),
    (["--modle=cnn"], "there is no flag --modle. Did you mean '--model'?"),
    (["cnn"], "'cnn': expected only flags, such as --model=cnn"),
    (["--model=cnn", "--epochs=many"], "--epochs=many: expected a whole number (see --help)"),
    (["--model=cnn", "--epochs=0"], "epochs=0: expected a whole number, at least 1"),
    (["--model=cnn", "--batch_size=-1"], "batch_size=-1: expected a whole number, at least 1"),
    (["--model=cnn", "--learning_rate=0"], "learning_rate=0.0: expected a number, above 0"),
    (["--model=cnn", "--learning_rate=fast"], "--learning_rate=fast: expected a number (see --help)"),
    (["--model=cnn", "--optimizer=adamm"], "--optimizer=adamm: no such value. Did you mean 'adam'? Known: sgd, momentum"),
    (["--model=cnn", "--schedule=linear"], "--schedule=linear: expected one of constant, cosine"),
    (["--model=cnn", "--precision=float8"], "--precision=float8: no such value. Did you mean 'float32'?"),
    (["--model=cnn", "--strategy=tpus"], "--strategy=tpus: no such value. Did you mean 'tpu'?"),
    (["--model=cnn", "--warmup=1.5"], "warmup=1.5: expected a number, at least 0 and below 1"),
    (["--model=cnn", "--label_smoothing=1"], "label_smoothing=1.0: expected"),
    (["--model=cnn", "--ema=2"], "ema=2.0: expected"),
    (["--model=cnn", "--early_stopping=-1"], "early_stopping=-1: expected"),
    (["--model=cnn", "--weight_decay=-1"], "weight_decay=-1.0: expected"),
    (["--model=cnn", "--seed=-1"], "--seed=-1: expected a whole number, at least 0 and at most 2147483647"),
    (["--model=cnn", "--checkpoint_every=often"], "checkpoint_every='often': expected a number of steps, such as 500, or minutes"),
    (["--model=cnn", "--checkpoint_every=0m"], "checkpoint_every='0m': expected"),
    (["--model=cnn", "--holdout=0.9"], "--holdout=0.9: expected a number, at least 0.001 and at most 0.5"),
    (["--model=cnn", "--augment=spin=9"], "augment: unknown augmentation 'spin'"),
    (["--model=cnn", "--augment=rotation=500"], "augment: rotation=500: expected a number"),
    (["--model=cnn", "--class_weights=heavy"], "class_weights='heavy': expected 'balanced'"),
    (["--model=cnn", "--hparam=dropuot=0.5"], "no hyperparameter 'dropuot'. Did you mean 'dropout'?"),
    (["--model=cnn", "--hparam=dropout"], "--hparam=dropout: expected NAME=VALUE"),
    (["--model=cnn", "--hparam=dropout=lots"], "cnn: dropout='lots': expected a number"),
    (["--model=cnn", "--hparam=dropout=1.5"], "cnn: dropout=1.5: expected a number, at least 0"),
    (["--model=cnn", "--hparam=filters=32,none"], "cnn: filters='32,none': expected one or more"),
    (["--model=cnn", "--hparam=num_classes=3"], "cnn has no hyperparameter 'num_classes'"),
    (["--model=lenet5", "--hparam=width=3"], "lenet5 has no hyperparameter 'width'. It has: none"),
    (["--model=cnn", "--export_formats=saved_model,tflite"], "export_formats='tflite': unknown format. Did you mean 'litert'?"),
    (["--model=cnn", "--plugin=no_such_module"], "--plugin=no_such_module: ModuleNotFoundError"),
    (["--model=cnn", "--plugin=nowhere.py"], "--plugin=nowhere.py: FileNotFoundError"),
    (["--model=cnn", "--plugin=broken_plugin.py"], "No module named 'no_such_module'"),
    (["--model=cnn", "--plugin=plugin_taken.py"], "a model named 'cnn' is already registered"),
    (["--flagfile=nowhere.flags"], "nowhere.flags"),
    (["--flagfile=bad.flags"], "--epochs=many"),
    (["--model=cnn", "--run_dir=a_file/run"], "a_file/run: cannot write to this folder"),
    (["--model=cnn", "--export_dir=a_file/out"], "a_file/out/cnn: cannot write to this folder"),
    (["--model=cnn", "--export_dir=/proc/out"], "/proc/out/cnn: cannot write to this folder"),
    (["--model=cnn", "--image_size=big", "--dataset=folder:photos"], "--image_size='big': expected"),
    (["--model=cnn", "--image_size=1,2,3", "--dataset=folder:photos"], "expected ROWS,COLUMNS"),
    (["--model=cnn", "--dataset=minst"], "no dataset is named 'minst'. Did you mean 'mnist'?"),
    (["--model=cnn", "--dataset=../mnist"], "dataset '../mnist'"),
    (["--model=cnn", "--dataset=glue/nothing"], "glue has no config 'nothing'. It has: cola, sst2, mrpc"),
    (["--model=cnn", "--dataset=mnist_5k:9.9.9"], "dataset 'mnist_5k:9.9.9': there is no version 9.9.9, only 1.0.0"),
    (["--model=cnn", "--dataset=mnist"], "does not answer: connect to the network, pass a folder"),
    (["--model=cnn", *MNIST, "--train_split=trian"], "mnist_5k has the splits train, test"),
    (["--model=cnn", *MNIST, "--train_split=train[:x%]"], "mnist_5k has the splits train, test"),
    (["--model=cnn", *MNIST, "--train_split=train[:1]"], "mnist_5k/train[:1]: 1 row; expected at least 4 to train and test on"),
    (["--model=cnn", *MNIST, "--label=digit"], "mnist_5k has no column 'digit'. It has: image, label"),
    (["--model=cnn", *MNIST, "--image_size=10"], "an image of 10x10 is too small: the smallest is 18x18"),
    (["--model=cnn", *MNIST, "--class_weights=1,2"], "2 numbers for 10 classes"),
    (["--model=cnn", *MNIST, "--strategy=gpu"], "TensorFlow found no GPU"),
    (["--model=cnn", "--dataset=csv:good.csv", "--label=kind"], "cnn reads image data, but the dataset has features"),
    (["--model=mlp", "--dataset=csv:nowhere.csv", "--label=y"], "there is no file nowhere.csv"),
    (["--model=mlp", "--dataset=csv:no_train", "--label=kind"], "there is no file no_train/train.csv"),
    (["--model=mlp", "--dataset=csv:good.csv"], "no column to predict: choose one with --label=COLUMN; the columns are a, b, kind"),
    (["--model=mlp", "--dataset=csv:good.csv", "--label=kidn"], "no such column. Did you mean 'kind'?"),
    (["--model=mlp", "--dataset=csv:empty.csv", "--label=kind"], "the file is empty"),
    (["--model=mlp", "--dataset=csv:header.csv", "--label=kind"], "no rows; expected at least one below the column names"),
    (["--model=mlp", "--dataset=csv:short.csv", "--label=kind"], "2 rows; expected at least 4"),
    (["--model=mlp", "--dataset=csv:long_row.csv", "--label=kind"], "long_row.csv, line 22: 4 fields, but line 1 names 3 columns"),
    (["--model=mlp", "--dataset=csv:all_long.csv", "--label=kind"], "all_long.csv, line 2: 4 fields"),
    (["--model=mlp", "--dataset=csv:one_class.csv", "--label=kind"], "holds only 'x'; expected at least 2 classes"),
    (["--model=mlp", "--dataset=csv:only_label.csv", "--label=kind"], "is the only column"),
    (["--model=mlp", "--dataset=csv:parts", "--label=kind"], "holds 'z' (10 such lines); expected a class of train.csv"),
    (["--model=mlp", "--dataset=csv:columns", "--label=kind"], "test.csv: there is no column 'b', which train.csv has"),
    (["--model=mlp", "--dataset=csv:good.csv", "--label=kind", "--train_split=train"], "only TFDS datasets have split"),
    (["--model=mlp", "--dataset=csv:good.csv", "--label=kind", "--augment=flip"], "the dataset has features, not images"),
    (["--model=mlp", "--dataset=csv:price.csv", "--label=price", "--label_smoothing=0.1"], "there are no classes"),
    (["--model=mlp", "--dataset=csv:price.csv", "--label=price", "--learning_rate=1e30", "--optimizer=sgd"], "Try --learning_rate=1e+29 or --clip_norm=1"),
    (["--model=mlp", "--dataset=csv:good.csv", "--label=kind", "--image_size=9"], "has no images to resize"),
    (["--model=cnn", *MNIST, "--run_dir=photos"], "photos: the folder contains files that are not a run's"),
    (["--model=cnn", *MNIST, "--run_dir=."], ".: the folder contains files that are not a run's"),
    (["--model=cnn", "--dataset=folder:nowhere"], "there is no such folder"),
    (["--model=cnn", "--dataset=folder:one"], "has 1 class folder with images; expected at least 2"),
    (["--model=cnn", "--dataset=folder:hollow"], "skipped 1 class folder without images (hollow/b)"),
    (["--model=cnn", "--dataset=folder:strange"], "this class is not in the training folder"),
    (["--model=cnn", "--dataset=folder:broken"], "broken/b/3.jpg: not a readable"),
    (["--model=cnn", "--dataset=folder:truncated"], "truncated/b/3.jpg: not a readable"),
    (["--model=cnn", "--dataset=folder:truncated", "--memory_budget=0"], "truncated/b/3.jpg: not a readable"),
    (["--model=perceptron", "--dataset=folder:late", "--memory_budget=0", "--epochs=1"], "late/test/b/1.jpg: not a readable"),
    (["--model=cnn", "--dataset=folder:tiny"], "an image of 5x5 is too small"),
    (["--model=lstm", "--dataset=csv:reviews.csv", "--text=reviw", "--label=stars"], "text='reviw': reviews.csv has no such column. Did you mean 'review'? The columns are review, stars"),
    (["--model=lstm", "--dataset=jsonl:reviews.jsonl", "--text=review,plot", "--label=stars"], "text='plot': reviews.jsonl has no such column. The columns are review, stars"),
    (["--model=lstm", *SYNTHETIC, "--text=txt"], "synthetic_reviews has no column 'txt'. Did you mean 'text'? It has: text, label"),
    (["--model=lstm", *SYNTHETIC, "--label=text"], "column 'text' has 99 different values in 99 rows: these are no classes: choose another column"),
    (["--model=lstm", *SYNTHETIC, "--text=text,text,text"], "3 text columns, text, text, text: choose one"),
    (["--model=lstm", "--dataset=csv:reviews.csv", "--text=stars", "--label=stars"], "text=stars: expected one or two columns other than the label"),
    (["--model=lstm", "--dataset=csv:three.csv", "--text=a,b,c", "--label=kind"], "text=a,b,c: expected one or two columns other than the label"),
    (["--model=lstm", "--dataset=csv:reviews.csv", "--text=review"], "no column to predict: choose one with --label=COLUMN; the columns are review, stars"),
    (["--model=lstm", "--dataset=csv:reviews.csv", "--label=stars"], "or pass the column of texts with --text"),
    (["--model=lstm", "--dataset=csv:empty.csv", *COLUMNS], "empty.csv: the file is empty; expected a line of column names"),
    (["--model=lstm", "--dataset=jsonl:empty.jsonl", *COLUMNS], "empty.jsonl: the file is empty; expected a JSON object on each line"),
    (["--model=lstm", "--dataset=jsonl:nowhere.jsonl", *COLUMNS], "there is no file nowhere.jsonl"),
    (["--model=lstm", "--dataset=jsonl:no_json.jsonl", *COLUMNS], "no_json.jsonl, line 26: expected a JSON object"),
    (["--model=lstm", "--dataset=jsonl:no_object.jsonl", *COLUMNS], "no_object.jsonl, line 25: expected a JSON object"),
    (["--model=lstm", "--dataset=jsonl:number.jsonl", *COLUMNS], "number.jsonl, line 2: column 'review' holds '7' (12 such lines); expected a text"),
    (["--model=lstm", "--dataset=jsonl:null.jsonl", *COLUMNS], "null.jsonl, line 2: column 'review' is empty (12 such lines)"),
    (["--model=lstm", "--dataset=jsonl:no_review.jsonl", *COLUMNS], "no_review.jsonl, line 25: column 'review' is empty (1 such lines)"),
    (["--model=lstm", "--dataset=jsonl:lists.jsonl", *COLUMNS, "--task=classification"], "lists.jsonl, line 2: column 'stars' holds '[5]' (12 such lines); expected a string or a number"),
    (["--model=lstm", "--dataset=csv:reviews.csv", "--text=review", "--label=review,stars"], "text=review: expected one or two columns other than the label"),
    (["--model=lstm", *REVIEWS, "--task=multilabel", "--class_weights=noo=2"], "class_weights='noo=2': there is no class 'noo'"),
    (["--model=lstm", "--dataset=csv:one_star.csv", *COLUMNS], "column 'stars' holds only 'one'; expected at least 2 classes"),
    (["--model=lstm", "--dataset=csv:stars", *COLUMNS], "stars/test.csv, line 3: column 'stars' holds 'six' (12 such lines); expected a class of train.csv"),
    (["--model=lstm", "--dataset=folder:photos", *COLUMNS], "folder:photos has no columns: omit --text"),
    (["--model=cnn", *SYNTHETIC], "cnn reads image data, but the dataset has text of shape"),
    (["--model=mlp", *REVIEWS], "mlp reads image or features data, but the dataset has text of shape"),
    (["--model=lstm", *MNIST], "lstm reads text or text_pair data, but the dataset has image of shape (28, 28, 1): choose one of cnn"),
    (["--model=transformer", "--dataset=csv:good.csv", "--label=kind"], "transformer reads text or text_pair data, but the dataset has features of shape (2,)"),
    (["--model=cnn", *MNIST, "--length=50"], "length=50: mnist_5k has no texts"),
    (["--model=lstm", *REVIEWS, "--length=2"], "--length=2: expected a whole number, at least 4"),
    (["--model=lstm", *REVIEWS, "--vocabulary_size=1"], "--vocabulary_size=1: expected a whole number, at least 10"),
    (["--model=lstm", *REVIEWS, "--tokenizer=bytes"], "--tokenizer=bytes: expected one of auto, words, bigrams, characters, wordpiece"),
    (["--model=lstm", *REVIEWS, "--image_size=9"], "csv:reviews.csv has no images to resize"),
    (["--model=lstm", *REVIEWS, "--augment=flip"], "augment='flip': the dataset has text, not images"),
    (["--model=lstm", *REVIEWS, "--hparam=vocabulary_size=9"], "lstm has no hyperparameter 'vocabulary_size'"),
    (["--model=transformer", *REVIEWS, "--hparam=width=30"], "transformer: width=30 is not a multiple of heads=4"),
    (["--model=textcnn", *REVIEWS, "--hparam=windows=0"], "textcnn: windows=0: expected one or more, separated by commas, each a whole number, at least 1"),
    (["--model=bert", *REVIEWS, "--tokenizer=words"], "tokenizer='words': bert only reads wordpiece tokens: omit --tokenizer"),
    (["--model=bert", *REVIEWS, "--length=513"], "bert: length=513: this model has positions for 512 tokens: use --length=512"),
    (["--model=bert", *REVIEWS, "--preset=x", "--lowercase=false"], "--lowercase=false: --preset=x has a tokenizer of its own: omit --lowercase"),
    (["--model=lstm", *REVIEWS, "--preset=bert_tiny_en_uncased"], "lstm has no hyperparameter 'preset'. It has: embedding, width"),
    (["--model=bert", *MNIST, "--preset=nowhere"], "preset=nowhere: mnist_5k has no texts"),
    (["--model=bert", *REVIEWS, "--preset=nowhere"], "preset='nowhere'"),
    (["--model=bert", *REVIEWS, "--preset=photos"], "preset='photos'"),
    (["--model=bert", *REVIEWS, "--preset=bert_tiny_en_uncased"], "preset='bert_tiny_en_uncased': not an existing folder, and it cannot be downloaded"),
    (["--model=gru", *REVIEWS, "--weights=nowhere"], "weights='nowhere': no such weights, run, export or .keras file. gru ships with no weights"),
    (["--model=lstm", *REVIEWS, "--weights=runs/nowhere"], "runs/nowhere: there is no model; expected a run folder with last.keras"),
    (["--model=lenet5", *MNIST, "--weights=mnits"], "weights='mnits': no such weights, run, export or .keras file. Did you mean 'mnist'?"),
    (["--model=lstm", *REVIEWS, "--weights=other.keras"], "weights=other.keras: no weights fit lstm: they are of the layers head, but lstm has embedding"),
    (["--model=lstm", *REVIEWS, "--weights=broken.keras"], "broken.keras: not a .keras file"),
    (["--model=lstm", *REVIEWS, "--weights=torn"], "torn/tokenizer.json: not a tokenizer written by the zoo"),
    (["--model=fasttext", *REVIEWS, "--trainable=nothing_like_it"], "fasttext has no layer 'nothing_like_it': expected all, head, or patterns of words, pairs"),
    (["--model=lstm", *REVIEWS, "--lora_rank=4", "--trainable=head"], "trainable='head' cannot be combined with lora_rank=4, which chooses the trained weights itself: omit one of the two"),
    (["--model=perceptron", *MNIST, "--lora_rank=4"], "lora_rank=4: perceptron has no layer that supports LoRA"),
    (["--model=lstm", *REVIEWS, "--lora_rank=-1"], "lora_rank=-1: expected a whole number, at least 0"),
    (["--model=lstm", *REVIEWS, "--layer_decay=0"], "layer_decay=0.0: expected a number, above 0 and at most 1"),
    (["--model=lstm", *REVIEWS, "--head_learning_rate=0"], "head_learning_rate=0.0: expected a number, above 0"),
    (["--model=lstm", "--dataset=imdb_reviews"], "imdb_reviews is not prepared in"),
    (["--model=bert", "--dataset=glue/mrpc"], "does not answer: connect to the network, pass a folder that contains it with --data_dir, or use --dataset=mnist_5k or --dataset=synthetic_reviews"),
    (["--model=lstm", "--dataset=synthetic_review"], "no dataset is named 'synthetic_review'. Did you mean 'synthetic_reviews'?"),
    (["--model=lstm", "--dataset=csv:blank_text.csv", *COLUMNS], "blank_text.csv, line 3: column 'review' is empty"),
    (["--model=lstm", *SYNTHETIC, "--text=label", "--label=label"], "text=label"),
    (["--model=lstm", "--dataset=jsonl:stars_jsonl", *COLUMNS], "expected a class of train.jsonl"),
    (["--model=bert", *REVIEWS, "--weights=words"], "weights=words"),
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
            f"late/{split}/{label}/{i}.jpg"
            for split in ("train", "test")
            for label in "ab"
            for i in range(8)
        )
    )
    (folder / "late/test/b/1.jpg").write_bytes(whole[: len(whole) // 2])
    images(*(f"tiny/{label}/{i}.png" for label in "ab" for i in range(8)), size=5)
    zoo.get("perceptron").save(folder / "other.keras")
    for run in ("torn", "words"):
        (folder / run).mkdir(exist_ok=True)
        shutil.copy(folder / "other.keras", folder / run / "last.keras")
    tokenizer = {
        "kind": "words",
        "vocabulary": ["", "[UNK]", "[SEP]", "film"],
        "length": 8,
        "lowercase": True,
    }
    (folder / "words/tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files but those of runs, since some mistakes are found only in training.

    Nor are those counted that Python itself writes when it imports a plug-in.
    """
    others = {"runs", "__pycache__"}
    files = (p for p in folder.rglob("*") if p.is_file() and not others & {*p.parts})
    return {str(p): p.read_bytes() for p in files}


@pytest.mark.parametrize(("flags", "message"), CASES, ids=[" ".join(c[0]) or "none" for c in CASES])
def test_mistake(flags, message, train, mistakes, tfds_dir, monkeypatch):
    monkeypatch.setattr(tfds, "is_reachable", lambda urls: False)
    monkeypatch.setenv("https_proxy", "http://localhost:9")  # where nobody answers
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tfds_dir / "kaggle"))
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
    "flags", [["--model=cmn"], ["--model=mlp", "--dataset=csv:short.csv", "--label=kind"]]
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
