"""The examples in the docstrings of the public names."""

import doctest

import pytest

import zoo
import zoo.data
from zoo import registry
from zoo.serving import AsyncClient, Client

OBJECTS = {f"zoo.{name}": getattr(zoo, name) for name in zoo.__all__} | {"Client": Client}
OBJECTS |= {"AsyncClient": AsyncClient, "Client.predict_many": Client.predict_many}
OBJECTS["zoo.data.load"] = zoo.data.load


@pytest.mark.parametrize("name", OBJECTS)
def test_examples_hold(name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    finder = doctest.DocTestFinder(recurse=False)
    examples = [test for test in finder.find(OBJECTS[name], name, globs={}) if test.examples]
    assert examples
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in examples:
        runner.run(test)
    assert runner.failures == 0, capfd.readouterr().out
