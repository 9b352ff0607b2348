"""Seconds and memory of the steps of a run as one size of the work grows, and how steep they are.

    python -m benchmarks.scaling [--parts=examples,classes,...] [--out=docs/images] [--limit=60]

Parts: `examples` and `features` of a CSV file, `classes` of one, `length` of texts and `vocabulary`
of a text model, and `files` in a folder of images. Steps: load the data, train for an epoch, score
the test split with its report (metrics, plots, model card), export, and predict the test split.

Each size has a process of its own. Seconds are those of all cores together, which other programs
disturb little. The slope is that of the growth between the two largest sizes: 1 is linear. A part
ends early at a size whose steps take more than --limit seconds.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.forks import run_in_fork
from zoo.commands.runner import import_tensorflow

SIZES = {
    "examples": (10_000, 100_000, 1_000_000),
    "classes": (10, 100, 1_000, 10_000),
    "features": (10, 100, 1_000, 10_000),
    "length": (50, 200, 800, 2_000),
    "vocabulary": (1_000, 10_000, 50_000, 200_000),
    "files": (100, 1_000, 10_000, 100_000),
}
STEPS = ("load", "epoch", "score", "export", "predict")


def write_table(folder: Path, rows: int, features: int, classes: int) -> dict:
    """Writes a CSV file; returns the model and how its data is read."""
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(rows, features)).astype("float32"))
    frame.columns = [f"x{i}" for i in range(features)]
    frame["label"] = [f"c{i % classes}" for i in range(rows)]  # each class in all splits
    frame.to_csv(folder / "t.csv", index=False)
    return {"model": "mlp", "name": f"csv:{folder}/t.csv", "label": "label"}


def write_texts(folder: Path, rows: int, length: int, vocabulary: int) -> dict:
    """Writes a JSONL file of texts of so many words."""
    random = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(vocabulary)])
    with (folder / "t.jsonl").open("w") as file:
        for i in range(rows):
            text = " ".join(words[random.integers(0, vocabulary, length)])
            file.write(json.dumps({"text": text, "label": f"c{i % 2}"}) + "\n")
    settings = {"length": length, "vocabulary_size": vocabulary, "tokenizer": "words"}
    data = {"name": f"jsonl:{folder}/t.jsonl", "label": "label", "text": ("text",)}
    return {"model": "fasttext", **data, **settings}


def write_images(folder: Path, count: int) -> dict:
    """Writes a folder of small PNG files in two classes."""
    from PIL import Image

    for name in "ab":
        (folder / "photos" / name).mkdir(parents=True)
    for i in range(count):
        pixels = np.full((8, 8, 3), i % 256, "uint8")
        Image.fromarray(pixels).save(folder / "photos" / "ab"[i % 2] / f"{i}.png")
    return {"model": "mlp", "name": f"folder:{folder}/photos", "image_size": (8, 8)}


def write_inputs(part: str, size: int, folder: Path) -> dict:
    """Writes the data of a part at a size; returns the model and how its data is read."""
    makers: dict[str, Callable[[], dict]] = {
        "examples": lambda: write_table(folder, size, 10, 2),
        "classes": lambda: write_table(folder, max(20 * size, 2_000), 10, size),
        "features": lambda: write_table(folder, 1_000, size, 2),
        "length": lambda: write_texts(folder, 2_000, size, 5_000),
        "vocabulary": lambda: write_texts(folder, max(size // 20, 2_000), 100, size),
        "files": lambda: write_images(folder, size),
    }
    return makers[part]()


def run_steps(settings: dict, folder: Path) -> Iterator[None]:
    """Runs the steps of a run, and yields after each of them."""
    import zoo
    from benchmarks.contenders import make_batches
    from zoo.data.config import DataConfig
    from zoo.data.loading import load_data
    from zoo.evaluation.model_card import write_card
    from zoo.evaluation.predictions import predict_split
    from zoo.evaluation.record import make_record
    from zoo.evaluation.scoring import evaluate_model
    from zoo.registry import find_entry
    from zoo.training.building import prepare_model

    entry = find_entry(settings["model"])
    data = load_data(DataConfig(**{k: v for k, v in settings.items() if k != "model"}))
    yield
    model, _ = prepare_model(entry, {}, entry.recipe, data, seed=0)
    model.fit(make_batches(data, entry.recipe.batch_size), verbose=0, shuffle=False)
    yield
    test, _ = evaluate_model(model, data, entry.recipe.batch_size, folder)
    trained = {"history": {"loss": [0.0]}, "seconds": 0.0, "examples_per_second": 0.0}
    record = make_record(entry, {}, model, data, entry.recipe, trained, test)
    write_card(folder, record.to_dict())
    yield
    zoo.export(model, folder / "export", spec=data.spec)
    yield
    predict_split(model, data.test, data.spec, entry.recipe.batch_size)
    yield


def measure(settings: dict, folder: Path) -> tuple[dict[str, float], float]:
    """Runs the steps in a fork: (seconds of all cores by step, peak MiB of the process)."""

    def run() -> tuple[dict[str, float], float]:
        seconds, before = {}, time.process_time()
        for step, _ in zip(STEPS, run_steps(settings, folder), strict=True):
            seconds[step] = time.process_time() - before
            before = time.process_time()
        return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    return run_in_fork(run, f"a run on {settings['name']}")


def fit_slope(sizes: list[int], seconds: list[float]) -> float:
    """Slope of the growth between the last two sizes: 1 is linear.

    The seconds of the smallest size are what a step takes in any case, and are taken off. What is
    left counts as 0.05 s at least, since the rest is noise.
    """
    if len(sizes) < 3:
        return float("nan")
    grown = [max(second - seconds[0], 0.05) for second in seconds[-2:]]
    return float(np.log(grown[1] / grown[0]) / np.log(sizes[-1] / sizes[-2]))


def measure_part(part: str, limit: float, largest: int | None) -> dict[int, dict[str, float]]:
    """Measures the sizes of a part, and prints a row for each: seconds by step, and peak MiB."""
    found: dict[int, dict[str, float]] = {}
    for size in SIZES[part]:
        if largest and size > largest:
            break
        with tempfile.TemporaryDirectory() as name:
            seconds, peak = measure(write_inputs(part, size, Path(name)), Path(name))
        found[size] = seconds | {"MiB": peak}
        cells = [f"{seconds[step]:.2f}" for step in STEPS] + [f"{peak:,.0f}"]
        print(f"| {part} {size:,} | {' | '.join(cells)} |", flush=True)
        if sum(seconds.values()) > limit and size != SIZES[part][-1]:
            print(f"{part}: larger sizes are left out, this one took more than {limit:g} s")
            break
    sizes = list(found)
    slopes = [fit_slope(sizes, [found[size][key] for size in sizes]) for key in (*STEPS, "MiB")]
    print(f"| {part}, slope | {' | '.join(f'{slope:.2f}' for slope in slopes)} |", flush=True)
    return found


def draw(parts: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    """Draws the seconds of each step by size, a panel for each part, next to a linear growth."""
    from matplotlib.figure import Figure

    columns = min(len(parts), 3)
    rows = -(-len(parts) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (part, found) in zip(panels, parts.items(), strict=False):
        sizes = np.array(list(found))
        for step in STEPS:
            axes.loglog(sizes, [found[size][step] for size in found], marker=".", label=step)
        axes.loglog(sizes, 0.05 * sizes / sizes[0], "--", color="gray", label="linear")
        axes.set(xlabel=part, ylabel="seconds of all cores")
    for axes in panels[len(parts) :]:
        axes.axis("off")
    panels[0].legend(fontsize="x-small")
    figure.savefig(path, dpi=100)


def main() -> None:
    """Prints a table, and draws it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", default=",".join(SIZES))
    parser.add_argument("--limit", type=float, default=60.0, help="seconds")
    parser.add_argument("--largest", type=int, help="size")
    parser.add_argument("--out", help="folder for scaling.png")
    options = parser.parse_args()
    import_tensorflow()
    import zoo.data.loading  # noqa: F401, what it imports is there for all

    print(f"| size | {' | '.join(STEPS)} | peak MiB |")
    print("|---" * (len(STEPS) + 2) + "|")
    parts = {
        part: measure_part(part, options.limit, options.largest)
        for part in options.parts.split(",")
    }
    if options.out:
        draw(parts, Path(options.out) / "scaling.png")


if __name__ == "__main__":
    main()
