"""What every command does around its own `main`."""

import io
import os
import sys
import types

import pytest
from absl import flags

from zoo.commands.runner import run_command


@pytest.fixture
def command():
    """A command that prints a name with accents."""
    module = types.ModuleType("greet")
    module.FLAGS, module.WORDS = flags.FlagValues(), ""
    module.main = lambda: print("négatif позитив")
    return module


def test_a_terminal_of_ascii_shows_escapes(command, monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", output)
    run_command(command, [])
    assert output.buffer.getvalue().decode("ascii").startswith(r"n\xe9gatif \u043f")


def test_a_path_that_the_terminal_cannot_spell(command, capsys):
    """Bytes of UTF-8 where the encoding is ASCII, as Python hands them on."""
    flags.DEFINE_string("run_dir", None, "", flag_values=command.FLAGS)
    with pytest.raises(SystemExit) as caught:
        run_command(command, ["--run_dir=d\udcc3\udca9"])
    assert caught.value.code == 2
    line = capsys.readouterr().err
    assert r"--run_dir='d\udcc3\udca9': not text in " in line and "export PYTHONUTF8=1" in line


@pytest.mark.parametrize("backend", [None, "tensorflow", "torch"])
def test_keras_runs_on_tensorflow(command, backend, monkeypatch, capsys):
    if backend is None:
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
    else:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    run_command(command, [])
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    warning = "warning: KERAS_BACKEND=torch is not used: the zoo runs on TensorFlow\n"
    error = capsys.readouterr().err
    assert error.endswith(warning) if backend == "torch" else error == ""


def test_limits_of_keras_do_not_count(command, monkeypatch, capsys):
    """Keras would end the training early, and the record would not say so."""
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    run_command(command, [])
    assert "KERAS_MAX_EPOCHS" not in os.environ
    assert "warning: KERAS_MAX_EPOCHS=1 is not used: --epochs is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("[1]", "expected a JSON object"),
        ('{"floatx": ["float32"]}', "expected floatx to be one of float16, float32, float64, got"),
        ('{"epsilon": 1}', "expected epsilon to be a number such as 1e-07, got 1: correct the"),
        ("{broken", ""),  # Keras ignores it
        ('{"floatx": "float64", "backend": "jax"}', ""),
    ],
)
def test_settings_that_keras_refuses(settings, expected, command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text(settings)
    try:
        run_command(command, [])
    except SystemExit as error:
        assert error.code == 2
    message = capsys.readouterr().err
    assert expected in message and bool(message) == bool(expected)


def test_a_switched_off_flag_with_a_value(command, capsys):
    flags.DEFINE_bool("overwrite", None, "", flag_values=command.FLAGS)
    with pytest.raises(SystemExit):
        run_command(command, ["--nooverwrite=yes"])
    expected = "--nooverwrite=yes: --nooverwrite takes no value: write --nooverwrite\n"
    assert capsys.readouterr().err.endswith(expected)
