import pytest

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.tuning.objectives import choose_objectives, parse_objectives, read_objectives

LABELS = Spec("features", (2,), ("a", "b"), multilabel=True)
CLASSES, NUMBERS = Spec("features", (2,), ("a", "b")), Spec("features", (2,), None)


def choose(text, spec=CLASSES, **recipe):
    return choose_objectives(parse_objectives(text), Recipe(**recipe), spec)


def test_the_default_is_the_monitored_score():
    assert [(o.name, o.maximize) for o in choose(None)] == [("accuracy", True)]
    assert [(o.name, o.maximize) for o in choose(None, monitor="loss")] == [("loss", False)]
    assert [(o.name, o.maximize) for o in choose(None, NUMBERS)] == [("loss", False)]
    assert [(o.name, o.maximize) for o in choose(None, LABELS)] == [("f1", True)]
    assert [(o.name, o.maximize) for o in choose(None, NUMBERS, monitor="r2")] == [("r2", True)]


def test_each_score_is_followed_by_one_that_every_epoch_has():
    followed = {o.name: o.epoch_score for o in choose("f1,auc,calibration_error,loss,parameters")}
    assert followed == {
        "f1": "accuracy", "auc": "accuracy", "calibration_error": "loss", "loss": "loss",
        "parameters": "",
    }  # fmt: skip
    labels = choose("f1,mean_average_precision,subset_accuracy", LABELS)
    assert {o.epoch_score for o in labels} == {"f1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracyy", "unknown objective 'accuracyy'. Did you mean 'accuracy'?"),
        ("accuracy,accuracy", "an objective is there twice"),
        ("latency,accuracy", "the first objective has to be a score"),
        ("mae", "objective=mae: a classification has no such score: expected one of accuracy"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(UserError) as refused:
        choose(text)
    assert message in str(refused.value)


def test_values():
    objectives = choose("accuracy,parameters,latency")
    measures = {"accuracy": 0.5, "parameters": 1200, "latency": 0.1234, "auc": None}
    values = read_objectives(objectives, measures)
    assert values == [0.5, 1200.0, 0.1234]
    assert [o.format(v) for o, v in zip(objectives, values, strict=True)] == [
        "accuracy 0.5", "parameters 1,200", "latency 0.123 ms",
    ]  # fmt: skip
    with pytest.raises(
        UserError, match="objective=auc: it has no value for this model and the validation"
    ):
        read_objectives(choose("auc"), measures)
