"""Pictures and coloured words."""

import re

import numpy as np
from PIL import Image

from zoo.explaining.coloured_words import format_words, render_page
from zoo.explaining.explanation import Explanation
from zoo.explaining.pictures import blend_overlay, draw_bars, draw_grid, draw_overlay, format_cell


def explain(attributions, names=(), values=()):
    array = np.array(attributions, "float32")
    return Explanation("occlusion", "yes", 0.9, 1.0, None, array, names, values)


def test_red_pixels_speak_for_and_blue_ones_against():
    image = np.array([[[0], [255]], [[255], [0]]], "uint8")
    colours = blend_overlay(image, np.array([[2.0, 0.0], [-2.0, 1.0]]))
    red, green, blue = np.moveaxis(colours, -1, 0)
    assert red[0, 0] > 0.8 > 0.3 > blue[0, 0] and blue[1, 0] > 0.6 > 0.2 > red[1, 0]
    assert colours[0, 1].tolist() == [1, 1, 1]  # a white pixel that does not matter
    assert red[1, 1] > green[1, 1] > green[0, 0]  # half as strong
    assert blend_overlay(image, np.zeros((2, 2)))[0, 0].tolist() == [0.6] * 3


def test_pictures_have_the_proportions_of_what_they_show(tmp_path):
    tall = np.zeros((40, 10, 3), "uint8")
    draw_overlay(tall, explain(np.ones((40, 10))), "a $photo$", tmp_path / "tall.png")
    columns = [f"column {i}" for i in range(30)]
    row = explain(np.arange(30.0) - 10, columns, [i / 3 for i in range(30)])
    draw_bars(row, "a row", tmp_path / "row.png")
    draw_grid([], [row] * 3, ["a", "b", "c"], tmp_path / "rows.png")
    draw_grid([tall] * 2, [explain(np.ones((40, 10)))] * 2, ["a", "b"], tmp_path / "images.png")
    sizes = {path.stem: Image.open(path).size for path in tmp_path.glob("*.png")}
    assert sizes["tall"][1] > 1.5 * sizes["tall"][0] and sizes["row"] == (700, 730)
    assert sizes["rows"] == sizes["images"] == (1200, 1050)


def test_cells_are_short():
    assert format_cell(1 / 3) == "0.333333" and format_cell(35.0) == "35"
    assert format_cell(None) == "(missing)" and len(format_cell("long " * 9)) == 20


def test_words_are_coloured_on_pages_and_terminals():
    words = explain([1.0, -1.0, 0.0], ("<b>fine</b>", "dull", "film"))
    page = render_page("Reviews & more", [("line 1: pos", words)])
    assert "<title>Reviews &amp; more</title>" in page and "<h2>line 1: pos</h2>" in page
    spans = re.findall(r'background: rgb\((.*?)\)" title="(.*?)">(.*?)</span>', page)
    assert spans == [
        ("214, 39, 40", "+1.0000", "&lt;b&gt;fine&lt;/b&gt;"),
        ("31, 119, 180", "-1.0000", "dull"),
        ("255, 255, 255", "+0.0000", "film"),
    ]
    shown = format_words(words)
    assert re.sub(r"\x1b\[.*?m", "", shown) == "<b>fine</b> dull film"
    assert shown.startswith("\x1b[48;2;214;39;40m") and shown.endswith("film\x1b[0m")
    letters = explain([1.0, 2.0, 0.0], ("我", "爱", "[SEP]"))
    assert re.sub(r"\x1b\[.*?m", "", format_words(letters)) == "我爱[SEP]"
