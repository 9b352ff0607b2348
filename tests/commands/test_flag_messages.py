"""Mistyped flags, in plain words."""

import pytest
from absl import flags

from zoo.commands.flag_messages import explain_flag_error


@pytest.fixture
def values():
    values = flags.FlagValues()
    flags.DEFINE_integer("folds", None, "", 2, flag_values=values)
    flags.DEFINE_float("share", None, "", 0.001, 0.5, flag_values=values)
    flags.DEFINE_bool("quick", None, "", flag_values=values)
    flags.DEFINE_enum("split", None, ("test", "train"), "", flag_values=values)
    return values


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--folds=x", "--folds=x: expected a whole number, at least 2"),
        ("--folds=1", "--folds=1: expected a whole number, at least 2"),
        ("--folds=a: b", "--folds=a: b: expected a whole number, at least 2"),
        ("--share=most", "--share=most: expected a number, at least 0.001 and at most 0.5"),
        ("--quick=maybe", "--quick=maybe: expected true or false"),
        ("--split=tset", "--split=tset: no such value. Did you mean 'test'? Known: test, train"),
        ("--split=x", "--split=x: expected one of test, train"),
        ("--fold=3", "there is no flag --fold. Did you mean '--folds'?"),
        ("--nothing", "there is no flag --nothing"),
        ("--folds", "Missing value for flag --folds"),
    ],
)
def test_a_flag_is_explained(values, word, message):
    with pytest.raises(flags.Error) as caught:
        values(["zoo", word])
    assert explain_flag_error(caught.value, values) == message
