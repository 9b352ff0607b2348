"""Compares logged requests with the data of an exported model, by the hour.

zoo monitor --model=mlp requests.jsonl
zoo monitor --model=cnn --version=3 requests.jsonl.1 requests.jsonl
zoo monitor --model=lstm requests.jsonl --prometheus=/var/lib/node_exporter/zoo.prom

`zoo.serving.RequestLog` writes the log. An export knows what its test split looked like: the
columns of a table, the brightness and detail of images, the length and the words of texts, and the
classes and confidence of the answers. Each is tested: numbers by Kolmogorov and Smirnov, categories
by chi-square, missing values by Fisher. A trait is an alarm if that is no chance (at a level of 1%
for all tests of a window together) and not small (population stability index of 0.1 or more).

The page index.html, monitor.json and monitor.prom go to --out. The exit code is 3 if there is an
alarm in all requests together or in an hour, otherwise 0.
"""

import datetime
import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import import_tensorflow, print_notes
from zoo.errors import UserError, format_count, shorten_names
from zoo.exporting.versions import find_version
from zoo.storage.atomic import make_output_folder, write_text
from zoo.storage.filenames import EXTRA_FOLDER, STATISTICS
from zoo.storage.json_files import read_json, write_json

if TYPE_CHECKING:
    from zoo.data.spec import Spec
    from zoo.monitoring.windows import Window

FLAGS = flags.FlagValues()
WORDS = "LOG..."
MODEL, OUTPUT = under_heading(FLAGS, "Model"), under_heading(FLAGS, "Output")
ALARM = 3  # exit code

# fmt: off
flags.DEFINE_string("model", None, "Name of the exported model.", **MODEL)
flags.DEFINE_string("export_dir", "saved_models", "Folder of exported models.", **MODEL)
flags.DEFINE_integer("version", None, "Version of the export. By default the newest one.", 1,
                     **MODEL)
flags.DEFINE_string("out", None, "Folder of the report. By default monitoring/<model>.", **OUTPUT)
flags.DEFINE_string("prometheus", None, "Further file for the text of Prometheus, such as one that "
                    "its node exporter reads.", **OUTPUT)
# fmt: on


def main(*logs: str) -> None:
    """Compares the requests, writes the report, and exits with 3 if there is an alarm."""
    if not FLAGS.model or not logs:
        raise UserError(
            "expected a model and its log, as in zoo monitor --model=cnn requests.jsonl"
        )
    version = _find_version()
    statistics = _read_statistics(version)
    import_tensorflow()
    from zoo.exporting.loading import load_spec
    from zoo.monitoring.report import describe_windows, format_page, format_prometheus
    from zoo.monitoring.windows import SMALLEST

    spec = load_spec(version)
    whole, hours, notes = _compare_logs(statistics, spec, logs)
    print_notes(notes)
    shown = [window for window in hours if window.examples >= SMALLEST]
    out = make_output_folder(FLAGS.out or f"monitoring/{FLAGS.model}")
    write_text(out / "index.html", format_page(FLAGS.model, whole, shown, notes))
    write_json(out / "monitor.json", describe_windows(FLAGS.model, whole, shown, notes))
    text = format_prometheus(FLAGS.model, shown[-1] if shown else whole)
    for file in (out / "monitor.prom", FLAGS.prometheus):
        if file:
            write_text(Path(os.path.expanduser(file)), text)
    logged = format_count(whole.examples, "logged example")
    print(f"{FLAGS.model}, version {version.name}: {logged} against {statistics['examples']:,} of "
          "its test split")  # fmt: skip
    print(*_format_alarms(whole, shown), sep="\n")
    print(f"report: {out}  (index.html, monitor.json, monitor.prom)", flush=True)
    if whole.alarms or any(window.alarms for window in shown):
        sys.exit(ALARM)


def _find_version() -> Path:
    folder = Path(os.path.expanduser(FLAGS.export_dir), FLAGS.model)
    return find_version(folder / str(FLAGS.version) if FLAGS.version else folder)


def _read_statistics(version: Path) -> dict[str, Any]:
    """Returns the statistics of an export.

    Raises:
        UserError: if it has none, as those of zoo.export and of version 0.1, or they are damaged.
    """
    file = version / EXTRA_FOLDER / STATISTICS
    if not file.is_file():
        raise UserError(
            f"{version}: there is no {EXTRA_FOLDER}/{STATISTICS}, so its data is not known: export "
            "the model with zoo train"
        )
    statistics = read_json(file)
    if not isinstance(statistics.get("traits"), dict) or "examples" not in statistics:
        raise UserError(f"{file}: not the statistics of an export: export the model again")
    return statistics


def _compare_logs(
    statistics: dict[str, Any], spec: "Spec", logs: tuple[str, ...]
) -> "tuple[Window, list[Window], list[str]]":
    """Returns the windows of all requests and of each hour, and notes.

    Raises:
        UserError: if a log cannot be read, or has no request of the model.
    """
    from zoo.monitoring.windows import SMALLEST, compare_window, measure_entries, read_log

    lines = [entry for log in logs for entry in read_log(Path(os.path.expanduser(log)))]
    entries = [entry for entry in lines if entry is not None]
    own = [entry for entry in entries if entry.get("model") == FLAGS.model]
    if not own:
        found = sorted({str(entry.get("model")) for entry in entries})
        written = f"the log has those of {shorten_names(found)}" if found else "the log is empty"
        raise UserError(f"{' '.join(logs)}: no request of {FLAGS.model}: {written}")
    own.sort(key=_find_hour)
    traits = measure_entries(own, spec)
    windows = [
        compare_window(statistics, measure_entries(group, spec), hour)
        for hour, group in itertools.groupby(own, key=_find_hour)
    ]
    notes = []
    if cut := len(lines) - len(entries):
        notes.append(f"left out: {format_count(cut, 'line')} of the log that was cut off")
    if others := len(entries) - len(own):
        notes.append(f"left out: {format_count(others, 'example')} of other models")
    if missing := [name for name in statistics["traits"] if name not in traits]:
        notes.append(f"not in the log, or hashed there, and not compared: {shorten_names(missing)}")
    parts = {name: len(values) for name, values in traits.items() if len(values) < len(own)}
    if partial := [f"{name} ({parts[name]:,})" for name in statistics["traits"] if name in parts]:
        notes.append(
            f"not all of the {len(own):,} examples have these traits, which are compared on those "
            f"that do: {shorten_names(partial)}"
        )
    if small := sum(window.examples < SMALLEST for window in windows):
        notes.append(
            f"{small} of {len(windows)} hours have fewer than {SMALLEST} examples and are only "
            "compared with the others together"
        )
    return compare_window(statistics, traits), windows, notes


def _find_hour(entry: dict[str, Any]) -> datetime.datetime:
    """Returns the hour of a logged request, in UTC."""
    time = datetime.datetime.fromisoformat(entry["time"])
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.timezone.utc)
    time = time.astimezone(datetime.timezone.utc)
    return time.replace(minute=0, second=0, microsecond=0)


def _format_alarms(whole: "Window", hours: "list[Window]") -> list[str]:
    """Formats the alarms of all requests, and of hours, a line each."""
    lines = []
    for window in (whole, *hours):
        place = f"{window.start:%Y-%m-%d %H:00}" if window.start else "all requests"
        lines += [
            f"alarm, {place}: {d.trait}: {d.before} -> {d.after} "
            f"(p {d.p_value:.1g}, stability index {d.stability_index:.2f})"
            for d in window.alarms
        ]
    return lines or ["no alarm: the requests look like the data of the test split"]
