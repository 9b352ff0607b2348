"""Flags beside weights that have settings of their own."""

import pytest
from absl import flags

from zoo.commands.flags import define_data_flags
from zoo.commands.tokenizer_flags import check_column_flags, check_tokenizer_flags
from zoo.data.spec import Tokenizer
from zoo.data.tables.columns import Column
from zoo.errors import UserError


def read(*args):
    values = flags.FlagValues()
    define_data_flags(values)
    flags.DEFINE_string("weights", "run", "", flag_values=values)
    values(["train.py", *args])
    return values


WORDS = Tokenizer("words", ("", "[UNK]", "film"), 8)


@pytest.mark.parametrize("args", [(), ("--tokenizer=words",), ("--vocabulary_size=20000",)])
def test_flags_that_agree_with_the_weights(args):
    check_tokenizer_flags(read(*args), WORDS, "")
    check_tokenizer_flags(read("--tokenizer=characters", "--vocabulary_size=50"), None, "")
    check_tokenizer_flags(read("--tokenizer=wordpiece"), None, "preset")


@pytest.mark.parametrize(
    ("args", "tokenizer", "preset", "message"),
    [
        (["--tokenizer=characters"], WORDS, "", "--weights=run has words tokens"),
        (["--vocabulary_size=50"], WORDS, "", "--weights=run has a vocabulary of its own"),
        (["--tokenizer=characters"], None, "p", "--preset=p has wordpiece tokens"),
        (["--vocabulary_size=50"], None, "p", "--preset=p has a vocabulary of its own"),
    ],
)
def test_flags_that_would_be_ignored_are_refused(args, tokenizer, preset, message):
    flag = args[0].partition("=")[0]
    with pytest.raises(UserError, match=f"^{args[0]}: {message}, .*: omit {flag}$"):
        check_tokenizer_flags(read(*args), tokenizer, preset)


def test_flags_of_columns_beside_weights():
    columns = (Column("age", "number"), Column("review", "text", tokenizer=WORDS))
    check_column_flags(read("--length=8"), columns, {"age": "number", "zip": "drop"})
    check_column_flags(read("--length=4"), (), {"age": "date"})
    for args, kinds, message in (
        ((), {"age": "category"}, "--columns=age:category: --weights=run reads it as number"),
        ((), {"zip": "category"}, "--columns=zip:category: --weights=run does not read it"),
        (("--length=4",), {}, "--length=4: --weights=run reads 8 tokens of column 'review'"),
        (("--tokenizer=characters",), {}, "--tokenizer=characters: --weights=run has words"),
    ):
        with pytest.raises(UserError, match=f"^{message}.*: omit "):
            check_column_flags(read(*args), columns, kinds)
