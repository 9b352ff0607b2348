"""The public interface: what users may rely on, name by name, in tests/public_api.txt.

A change of it needs a line in CHANGELOG.md. This writes the file anew:

    python tests/test_public_api.py
"""

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import zoo
from zoo.__main__ import COMMANDS
from zoo.serving import AsyncClient, Client, RequestLog

FILE = Path(__file__).with_name("public_api.txt")


def describe_interface() -> str:
    lines = []
    for name in zoo.__all__:
        lines += describe_object(f"zoo.{name}", getattr(zoo, name))
    lines += describe_object("zoo.serving.Client", Client)
    lines += describe_object("zoo.serving.AsyncClient", AsyncClient)
    lines += describe_object("zoo.serving.RequestLog", RequestLog)
    for command in COMMANDS:
        module = importlib.import_module(f"zoo.commands.{command.replace('-', '_')}")
        lines.append(f"zoo {command} {module.WORDS}".rstrip())
        for heading in module.FLAGS.flags_by_module_dict().values():
            lines += [f"  --{flag.name} {flag.flag_type()} {flag.default!r}" for flag in heading]
    return "\n".join(lines) + "\n"


def describe_object(name: str, value: object) -> list[str]:
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return [name, *(f"  {field.name} = {field.default!r}" for field in fields)]
    if not inspect.isclass(value):
        return [f"{name}{describe_signature(value)}"]
    if issubclass(value, Exception):
        return [f"{name}({', '.join(base.__name__ for base in value.__bases__)})"]
    methods = inspect.getmembers(value, inspect.isfunction)
    public = [(n, f) for n, f in methods if n == "__init__" or not n.startswith("_")]
    return [name, *(f"  {n}{describe_signature(f)}" for n, f in public)]


def describe_signature(function) -> str:
    """Names, kinds and defaults: how annotations are written depends on Python's version."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    plain = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    return str(plain)


def test_the_public_interface_is_as_written():
    assert describe_interface() == FILE.read_text(), "see the docstring of this file"


def test_import_needs_no_tensorflow():
    code = "import sys, zoo; zoo.list_models(); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_public_packages_need_no_import_of_their_own():
    code = "import sys, zoo; print(zoo.serving.Client.__name__, 'tensorflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "Client False\n"


def test_data_is_imported_with_tensorflow():
    """Its import takes seconds, which nobody expects of the first `data.load`."""
    code = "import sys; sys.modules['tensorflow'] = None; from zoo import data"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "import of tensorflow halted" in ended.stderr


def test_no_module_takes_the_place_of_a_public_name():
    """An imported submodule becomes an attribute of its package: `zoo.export` would be a module."""
    modules = {path.stem for path in Path(zoo.__file__).parent.iterdir()}
    assert not modules & set(zoo.__all__)


def test_each_name_has_an_example_that_holds():
    """The examples of the docstrings are run by tests/test_docstrings.py."""
    for name in zoo.__all__:
        assert re.search(r"Examples?:\n.*>>> ", getattr(zoo, name).__doc__, re.DOTALL), name


if __name__ == "__main__":
    FILE.write_text(describe_interface())
