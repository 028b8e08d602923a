"""CSV of the table: one row an object; for spreadsheets and statistics, it holds no masks."""

from pathlib import Path

import numpy as np
import pandas as pd

from napari_mobilesam.core.instances import measure
from napari_mobilesam.io.objects import LabelledImage


def write(path: Path, image: LabelledImage) -> None:
    """Write a row a label: what can be measured in the labels, and what the table knows."""
    rows = measure(image.labels.astype(np.int32))
    if image.table is not None:
        rows = _joined(rows, image.table)
    rows.to_csv(path, index=False)


def _joined(measured: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    known = table.drop(columns=[name for name in table if name in measured and name != "label"])
    return measured.merge(known, on="label", how="left")
