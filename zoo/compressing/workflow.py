"""Makes, scores, measures and exports the models of a compression, each of them once."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from zoo.compressing.costs import (
    load_predictor,
    measure_latencies,
    measure_size,
    predict_with,
)
from zoo.compressing.methods import CONVERTED, ORIGINAL, QUANTIZED, Method
from zoo.compressing.notes import describe_drop, describe_method, summarize_method
from zoo.compressing.pruning import measure_sparsity
from zoo.compressing.quantization import quantize_model
from zoo.compressing.scores import find_scores
from zoo.compressing.training_methods import (
    Trained,
    has_explain_signature,
    open_trained,
    train_method,
)
from zoo.data.spec import spec_to_record
from zoo.data.splits import Data, take_inputs
from zoo.evaluation.macs import count_multiply_adds
from zoo.evaluation.model_card import write_card
from zoo.evaluation.plots import plot_curves
from zoo.evaluation.predictions import Predictions
from zoo.evaluation.scoring import score_and_plot, score_predictions
from zoo.exporting.converters import convert_model
from zoo.exporting.further_formats import choose_calibration
from zoo.exporting.loading import open_source
from zoo.exporting.saved_model import export_model
from zoo.exporting.statistics import compute_statistics
from zoo.storage.atomic import replace_file
from zoo.storage.filenames import EXTRA_FOLDER, LAST, METRICS
from zoo.storage.json_files import read_json, write_json
from zoo.training.run_data import save_run_data

_ROW = "row.json"  # in the folder of a method: its row of the table
_BATCH_SIZE = 64  # of predictions
# of a record, what shipped weights tell of themselves alone
_NOT_COPIED = ("weights", "rounding", "date", "data", "preprocessing")


@dataclasses.dataclass(frozen=True)
class Compression:
    """A compression: of which model, on which data, and where to.

    Attributes:
        directory: Folder of the compression.
        original: The trained model.
        data: Its data, with the model's thresholds in the spec.
        settings: Settings of the trainings that the user chose.
        seed: Seed of the trainings, and of the choice of calibration inputs.
        max_drop: Largest loss of the score on the validation split; None for any.
        choose_export: Returns the folder of an export by the slug of a method.
        command: The command line.
        announce: Prints a line.
    """

    directory: Path
    original: Trained
    data: Data
    settings: dict[str, Any]
    seed: int
    max_drop: float | None
    choose_export: Callable[[str], Path]
    command: str
    announce: Callable[[str], None]


def run_methods(work: Compression, methods: Sequence[Method]) -> Iterator[dict[str, Any]]:
    """Yields the row of the original, and then the row of each method once it is finished.

    The rows of an earlier call are read from their files. Each model scores the test split once;
    what is refused depends on the validation split alone, and is not exported.

    Args:
        work: The compression.
        methods: The methods, from `check_methods`; each follows the one that it is applied to.

    Raises:
        UserError: if a method that follows another one does not suit its model.
        Interrupted: after SIGINT or SIGTERM, with a checkpoint.
    """
    models = {ORIGINAL: work.original}
    rows = {ORIGINAL: _load_row(work, ORIGINAL) or _measure_original(work)}
    yield rows[ORIGINAL]
    for method in methods:
        keras.backend.clear_session()
        parent = method.parent.name if method.parent else ORIGINAL
        folder = work.directory / method.slug
        row = _load_row(work, method.slug)
        if row is None:
            folder.mkdir(exist_ok=True)
            make = _make_file if method.kind in CONVERTED else _make_model
            row = make(work, method, models[parent], rows[parent], folder)
        if method.kind not in CONVERTED:
            models[method.name] = open_trained(open_source(folder), "")
        row |= describe_drop(row, rows[ORIGINAL], work.max_drop)
        if method.kind in CONVERTED and rows[parent]["refused"] and not row["refused"]:
            row["refused"] = f"refused, not exported: {parent} is, in whose export it would lie"
        row["note"] = describe_method(method, row, rows[ORIGINAL])
        if not row["refused"] and not (row["export"] and Path(row["export"]).exists()):
            row["export"] = _publish(work, method, models, rows, folder)
        _save_row(work, method.slug, row)
        rows[method.name] = row
        yield row


def _measure_original(work: Compression) -> dict[str, Any]:
    """Scores and measures the original, and returns its row."""
    (work.directory / ORIGINAL).mkdir(exist_ok=True)
    model = work.original.load()
    row, _ = _measure(work, ORIGINAL, model, None, "", work.directory / ORIGINAL)
    row |= {
        "parameters": model.count_params(),
        "multiply_adds": count_multiply_adds(model, work.data.spec.shape),
    }
    _save_row(work, ORIGINAL, row)
    return row


def _make_model(
    work: Compression,
    method: Method,
    parent: Trained,
    parent_row: dict[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """Makes the Keras model of a method, writes its run, and returns its row."""
    facts: dict[str, Any] = {"method": method.name}
    save_run_data(folder, work.data)
    counts = {name: parent_row[name] for name in ("parameters", "multiply_adds")}
    if method.kind in QUANTIZED:
        model, record = parent.load(), _copy_record(work, parent)
        facts["quantized"] = quantize_model(model, method.kind)
        with replace_file(folder / LAST) as draft:
            model.save(draft)
    else:
        record, history = train_method(
            method, parent, work.data, work.settings, work.seed, folder, work.announce
        )
        plot_curves(history, folder / "curves.png")
        counts = {name: record[name] for name in counts}
        model = open_source(folder).model
        facts["sparsity"] = measure_sparsity(model)
    row, scores = _measure(work, method.name, model, None, "", folder)
    record |= {
        "parameters": counts["parameters"],
        "test": scores["test"],
        "command": work.command,
        "compression": facts | {"summary": summarize_method(method, facts)},
        "formats": {},
        "export": None,
    }
    write_json(folder / METRICS, record)
    write_card(folder, record)
    return row | counts | {"facts": facts}


def _make_file(
    work: Compression,
    method: Method,
    parent: Trained,
    parent_row: dict[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """Converts the parent's model to the file of a method, and returns its row."""
    calibration = choose_calibration(work.data, work.seed)
    files = convert_model(parent.load(), work.data.spec, folder, [method.kind], calibration)
    row, _ = _measure(work, method.name, None, files[method.kind], method.kind, folder)
    counts = {name: parent_row[name] for name in ("parameters", "multiply_adds")}
    return row | counts | {"facts": {}}


def _measure(
    work: Compression,
    name: str,
    model: keras.Model | None,
    file: Path | None,
    kind: str,
    folder: Path,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores a model or a converted file on both splits, and measures what it costs.

    A Keras model leaves the plots of a run in its folder.

    Returns:
        Its row, and its scores by split.
    """
    data, spec = work.data, work.data.spec
    work.announce(f"{name}: scoring {len(data.validation):,} + {len(data.test):,} examples")
    predict = load_predictor(model, file, kind, spec)
    validation = score_predictions(predict_with(predict, data.validation, spec, _BATCH_SIZE), spec)
    found = predict_with(predict, data.test, spec, _BATCH_SIZE)
    test = _score_test(work, found, folder if model is not None else None)
    row = {
        "method": name,
        **find_scores(spec, validation, test),
        **measure_size(model, file),
        **measure_latencies(predict, data.test),
        "run": str(folder) if model is not None and name != ORIGINAL else "",
        "export": "",
        "refused": "",
        "note": "",
    }
    return row, {"validation": validation, "test": test}


def _score_test(work: Compression, found: Predictions, folder: Path | None) -> dict[str, Any]:
    """Returns the scores on the test split, with plots in a folder, if there is one."""
    data = work.data
    if folder is None:
        return score_predictions(found, data.spec)
    return score_and_plot(found, data.raw_test or data.test, data.spec, "test", folder)


def _copy_record(work: Compression, parent: Trained) -> dict[str, Any]:
    """Returns the record of a model whose weights are the parent's, in fewer bits."""
    known = {"dataset": work.data.name, "spec": spec_to_record(work.data.spec)}
    own = {name: value for name, value in parent.record.items() if name not in _NOT_COPIED}
    return {"model": parent.entry.name, "hyperparameters": parent.hparams} | known | own


def _publish(
    work: Compression,
    method: Method,
    models: dict[str, Trained],
    rows: dict[str, dict[str, Any]],
    folder: Path,
) -> str:
    """Exports the model of a method, or puts its file into the export of its parent.

    Returns:
        The path of the export, or of the file in it.
    """
    if method.kind not in CONVERTED:
        return _export(work, method.slug, models[method.name], folder)
    name, slug = ORIGINAL, ORIGINAL
    if method.parent:
        name, slug = method.parent.name, method.parent.slug
    row = rows[name]
    if not (row["export"] and Path(row["export"]).is_dir()):
        row["export"] = _export(work, slug, models[name], None)
        _save_row(work, slug, row)
    target = Path(row["export"], EXTRA_FOLDER, method.file_name)
    with replace_file(target) as draft:
        shutil.copy(folder / method.file_name, draft)
    return str(target)


def _export(work: Compression, slug: str, trained: Trained, folder: Path | None) -> str:
    """Exports a model, notes it in the record of its run, and returns the path of the version."""
    data, model = work.data, trained.load()
    explains = has_explain_signature(work.original)
    record = trained.record if folder else _copy_record(work, trained)
    record = record | {"explain_signature": explains}
    version = export_model(
        model,
        work.choose_export(slug),
        spec=data.spec,
        samples=take_inputs(data.raw_test or data.test, 32),
        record=record,
        explain_signature=explains,
        statistics=compute_statistics(model, data, _BATCH_SIZE),
    )
    if folder:
        record = record | {"export": str(version)}
        write_json(folder / METRICS, record)
        write_card(folder, record)
    return str(version)


def _load_row(work: Compression, slug: str) -> dict[str, Any] | None:
    """Returns the row of a method that is finished, or None."""
    file = work.directory / slug / _ROW
    return read_json(file) if file.is_file() else None


def _save_row(work: Compression, slug: str, row: dict[str, Any]) -> None:
    write_json(work.directory / slug / _ROW, row)
