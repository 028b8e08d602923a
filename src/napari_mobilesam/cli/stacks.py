"""Label one stack: its planes one by one, linked. Imported only when there is work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from napari_mobilesam.api import MobileSAM
from napari_mobilesam.bulk.journal import Journal
from napari_mobilesam.bulk.stack import StackInstances, segment_planes
from napari_mobilesam.cli.labelling import Task, refuse_existing
from napari_mobilesam.core.settings import LinkSettings
from napari_mobilesam.io.atomic import replacing
from napari_mobilesam.io.stacks import FileStack, write_label_stack


def label_stack(
    sam: MobileSAM,
    task: Task,
    path: Path,
    journal: Journal,
    report: Callable[[int, int], None],
) -> StackInstances:
    """Label a stack; write the labels, a table of objects, and their tracks.

    Raises
    ------
    MobileSAMError
        If the file is no stack or cannot be segmented, or a result exists or cannot be written.
    """
    settings = sam.default_settings().changed(**task.settings.model_dump())
    outputs = stack_outputs(task.output, path)
    refuse_existing(task, outputs.values())
    planes = FileStack(path)
    found = segment_planes(
        planes,
        sam,
        settings,
        task.linking or LinkSettings(),
        limits=task.limits,
        channels=task.channels,
        tile=task.tile,
        progress=report,
    )
    write_label_stack(outputs["labels"], np.asarray(found.labels), planes.axis_name)
    _write_csv(outputs["table"], found.table)
    tracks = pd.DataFrame(found.tracks, columns=["label", "plane", "y", "x"])
    _write_csv(outputs["tracks"], tracks.astype({"label": int, "plane": int}))
    journal.add(path, outputs.values(), len(found))
    return found


def stack_outputs(folder: Path, image: Path) -> dict[str, Path]:
    """Files to write for a stack."""
    endings = {"labels": ".labels.tif", "table": ".labels.csv", "tracks": ".tracks.csv"}
    return {name: folder / f"{image.stem}{ending}" for name, ending in endings.items()}


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as draft:
        table.to_csv(draft, index=False)
