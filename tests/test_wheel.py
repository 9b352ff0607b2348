"""The wheel works without the repository, and has the weights and the recipes."""

import shutil
import subprocess
import sys
import zipfile

import pytest
from support.paths import ROOT

COPIED = ("zoo", "configs", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")

PROGRAM = """
import sys
from pathlib import Path
import zoo
from zoo.__main__ import main

assert Path(zoo.__file__).is_relative_to(sys.argv[1]), zoo.__file__
for command in (
    ["train", "--recipe=mlp_mnist", "--dataset=csv:table.csv", "--label=kind", "--epochs=1",
     "--hparam=hidden=4", "--augment="],
    ["predict", "--model=mlp", "table.csv", "--json"],
):
    sys.argv = ["zoo", *command]
    main()
print(zoo.load_pretrained("fasttext", "imdb_reviews")(["a fine film"])["label"])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel installs, and nothing else."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={source}", source]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = source.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", f"--target={folder}", wheel], check=True)
    return folder, wheel


def test_it_has_everything(installed):
    _, wheel = installed
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = [p for p in (ROOT / "zoo").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    recipes = {f"zoo/configs/{path.name}" for path in (ROOT / "configs").iterdir()}
    assert {str(path.relative_to(ROOT)) for path in tracked} | recipes <= names
    assert not any(name.startswith(("tests", "benchmarks")) for name in names)


def test_it_works_elsewhere(installed, tmp_path):
    folder, _ = installed
    rows = "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "table.csv").write_text("size,weight,kind\n" + rows)
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    listed = subprocess.run([sys.executable, "-m", "zoo", "train", "--list"], **options)
    assert listed.returncode == 0 and "resnet20" in listed.stdout, listed.stderr
    done = subprocess.run([sys.executable, "-c", PROGRAM, folder], **options)
    assert done.returncode == 0, done.stderr
    assert "['pos']" in done.stdout
    assert done.stdout.count('{"input":') == 40
    assert "mlp_mnist" in (tmp_path / "runs/mlp-table/metrics.json").read_text()
    console_script = (folder / "bin" / "zoo").read_text()
    assert "from zoo.__main__ import main" in console_script
