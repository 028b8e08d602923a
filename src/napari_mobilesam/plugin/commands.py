"""Commands of the menus and the command palette: what the widgets' buttons do."""

from typing import Any

from napari import Viewer

from napari_mobilesam.plugin.controller import Controller
from napari_mobilesam.plugin.preferences import PLUGIN
from napari_mobilesam.plugin.widgets.annotate import AnnotateWidget
from napari_mobilesam.plugin.widgets.batch import BatchWidget
from napari_mobilesam.plugin.widgets.everything import EverythingWidget


def open_annotate(viewer: Viewer) -> AnnotateWidget:
    """Show the Annotate widget."""
    widget: AnnotateWidget = _dock(viewer, "Annotate")
    return widget


def open_everything(viewer: Viewer) -> EverythingWidget:
    """Show the Everything widget."""
    widget: EverythingWidget = _dock(viewer, "Everything")
    return widget


def open_batch(viewer: Viewer) -> BatchWidget:
    """Show the Batch widget."""
    widget: BatchWidget = _dock(viewer, "Batch")
    return widget


def embed(viewer: Viewer) -> None:
    """Embed the displayed plane."""
    _controller(viewer).embed()


def draw_prompts(viewer: Viewer) -> None:
    """Add a pair of prompt layers to draw in."""
    _controller(viewer).prompting.create_layers()


def accept(viewer: Viewer) -> None:
    """Write the previewed masks into the target layer."""
    _controller(viewer).prompting.accept()


def find_everything(viewer: Viewer) -> None:
    """Find every object of the displayed plane."""
    open_everything(viewer).controller.proposing.run()


def save_session(viewer: Viewer) -> None:
    """Ask where to save the session, and save it."""
    open_annotate(viewer).ask_where_to_save()


def export_labels(viewer: Viewer) -> None:
    """Ask where to export the labels of the displayed plane, and export them."""
    open_annotate(viewer).ask_where_to_export()


def _controller(viewer: Viewer) -> Controller:
    return open_annotate(viewer).controller


def _dock(viewer: Viewer, name: str) -> Any:
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    return widget
