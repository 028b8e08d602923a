"""Write the session of the open viewer to a session file."""

from typing import Any

from napari import current_viewer

from napari_mobilesam.core.errors import MobileSAMError
from napari_mobilesam.plugin.binding import find


def write_session(path: str, layers: list[Any]) -> list[str]:  # noqa: ARG001
    """Write the session of the open viewer; its layers alone would not tell how they came about.

    Raises
    ------
    MobileSAMError
        If nothing was annotated in the viewer.
    """
    controller = find(current_viewer())
    if controller is None or controller.here is None:  # no ValueError, which napari would hide
        raise MobileSAMError(
            "this viewer has no MobileSAM session",
            remedy="Annotate with the Annotate widget first.",
        )
    controller.accepting.save(path)
    return [path]
