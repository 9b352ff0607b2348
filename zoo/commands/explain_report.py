"""Prints explanations, and draws pictures of them."""

import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from zoo.commands.runner import print_warning
from zoo.explaining.coloured_words import format_words, render_page
from zoo.explaining.explainer import Explainer
from zoo.explaining.explanation import METHODS, Explanation
from zoo.explaining.permutation import REPEATS, Importances
from zoo.explaining.pictures import draw_bars, draw_importances, draw_overlay, format_cell
from zoo.serving.rows.blocks import Row
from zoo.storage.atomic import write_text

PAGE = "explanations.html"

_MOST_PICTURES = 100  # of the rows of a table
_STRONGEST = 5  # words or columns that are printed
_TOLERANCE = 0.05  # of the sum of the attributions, from which on a line tells the difference


def write_explanations(
    explainer: Explainer,
    method: str,
    class_name: str | None,
    explained: Iterable[tuple[Row, Explanation]],
    out: Path | None,
) -> None:
    """Prints explanations as they come, and draws them.

    Args:
        explainer: Explainer of the model.
        method: The method of the explanations.
        class_name: The class that is explained; None for the predicted one.
        explained: The rows with their explanations.
        out: Folder for the pictures; None to print objects of JSON, one per line, and draw none.
    """
    if out is None:
        for row, explanation in explained:
            line = {"input": row.shown} | explanation.to_dict()
            print(json.dumps(line, ensure_ascii=False), flush=True)
            _warn_of_gap(row, explanation)
        return
    print(_format_headline(explainer, method, class_name))
    pictures: dict[Path, None] = {}
    texts = []
    for number, (row, explanation) in enumerate(explained, 1):
        heading = f"{row.place}: {_format_prediction(explanation)}"
        print(heading)
        if explainer.spec.kind != "image":
            print(f"  {_format_strongest(explanation)}", flush=True)
        _warn_of_gap(row, explanation)
        if explainer.spec.is_text:
            texts.append((heading, explanation))
            continue
        if number <= _MOST_PICTURES or explainer.spec.kind == "image":
            path = _choose_path(out, row, pictures)
            _draw(explainer, row, explanation, heading, path)
    if texts:
        write_text(out / PAGE, render_page(f"Explanations of {explainer.name}", texts))
        pictures[out / PAGE] = None
    elif number > len(pictures):
        print_warning(f"pictures of the first {len(pictures):,} rows only: --json has all")
    names = ", ".join(path.name for path in list(pictures)[:3])
    print(f"explanations: {out}  ({names}{', ...' * (len(pictures) > 3)})")


def write_importances(importances: Importances, title: str, out: Path | None) -> None:
    """Prints the importances of columns, and draws them, unless `out` is None."""
    content = importances.to_dict()
    if out is None:
        print(json.dumps(content, ensure_ascii=False))
        return
    change = {
        "accuracy": "fall of the accuracy",
        "f1": "fall of the F1",
        "mae": "rise of the MAE",
    }[importances.score]
    score = "accuracy" if importances.score == "accuracy" else importances.score.upper()
    print(f"{title}: {score} {importances.value:.4g}; {REPEATS} shuffles of each column")
    width = max(6, *map(len, importances.names))
    print(f"{'column':{width}}  {change}")
    for row in content["columns"]:
        spread = row["standard_deviation"]
        print(f"{row['column']:{width}}  {row['importance']:.4g} +- {spread:.2g}")
    path = out / "permutation.png"
    draw_importances(importances.names, importances.means, importances.spreads, change, path)
    write_text(out / "permutation.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print(f"importances: {out}  (permutation.png, permutation.json)")


def _format_headline(explainer: Explainer, method: str, class_name: str | None) -> str:
    """Returns what is explained, and by which method."""
    output = "the predicted number"
    if explainer.spec.class_names is not None:
        chosen = "the predicted class" if class_name is None else f"the class {class_name}"
        output = f"the logit of {chosen}"
    comparison = explainer.describe_comparison(method)
    return (
        f"{explainer.name}: {METHODS[method]} of {output}{', ' * bool(comparison)}{comparison}"
        f"{explainer.note}"
    )


def _format_prediction(explanation: Explanation) -> str:
    if explanation.label is None or explanation.probability is None:
        return f"{explanation.output:.6g}"
    predicted = f", predicted {explanation.predicted}" * (explanation.predicted is not None)
    return f"{explanation.label} ({explanation.probability:.2%}){predicted}"


def _format_strongest(explanation: Explanation) -> str:
    """Returns coloured words on a terminal, else the strongest words or columns."""
    if not explanation.values and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return format_words(explanation)
    items = []
    for i in explanation.find_strongest(_STRONGEST):
        value = f"={format_cell(explanation.values[i])}" if explanation.values else ""
        name = explanation.names[i] if explanation.names[i].strip() else "(space)"  # a character
        items.append(f"{name}{value} {explanation.attributions[i]:+.3g}")
    noun = "cell" if explanation.values else "word"
    return "  ".join(items) or f"(no {noun} changes the output)"


def _warn_of_gap(row: Row, explanation: Explanation) -> None:
    if gap := explanation.describe_gap(_TOLERANCE):
        print_warning(f"{row.place}: {gap}")


def _choose_path(out: Path, row: Row, pictures: dict[Path, None]) -> Path:
    """Returns the path of the picture of a row, named after its place, and adds it."""
    is_file = "image_bytes" in row.example
    place = row.place.removesuffix(Path(row.place).suffix) if is_file else row.place
    name = re.sub(r"[^\w.]+", "-", place).strip("-.")[-100:] or "picture"
    path, number = out / f"{name}.png", 2
    while path in pictures:
        path, number = out / f"{name}-{number}.png", number + 1
    pictures[path] = None
    return path


def _draw(explainer: Explainer, row: Row, explanation: Explanation, title: str, path: Path) -> None:
    if explainer.spec.kind == "image":
        image = explainer.read_example(row.example)["image"][0]
        draw_overlay(image, explanation, title, path)
    else:
        draw_bars(explanation, title, path)
