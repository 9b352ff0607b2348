"""Search spaces: what follows from the types, what is read, and what is refused."""

import pytest

from zoo import models  # noqa: F401, registers the built-in models
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry, list_names
from zoo.tuning.domains import Choices, Interval, Parameter, derive_domain, format_number
from zoo.tuning.search_space import (
    apply_values,
    count_combinations,
    derive_space,
    describe_space,
    format_space,
    parse_space,
    read_present_values,
)

CNN = find_entry("cnn")


def parse(text, recipe=CNN.recipe):
    return parse_space(text, CNN, {}, recipe)


def test_what_follows_from_the_types():
    space = derive_space(CNN, {}, CNN.recipe, set())
    assert space == {
        "learning_rate": Interval(3e-4, 3e-2, log=True),
        "batch_size": Choices((16, 32, 64, 128, 256)),
        "schedule": Choices(("constant", "cosine", "one_cycle", "step", "plateau")),
        "hparam.filters": Choices(((16, 32, 32), (32, 64, 64), (64, 128, 128), (32, 64))),
        "hparam.dense": Choices((16, 32, 64, 128, 256)),
        "hparam.dropout": Interval(0.0, 0.5),
        "hparam.batch_norm": Choices((False, True)),
    }


@pytest.mark.parametrize("name", list_names())
def test_every_model_has_a_space_which_can_be_written_and_read(name):
    entry = find_entry(name)
    space = derive_space(entry, {}, entry.recipe, set())
    assert "learning_rate" in space
    assert parse_space(format_space(space), entry, {}, entry.recipe) == space
    values, outside = read_present_values(space, entry, {}, entry.recipe)
    assert not outside
    defaults = {name: argument.default for name, argument in entry.hyperparameters.items()}
    hparams, recipe = apply_values(space, values, {}, entry.recipe)
    assert recipe == entry.recipe and hparams.items() <= defaults.items()


@pytest.mark.parametrize("has_text_columns", [True, False])
def test_the_width_of_texts_varies_where_there_are_texts(has_text_columns):
    entry = find_entry("mlp")
    space = derive_space(entry, {}, entry.recipe, set(), has_text_columns=has_text_columns)
    assert ("hparam.text_width" in space) == has_text_columns and "hparam.hidden" in space


def test_what_is_set_does_not_vary():
    named = {"learning_rate", "schedule", "hparam.dropout", "hparam.filters"}
    space = derive_space(CNN, {"dense": 8}, Recipe(batch_size=4), named)
    assert space["batch_size"] == Choices((1, 2, 4, 8, 16))
    assert space["hparam.dense"] == Choices((2, 4, 8, 16, 32))
    assert named.isdisjoint(space)
    with pytest.raises(UserError, match="nothing to search: all settings of cnn"):
        derive_space(CNN, {}, CNN.recipe, {*derive_space(CNN, {}, CNN.recipe, set())})


def test_a_pretrained_model_keeps_its_preset():
    entry = find_entry("image_backbone")
    space = derive_space(entry, {"preset": "a"}, entry.recipe, set())
    assert [name for name in space if name.startswith("hparam.")] == ["hparam.dropout"]
    with pytest.raises(UserError, match=r"hparam\.pretrained cannot vary: random weights need"):
        parse_space("hparam.pretrained", entry, {"preset": "a"}, entry.recipe)
    with pytest.raises(UserError, match="pass --head_epochs=0"):
        parse_space("trainable=all|head", entry, {"preset": "a"}, entry.recipe)


def test_choices_that_exclude_a_setting_are_omitted():
    """Batches have to be divided into four micro-batches."""
    space = derive_space(CNN, {}, Recipe(batch_size=8, accumulate_steps=4), set())
    assert space["batch_size"] == Choices((4, 8, 16, 32))


def test_bounds_of_a_type_hold():
    decay = Parameter("layer_decay", Recipe.__annotations__["layer_decay"], 0.5, "--layer_decay")
    assert derive_domain(decay) == Interval(0.05, 1.0, log=True)


def test_what_is_read():
    space = parse("learning_rate=1e-4:1e-2:log, hparam.dropout=0:0.5,optimizer=adam|rmsprop")
    assert space == {
        "learning_rate": Interval(1e-4, 1e-2, log=True),
        "hparam.dropout": Interval(0, 0.5),
        "optimizer": Choices(("adam", "rmsprop")),
    }
    assert parse("epochs=5:20") == {"epochs": Interval(5, 20, is_integer=True)}
    assert parse("weight_decay=0:0.1") == {"weight_decay": Interval(0, 0.1)}
    assert parse("hparam.batch_norm")["hparam.batch_norm"] == Choices((False, True))


def test_choices_may_have_commas():
    space = parse("hparam.filters=8,16|32,augment=|flip|shift=0.1,zoom=0.1,hparam.dense=4|8")
    assert space["hparam.filters"] == Choices(((8, 16), (32,)))
    assert space["augment"] == Choices(("", "flip", "shift=0.1,zoom=0.1"))
    assert space["hparam.dense"] == Choices((4, 8))
    assert parse(format_space(space)) == space


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learnin_rate=1:2", "cnn has no setting 'learnin_rate'. Did you mean 'learning_rate'?"),
        ("dense=8|16", "cnn has no setting 'dense'. Did you mean 'hparam.dense'?"),
        ("", "--space=: expected names with values, separated by commas, such as learning_rate="),
        ("schedule,,epochs=1:2", "--space=: expected names with values"),
        ("learning_rate=0.1:0.01", "the range is empty: expected a first number below the second"),
        ("batch_size=16:16", "the range is empty"),
        ("l2=0:1e-3:log", "a logarithmic range cannot start at 0: raise the first number, or omit"),
        ("learning_rate=1e-4:1e-2:lin", "expected learning_rate=1e-4:1e-2 or, on a logarithmic"),
        ("learning_rate=a:b", "learning_rate='a': expected a number, above 0"),
        ("hparam.dropout=0:1", "hparam.dropout=1: expected a number, at least 0 and below 1"),
        ("batch_size=1.5:8", "batch_size=1.5: expected a whole number, at least 1"),
        ("optimizer=adam:sgd", "list choices, as in optimizer=adam|sgd"),
        ("optimizer=adam|adamm", "optimizer='adamm': expected one of sgd, momentum"),
        ("optimizer=adam|adam", "a choice is there twice: omit one of them"),
        ("batch_size=32", "set it by --batch_size=32, or add choices, separated by |"),
        ("hparam.dense=32", "set it by --hparam=dense=32, or add choices"),
        ("l2", "its present value, 0.0: give a range, as in l2=1e-5:1e-2:log"),
        ("lora_rank", "its present value, 0: give a range, as in lora_rank=1:8"),
        ("augment", "its present value, none: give choices, separated by |"),
        ("augment=flip|spin=2", "--space: augment: unknown augmentation 'spin'"),
        ("schedule,schedule", "schedule is in the space twice: omit one of them"),
        ("monitor", "monitor cannot vary: it names the score that trials are compared by"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(UserError) as refused:
        parse(text)
    assert message in str(refused.value)


def test_advice_can_be_typed():
    for text in ("l2=1e-5:1e-2:log", "lora_rank=1:8", "optimizer=adam|sgd"):
        parse(text)


def test_values_of_a_trial():
    space = parse("learning_rate=1e-4:1e-2:log,hparam.filters=8,16|32,hparam.batch_norm,epochs=1:9")
    values = {"learning_rate": 0.002, "hparam.filters": "32", "hparam.batch_norm": "True"}
    hparams, recipe = apply_values(space, values | {"epochs": 3}, {"dense": 4}, CNN.recipe)
    assert hparams == {"dense": 4, "filters": (32,), "batch_norm": True}
    assert (recipe.learning_rate, recipe.epochs, recipe.batch_size) == (0.002, 3, 64)


def test_a_present_value_outside_is_told():
    space = parse("learning_rate=1e-5:1e-4,hparam.dense=8|16,epochs=1:20")
    assert read_present_values(space, CNN, {}, CNN.recipe)[1] == ["learning_rate", "hparam.dense"]


def test_combinations_are_counted():
    assert count_combinations(parse("schedule,epochs=1:3,optimizer=adam|sgd")) == 5 * 3 * 2
    assert count_combinations(parse("schedule,learning_rate")) is None
    assert count_combinations(parse("epochs=1:101,batch_size=1:101")) is None


def test_descriptions():
    lines = describe_space(parse("learning_rate=1e-4:0.01:log,hparam.filters=8,16|32"))
    assert lines == [
        "  learning_rate   0.0001 to 0.01, logarithmic",
        "  hparam.filters  8,16 | 32",
    ]
    assert [format_number(x) for x in (64, 0.1, 1e-5, 1 / 3)] == [
        "64", "0.1", "1e-05", "0.3333333333333333",
    ]  # fmt: skip
