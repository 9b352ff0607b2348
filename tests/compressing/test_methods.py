"""Methods as text."""

import pytest

from zoo.compressing.methods import parse_max_drop, parse_methods
from zoo.errors import UserError


def test_methods_in_the_order_they_are_made():
    text = "int8, prune:0.5+onnx_int8, distill:cnn:filters=8,16:dense=32, prune:0.5, prune:0.5+int8"
    methods = parse_methods(text)
    assert [method.name for method in methods] == [
        "int8",
        "prune:0.5",
        "prune:0.5+onnx_int8",
        "distill:cnn:filters=8,16:dense=32",
        "prune:0.5+int8",
    ]
    _, prune, converted, student, last = methods
    assert prune.share == 0.5 and prune.parent is None
    assert converted.parent is prune and last.parent is prune
    assert converted.file_name == "model_int8.onnx" and last.file_name == ""
    assert student.student == "cnn" and student.hparams == {"filters": (8, 16), "dense": 32}
    assert student.slug == "distill-cnn-filters-8-16-dense-32"
    assert last.slug == "prune-0.5-int8"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int9", "unknown method 'int9'. Did you mean 'int8'?"),
        ("prune", "--methods=prune: expected the share that is removed, above 0 and below 1"),
        ("prune:80", "such as prune:0.8"),
        ("structured:1.0", "such as structured:0.8"),
        ("prune:-0.5", "above 0 and below 1"),
        ("int8:4", "int8 takes no value"),
        ("int8+prune:0.5", "nothing can follow int8"),
        ("litert_int8+int8", "nothing can follow litert_int8"),
        ("distill", "distilled into which model? Name one, as in distill:lenet5"),
        ("distill:lenet", "no model is named 'lenet'. Did you mean 'lenet5'?"),
        ("distill:cnn:8", "expected NAME=VALUE of a hyperparameter"),
        ("distill:cnn:filter=8", "Did you mean 'filters'?"),
        ("int8,,int4", "unknown method ''"),
    ],
)
def test_unknown_methods(text, message):
    with pytest.raises(UserError) as error:
        parse_methods(text)
    assert message in str(error.value)


def test_percentages():
    assert parse_max_drop(None) is None
    assert parse_max_drop("0.5%") == 0.005 and parse_max_drop("0 %") == 0
    for text in ("0.5", "100%", "-1%", "%", "1e1%", "nan%"):
        with pytest.raises(UserError, match="expected a percentage from 0% to below 100%"):
            parse_max_drop(text)
