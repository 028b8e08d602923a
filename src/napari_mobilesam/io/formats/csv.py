"""CSV of the table: one row an object; for spreadsheets and statistics, it holds no masks."""

from pathlib import Path

import numpy as np

from napari_mobilesam.core.instances import measure
from napari_mobilesam.io.objects import LabelledImage


def write(path: Path, image: LabelledImage) -> None:
    """Write the table, or what can be measured in the labels if there is none."""
    table = measure(image.labels.astype(np.int32)) if image.table is None else image.table
    table.to_csv(path, index=False)
