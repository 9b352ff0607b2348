"""Columns that repeat the label."""

import numpy as np
import pandas as pd
import pytest

from zoo.data.tables import label_copies
from zoo.data.tables.column_inference import infer_columns
from zoo.data.tables.frame_rows import FrameRows


@pytest.mark.parametrize("has_classes", [True, False])
def test_columns_that_go_with_the_labels_in_all_blocks_are_copies(monkeypatch, has_classes):
    monkeypatch.setattr(label_copies, "_BLOCK_ROWS", 16)
    codes = np.arange(48) % 3
    frame = pd.DataFrame({"named": np.array(["b", "a", "c"])[codes], "code": codes * 10.0})
    frame["last"] = np.where(np.arange(48) == 47, 0.0, codes)  # another one in the last block
    frame["merged"] = codes == 2
    rows = FrameRows(frame.astype(str).astype("string[pyarrow]"))
    columns, _ = infer_columns(rows)
    y = codes if has_classes else codes[:, None] * np.float32(10)
    notes = label_copies.describe_label_copies(rows, columns, y)
    expected = ["named", "code"] if has_classes else ["code"]
    assert [note.split("'")[1] for note in notes] == expected
