"""The structure that docs/architecture.md describes: floors that go one way, small modules."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "zoo"
# from the bottom: a module imports from its own floor or from one below
FLOORS = (
    {"errors", "schema", "console", "storage"},
    {"recipe"},
    {"registry"},
    {"layers"},
    {"models"},
    {"data"},
    {"distribution"},
    {"training"},
    {"evaluation"},
    {"tuning"},
    {"attributions"},
    {"monitoring"},
    {"exporting"},
    {"compressing"},
    {"pretrained"},
    {"serving"},
    {"explaining"},
    {"demo"},
    {"api"},
    {"commands"},
    {"__main__"},
)
# they import within functions, so that `import zoo` and --help do without TensorFlow
LAZY = ("commands", "api", "__init__", "__main__")
# third-party packages that may be imported within functions: extras, those that take seconds, and
# those that the client does without
OPTIONAL = {
    "PIL", "ai_edge_litert", "grpc", "keras_hub", "mlxtend", "onnx", "onnxruntime", "tensorflow",
    "tensorflow_text", "tf2onnx",
}  # fmt: skip

MODULES = sorted(path for path in ROOT.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in MODULES}


def name_of(path: Path) -> str:
    return ".".join(["zoo", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(
        ".__init__"
    )


NAMES = {name_of(path) for path in MODULES}


def floor_of(module: str) -> int:
    first = module.split(".")[1] if "." in module else "__init__"
    return next((i for i, floor in enumerate(FLOORS) if first in floor), len(FLOORS))


def imported_modules(node: ast.AST) -> list[str]:
    """The modules that an import statement names, submodules of the zoo as such."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        full = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in NAMES else node.module for name in full]
    return []


def test_floors_go_one_way():
    upward = []
    for path, tree in TREES.items():
        here = name_of(path)
        for node in ast.walk(tree):
            for there in imported_modules(node):
                if there.split(".")[0] == "zoo" and floor_of(there) > floor_of(here):
                    upward.append(f"{here}, line {node.lineno}: {there}")
    assert not upward


def test_the_documented_floors_are_these():
    text = (ROOT.parent / "docs" / "architecture.md").read_text()
    table = text.partition("| floor | contents |")[2].partition("\n\n")[0]
    floors = [set(re.findall("`(\\w+)`", line.split("|")[1])) for line in table.splitlines()[2:]]
    flat = [name for floor in floors for name in floor]
    assert len(flat) == len(set(flat)) and set(flat) == set().union(*FLOORS) - {"__main__"}
    order = [max(floor_of(f"zoo.{name}") for name in floor) for floor in floors]
    assert order == sorted(order, reverse=True)


def test_documents_name_what_is_there():
    root = ROOT.parent
    for page in (*root.glob("*.md"), *root.glob("docs/*.md")):
        if page.name == "CHANGELOG.md":
            continue
        text = page.read_text()
        for path in re.findall(r"`((?:zoo|tests|benchmarks)/[\w/]+\.py)`", text):
            assert (root / path).exists(), f"{page.name}: {path}"
        for name, path in re.findall(r"`(\w+)` in `(zoo/[\w/]+\.py)`", text):
            assert re.search(rf"\b{name}\b", (root / path).read_text()), f"{page.name}: {name}"


def test_no_module_imports_itself_in_a_circle():
    edges = {
        name_of(path): {
            there
            for node in ast.walk(tree)
            for there in imported_modules(node)
            if there in NAMES and there != name_of(path)
        }
        for path, tree in TREES.items()
    }
    while leaves := [name for name, needs in edges.items() if not needs & edges.keys()]:
        for name in leaves:
            del edges[name]
    assert not edges


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_are_at_the_top(path):
    if path.relative_to(ROOT).with_suffix("").parts[0] in LAZY:
        return
    inside = [
        f"line {node.lineno}: {there}"
        for function in ast.walk(TREES[path])
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        for there in imported_modules(node)
        if there.split(".")[0] not in OPTIONAL
    ]
    assert not inside


def test_the_package_itself_is_small():
    assert len(list(ROOT.glob("*.py"))) <= 8


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_fit(path):
    assert len(path.read_text().splitlines()) <= 300
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 50, f"{node.name}: {lines} lines"
            assert count_branches(node) <= 12, f"{node.name}: {count_branches(node)} branches"


def count_branches(function: ast.AST) -> int:
    """Places where the flow divides, as ruff's PLR0912 counts them."""
    count = 0
    for node in ast.walk(function):
        if isinstance(node, ast.If | ast.For | ast.While | ast.AsyncFor):
            count += 1 + bool(node.orelse and not isinstance(node.orelse[0], ast.If))
        elif isinstance(node, ast.Try):
            count += len(node.handlers) + bool(node.orelse) + bool(node.finalbody)
        elif isinstance(node, ast.match_case):
            count += 1
    return count


def public_functions() -> list[str]:
    names = []
    for tree in TREES.values():
        for node in ast.walk(tree):
            body = node.body if isinstance(node, ast.Module | ast.ClassDef) else []
            names += [f.name for f in body if isinstance(f, ast.FunctionDef)]
    return [name for name in names if not name.startswith("_")]


def test_names_are_verb_and_object():
    names = public_functions()
    single = [name for name in names if "_" not in name]
    assert len(single) / len(names) <= 0.35, sorted(single)


def test_no_private_keras_outside_keras_patches():
    private = []
    for path, tree in TREES.items():
        if path.name == "keras_patches.py":
            continue
        for node in ast.walk(tree):
            for there in imported_modules(node):
                if there.startswith(("keras.src", "tensorflow.python")):
                    private.append(f"{name_of(path)}, line {node.lineno}: {there}")
    assert not private


def test_no_private_attributes_of_other_modules():
    public = ("_asdict", "_fields", "_make", "_replace")  # of named tuples
    private = []
    for path, tree in TREES.items():
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        own = {x.attr for x in nodes if isinstance(x.value, ast.Name) and x.value.id == "self"}
        own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for node in nodes if path.name != "keras_patches.py" else ():
            is_private = node.attr.startswith("_") and not node.attr.startswith("__")
            if is_private and node.attr not in own and node.attr not in public:
                private.append(f"{name_of(path)}, line {node.lineno}: {node.attr}")
    assert not private


def test_no_test_imports_another():
    for path in Path(__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            there = [name.rpartition(".")[2] for name in imported_modules(node)]
            assert not [name for name in there if name.startswith("test_")], path


def test_python_reads_floors_as_written():
    known = set().union(*FLOORS) | {"__init__"}
    there = {path.relative_to(ROOT).with_suffix("").parts[0] for path in MODULES}
    assert there <= known, f"a new floor? add it here: {there - known}"
    assert sys.version_info >= (3, 10)
