"""Makes the files of this folder anew; README.md tells when not to.

cd tests/golden && python make_golden.py
"""

import csv
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import zoo
from zoo.serving import Client

GOLDEN = Path(__file__).parent
TRAIN = [sys.executable, "../../train.py"]
IMAGES = """
    --model=cnn --hparam=filters=4,4 --hparam=dense=8 --hparam=batch_norm=true
    --dataset=folder:photos --holdout=0.2 --epochs=20 --batch_size=8 --accumulate_steps=2
    --steps_per_execution=3 --learning_rate=0.01 --augment=flip,shift=0.1 --strategy=cpu
    --run_dir=run --export_dir=export
"""
TEXTS = """
    --model=transformer --hparam=width=8 --hparam=heads=2 --hparam=feed_forward=16
    --hparam=token_dropout=0.1 --dataset=csv:reviews.csv --text=review --label=stars --length=12
    --holdout=0.2 --epochs=8 --batch_size=8 --learning_rate=0.01 --strategy=cpu
    --run_dir=text_run --export_dir=export
"""
CUT_OFF = 17  # the epoch that is not finished, of 4 batches in 2 parts each
KEPT = {"checkpoints", "flags.txt", "history.csv", "metrics.json", "tokenizer.json"}


def main():
    for name in ("run", "text_run", "export", "photos"):
        shutil.rmtree(GOLDEN / name, ignore_errors=True)
    make_photos()
    make_reviews()
    while not cut_off():
        shutil.rmtree(GOLDEN / "run")
    thin(GOLDEN / "run", "best.keras")
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        resumed, whole = copied(folder, "resumed"), copied(folder, "whole")
        train(resumed, "--flagfile=run/flags.txt")
        train(whole, "--flagfile=run/flags.txt", "--run_dir=whole")
        compare(resumed / "run", whole / "whole")
        shutil.copytree(resumed / "export" / "cnn", GOLDEN / "export" / "cnn")
        shutil.copy(resumed / "run" / "last.keras", GOLDEN / "model.keras")
        answers |= named("run/history", history(resumed / "run"))
    train(GOLDEN, *TEXTS.split())
    thin(GOLDEN / "text_run", "last.keras")
    for path in (GOLDEN / "export").iterdir():
        if path.is_file():
            path.unlink()  # the configuration of a server
    files = sorted(GOLDEN.glob("photos/*/0*.png"))
    images = np.stack([np.asarray(Image.open(path)) for path in files])
    answers |= answers_of("unfinished", GOLDEN / "run", {"image": images})
    answers |= answers_of("cnn", GOLDEN / "export" / "cnn", {"image": images})
    answers |= answers_of("transformer", GOLDEN / "text_run", {"tokens": tokens()})
    encoded = np.array([path.read_bytes() for path in files])
    texts = ["The film is good, isn't it?", "A CAF\u00c9 scene is dull<br />and bad \U0001f600", ""]
    texts += ["fine " * 20, "nothing of this was ever seen", "It\u2019s the cast that is so-so"]
    answers |= served("cnn", {"image": images})
    answers |= called("cnn", "image_bytes", {"image_bytes": encoded})
    answers |= served("transformer", {"text": np.array(texts)})
    np.savez_compressed(GOLDEN / "answers.npz", **answers)


def make_photos():
    """16 small pictures of each of three shapes; the brightest colour is nearly always its own."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:14, :14]
    for i in range(48):
        across, down = x - random.integers(5, 9), y - random.integers(5, 9)
        size = random.integers(3, 5)
        shapes = {
            "cross": (abs(across) < 2) | (abs(down) < 2),
            "disc": across**2 + down**2 < size**2,
            "square": np.maximum(abs(across), abs(down)) < size,
        }
        name = [*shapes][i % 3]
        pixels = np.empty((14, 14, 3), "uint8")
        pixels[:] = random.integers(0, 100, 3)
        pixels[shapes[name]] = random.integers(80, 180, 3)
        pixels[shapes[name], i % 3] = random.integers(140, 256)
        path = GOLDEN / "photos" / name / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def make_reviews():
    """80 reviews of one to three stars, with what a tokenizer has to get right."""
    random = np.random.default_rng(0)
    words = {1: ["bad", "dull", "awful"], 2: ["fair", "so-so", "OK"], 3: ["good", "fine", "great"]}
    ends = ["!", "...", ", isn\u2019t it?", " <br />The end", " \U0001f600", ', "he" said', "", "."]
    with open(GOLDEN / "reviews.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["review", "stars"])
        for _ in range(80):
            stars = int(random.integers(1, 4))
            first, second = random.choice(words[stars], 2)
            what = random.choice(["The film", "A caf\u00e9 scene", "It's the cast that"])
            more = random.choice(["", f" and {second}", f" and then, for 90 minutes, {second}"])
            writer.writerow([f"{what} is {first}{more}{random.choice(ends)}", stars])


def tokens():
    ids = np.random.default_rng(0).integers(1, 30, (6, 12), "int32")
    ids[2:4, 5:] = 0
    ids[4] = 0
    return ids


def cut_off():
    """Begins the run and sends SIGTERM when an epoch is over; whether that stopped the next one.

    It has to stop in the middle of a batch too, between its two parts.
    """
    process = subprocess.Popen(
        [*TRAIN, *IMAGES.split()], cwd=GOLDEN, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith(f"epoch {CUT_OFF - 1}/"):
            process.send_signal(signal.SIGTERM)
    if process.wait() != 128 + signal.SIGTERM:
        return False
    state = json.loads((newest(GOLDEN / "run") / "state.json").read_text())
    return state["epoch"] == CUT_OFF - 1 and state["step"] in (1, 3, 5, 7)


def newest(run):
    return max((run / "checkpoints").iterdir(), key=lambda path: int(path.name))


def thin(run, model):
    """Leaves what is needed to go on, to load the model and to tell what was done."""
    for path in run.iterdir():
        if path.name not in {*KEPT, model}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (run / "checkpoints").iterdir():
        if path != newest(run):
            shutil.rmtree(path)


def copied(folder, name):
    """A copy of what is here, from where train.py has the same relative path."""
    files = Path(folder, name, "tests", "golden")
    shutil.copytree(GOLDEN, files)
    Path(folder, name, "train.py").symlink_to(GOLDEN.parent.parent / "train.py")
    return files


def train(folder, *flags):
    subprocess.run([*TRAIN, *flags], cwd=folder, check=True)


def compare(resumed, whole):
    """Both ended with the same: weights, optimizer, metrics and history, to the last bit."""
    ends = [np.load(newest(run) / "variables.npz") for run in (resumed, whole)]
    assert ends[0].files == ends[1].files
    for name in ends[0].files:
        np.testing.assert_array_equal(ends[0][name], ends[1][name])
    weights = [zoo.load(run).get_weights() for run in (resumed, whole)]
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (resumed / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()


def history(run):
    with open(run / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def answers_of(name, path, inputs):
    """The model's weights, and its logits for these inputs."""
    model = zoo.load(path)
    weights = {str(i): values for i, values in enumerate(model.get_weights())}
    logits = model.predict(inputs, verbose=0)["logits"]
    return (
        named(f"{name}/weights", weights)
        | named(f"{name}/predict/in", inputs)
        | named(f"{name}/predict/out", {"logits": logits})
    )


def served(model, inputs):
    """What the signatures of the export answer."""
    (values,) = inputs.values()
    ranked = inputs | {"k": np.resize(np.array([1, 3], "int32"), len(values))}
    return (
        called(model, "serving_default", inputs)
        | called(model, "features", inputs)
        | called(model, "top_k", ranked)
    )


def called(model, signature, inputs):
    outputs = Client(model, export_dir=GOLDEN / "export").predict(inputs, signature)
    # no pickles of strings
    outputs = {name: x.astype("U") if x.dtype == object else x for name, x in outputs.items()}
    name = f"{model}/{signature}"
    return named(f"{name}/in", inputs) | named(f"{name}/out", outputs)


def named(prefix, values):
    return {f"{prefix}/{name}": value for name, value in values.items()}


if __name__ == "__main__":
    main()
