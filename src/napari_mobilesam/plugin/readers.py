"""Open session files: what was drawn becomes a pair of prompt layers again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.core.imports import without_triton
from napari_mobilesam.plugin.layers import DisplayedPlane
from napari_mobilesam.plugin.prompt_layers import new_pair, write_prompts

ENDING = ".mobilesam.json"
TYPICAL_EXTENT = 512
"""Side of an image that nothing is known about, for the size of its points."""

LayerData = tuple[Any, dict[str, Any], str]


def session_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the reader of a session file, None for other files."""
    return read_session if isinstance(path, str) and path.lower().endswith(ENDING) else None


def read_session(path: str) -> list[LayerData]:
    """Read the prompts of a session file, in pixels of its image.

    Raises
    ------
    FileFormatError
        If the file cannot be read, or holds no prompts.
    """
    with without_triton():
        from napari_mobilesam.session.session_file import read_prompts

    planes = [(DisplayedPlane.of_key(key), drawn) for key, drawn in read_prompts(path)]
    if not planes:
        raise FileFormatError(f"{Path(path).name} holds no prompts")
    name = Path(path).name[: -len(ENDING)]
    points, shapes = new_pair(name, TYPICAL_EXTENT, len(planes[0][0].index))
    for plane, drawn in planes:
        write_prompts(drawn, points, shapes, plane)
    return [layer.as_layer_data_tuple() for layer in (shapes, points) if len(layer.data)]
