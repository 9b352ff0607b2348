"""The contract of an export with its clients: told in its folder, and changed only when asked."""

import dataclasses
import json

import pytest

import zoo
from zoo.data.spec import Spec, Tokenizer
from zoo.data.tables.columns import Column
from zoo.errors import UserError
from zoo.exporting import saved_model
from zoo.exporting.contract import check_contract, make_contract, write_contract
from zoo.storage.json_files import write_json

TOKENIZER = Tokenizer("words", ("", "[UNK]", "[SEP]", "a"), 4)
TEXT = Spec("text", (4,), ("neg", "pos"), ("review",), TOKENIZER)
TABLE = Spec(
    "features", (2,), None, ("a", "b"), columns=(Column("a", "number"), Column("b", "category"))
)
IMAGE = Spec("image", (8, 9, 3), ("cat", "dog"))


def publish(folder, spec, number=1):
    """What the check reads of an export."""
    version = folder / str(number)
    (version / "assets.extra").mkdir(parents=True)
    (version / "saved_model.pb").touch()
    fields = dataclasses.asdict(dataclasses.replace(spec, tokenizer=None))
    write_json(version / "assets.extra/zoo.json", {"spec": fields})
    if spec.tokenizer:
        saved_model.save_tokenizer(spec, version / "assets.extra")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (TEXT, ("classification", {"text": {"dtype": "string", "shape": []}}, ["neg", "pos"])),
        (
            TABLE,
            (
                "regression",
                {
                    "a": {"dtype": "float64", "shape": []},
                    "b": {"dtype": "string", "shape": []},
                },
                None,
            ),
        ),
        (
            IMAGE,
            ("classification", {"image": {"dtype": "uint8", "shape": [8, 9, 3]}}, ["cat", "dog"]),
        ),
        (
            Spec("features", (2,), None, ("x", "y")),
            (
                "regression",
                {"features": {"dtype": "float32", "shape": [2], "names": ["x", "y"]}},
                None,
            ),
        ),
    ],
)
def test_a_folder_tells_its_contract(spec, expected, tmp_path):
    write_contract(tmp_path, spec)
    told = json.loads((tmp_path / "contract.json").read_text())
    assert told == dict(zip(("task", "inputs", "classes"), expected, strict=True))
    publish(tmp_path, spec)
    check_contract(tmp_path, spec)


def test_what_clients_do_not_see_may_change(tmp_path):
    publish(tmp_path, TEXT)
    longer = dataclasses.replace(TOKENIZER, length=9, vocabulary=("", "[UNK]", "[SEP]", "b"))
    check_contract(
        tmp_path,
        dataclasses.replace(TEXT, shape=(9,), feature_names=("comment",), tokenizer=longer),
    )
    publish(tmp_path, TABLE, 2)
    order = dataclasses.replace(TABLE, columns=TABLE.columns[::-1], feature_names=("b", "a"))
    check_contract(tmp_path, order)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (TEXT, dataclasses.replace(TEXT, class_names=("pos", "neg")),
         r"text \(string\) to one of 2 classes \(neg, pos\), but the new version would map "
         r"text \(string\) to one of 2 classes \(pos, neg\), which"),
        (TEXT, dataclasses.replace(TEXT, class_names=None), r"text \(string\) to a number, wh"),
        (TEXT, dataclasses.replace(TEXT, kind="text_pair"),
         r"map text_a \(string\), text_b \(string\) to one"),
        (TABLE, dataclasses.replace(TABLE, columns=TABLE.columns[:1]),
         r"b \(string\) to a number, but the new version would map a \(float64\) to a number"),
        (TABLE, dataclasses.replace(TABLE, columns=(Column("a", "number"), Column("b", "number"))),
         r"would map a \(float64\), b \(float64\) to a number"),
        (IMAGE, dataclasses.replace(IMAGE, shape=(8, 9, 1)),
         r"image \(uint8, 8 x 9 x 3\) to .* map image \(uint8, 8 x 9 x 1\) to"),
    ],
)  # fmt: skip
def test_another_contract_is_refused_with_both(old, new, message, tmp_path):
    publish(tmp_path, dataclasses.replace(IMAGE, class_names=("x", "y")))
    publish(tmp_path, old, 2)
    with pytest.raises(UserError, match=message) as error:
        check_contract(tmp_path, new)
    assert str(error.value).startswith(f"{tmp_path / '2'} maps ")
    assert "choose another name with --export_name, or pass --change_contract" in str(error.value)


def test_versions_that_do_not_tell_are_not_compared(tmp_path):
    check_contract(tmp_path / "nothing", TEXT)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    check_contract(tmp_path, TEXT)


def test_exports_keep_their_contract_unless_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "verify_export", lambda draft, model: None)
    folder, spec = tmp_path / "bright", Spec("image", (4, 4, 1), ("dark", "bright"))
    model = zoo.get("perceptron", input_shape=(4, 4, 1), num_classes=2)
    zoo.export(model, folder, spec=spec)
    before = json.loads((folder / "contract.json").read_text())
    assert before == make_contract(spec)
    with pytest.raises(UserError, match=r"would map image .* classes \(0, 1\)"):
        zoo.export(model, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "contract.json"]
    assert zoo.export(model, folder, change_contract=True).name == "2"
    assert json.loads((folder / "contract.json").read_text())["classes"] == ["0", "1"]
