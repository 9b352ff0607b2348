"""Loads the data of a training, from a cache if there is one."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.data.config import DataConfig
    from zoo.data.splits import Data


def load_training_data(config: "DataConfig", cache_dir: str | None) -> "Data":
    """Returns the data, and prints whether the cache was used.

    Args:
        config: Settings of the data.
        cache_dir: Folder of the cache; None for none.
    """
    from zoo.data.data_cache import load_cached_data
    from zoo.data.loading import load_data

    if cache_dir is None:
        return load_data(config)
    data, notes = load_cached_data(config, cache_dir)
    print(*notes, sep="\n", file=sys.stderr, flush=True)
    return data
