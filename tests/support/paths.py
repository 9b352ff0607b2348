"""Where the repository and real data are."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
REAL_DATA = os.environ.get("TFDS_DATA_DIR")
MINILM = os.environ.get("MINILM_DIR")
EFFNET = os.environ.get("EFFNET_DIR")
