"""What zoo train prints of its cache."""

from zoo.commands.train_data import load_training_data
from zoo.data.config import DataConfig


def test_the_use_of_the_cache_is_printed(price_csv, tmp_path, capsys):
    config, folder = DataConfig(f"csv:{price_csv}", label="price"), str(tmp_path / "cache")
    load_training_data(config, None)
    assert not capsys.readouterr().err
    for use in ("kept in", "read from"):
        load_training_data(config, folder)
        assert capsys.readouterr().err.startswith(f"data: {use} the cache {folder}/")
