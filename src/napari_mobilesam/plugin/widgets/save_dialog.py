"""Ask where to save a file, whose name gets the ending of the type that was chosen."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_mobilesam.core.errors import FileFormatError


def ask_for_file(parent: QWidget, title: str, types: Mapping[str, Sequence[str]]) -> Path | None:
    """Ask for a file to write.

    Parameters
    ----------
    parent : QWidget
        What asks.
    title : str
        Of the dialog.
    types : mapping of str to sequence of str
        Endings of file names, by the name of the type; the first is added where there is none.

    Returns
    -------
    Path or None
        None if nothing was chosen.

    Raises
    ------
    FileFormatError
        If the completed name is that of a file, about which nobody was asked.
    """
    filters = {f"{name} (*{endings[0]})": endings[0] for name, endings in types.items()}
    path, chosen = QFileDialog.getSaveFileName(parent, title, "", ";;".join(filters))
    if not path:
        return None
    if path.lower().endswith(tuple(ending for endings in types.values() for ending in endings)):
        return Path(path)
    ending = filters.get(chosen, next(iter(filters.values())))
    completed = Path(path.removesuffix(f".{ending.rsplit('.', 1)[-1]}") + ending)
    if completed.exists():
        raise FileFormatError(f"{completed.name} exists", remedy="Choose it in the dialog.")
    return completed
