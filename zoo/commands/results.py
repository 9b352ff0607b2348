"""Compares finished runs in a table and a plot: results.csv and results.png.

zoo results runs/*
zoo results --out=results runs/cnn_mnist-0 runs/cnn_mnist-1 runs/cnn_mnist-2
zoo results --update runs/mlp_mnist-*       keeps the rows of other recipes in results.csv

Runs that only differ in their seed become one row, with the mean and the sample standard deviation
of their accuracies. The plot has the datasets that two models or more are compared on.
"""

import os
from pathlib import Path

from absl import flags

from zoo.commands.flags import under_heading
from zoo.storage.atomic import make_output_folder

FLAGS = flags.FlagValues()
WORDS = "RUN..."
OUTPUT = under_heading(FLAGS, "Output")

flags.DEFINE_string("out", "results", "Folder for results.csv and results.png.", **OUTPUT)

flags.DEFINE_bool(
    "update", False, "Keeps the rows that results.csv has of other recipes.", **OUTPUT
)


def main(*runs: str) -> None:
    """Writes and prints the table of the runs."""
    from zoo.evaluation.leaderboard import format_leaderboard, write_leaderboard

    folder = make_output_folder(FLAGS.out)
    paths = [Path(os.path.expanduser(run)) for run in runs]
    rows = write_leaderboard(paths, folder, update=FLAGS.update)
    print(*format_leaderboard(rows), sep="\n")
    print(f"results: {folder / 'results.csv'}, {folder / 'results.png'}")
