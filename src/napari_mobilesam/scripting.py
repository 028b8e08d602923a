"""Sessions for scripts: in a viewer that is open, in one without a window, or in none."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from napari_mobilesam.api import MobileSAM, load_model
from napari_mobilesam.core.field import FieldOfView
from napari_mobilesam.core.settings import Limits
from napari_mobilesam.session.journal import Journals
from napari_mobilesam.session.planes import ArrayLabels, ArraySource, open_pixels
from napari_mobilesam.session.recovery import find_unfinished, give_back
from napari_mobilesam.session.session import Session
from napari_mobilesam.session.session_file import replay

if TYPE_CHECKING:
    from napari.components import ViewerModel


def open_session(
    viewer: ViewerModel | None,
    image: Any,
    model: str | MobileSAM = "micro",
    *,
    limits: Limits = "percentile",
    channels: Sequence[int] | None = None,
    field: FieldOfView = "auto",
    restore: bool = False,
    journal: bool = True,
) -> Session:
    """Begin to annotate an image from a script.

    Parameters
    ----------
    viewer : napari.Viewer, napari.components.ViewerModel or None
        Where labels appear; None to work without napari.
    image : array, napari.layers.Image, str or path-like
        An array; in a viewer, where it is added, also one of its image layers or the name of one;
        without a viewer, also the path of an image file, or of an OME-Zarr image, whose planes
        are read when they are needed.
    model : str or MobileSAM
        What :func:`load_model` takes, or what it returned.
    limits : "percentile", "dtype" or (low, high)
        Intensities that become black and white.
    channels : sequence of int, optional
        One to three channels of the last axis of an array; without a viewer only.
    field : int, "auto" or "plane"
        Side, in pixels, of the part of the plane that the encoder sees around prompts, smaller
        for small objects; "plane" for all of it. "auto" sees planes beyond 1280 pixels in windows
        of 1024, and others whole.
    restore : bool
        Go on from what was accepted on this image and lost: in a process that crashed or was
        killed, or ended without saving. The newest such work is taken; if there is none, the
        session begins empty.
    journal : bool
        Whether every accept is written to the disk at once, so that it can be restored.

    Returns
    -------
    Session
        On the plane that the viewer shows; on a stack without a viewer, go to one by
        ``session.go_to((index,))``. In a viewer, labels are written into a Labels layer that
        the first accept adds.

    Raises
    ------
    KeyError
        If the viewer has no layer of this name.
    ImageError
        If the layer shows no plane.
    SettingsError
        If there is no such field.
    """
    loaded = load_model(model) if isinstance(model, str) else model
    journals = Journals() if journal else None
    if viewer is None:
        if isinstance(image, str | PathLike):
            image = open_pixels(image, channels)
        source = ArraySource(image, limits=limits, channels=channels)
        session = Session(loaded, source, ArrayLabels(source.label_shape), journals)
        shape = source.label_shape
    else:
        session, shape = _open_in_viewer(viewer, image, loaded, limits, journals)
    session.use_field(field)
    if restore:
        for unfinished in find_unfinished(session.source, shape)[:1]:
            give_back(session, unfinished)
    return session


def replay_session(
    path: str | PathLike[str],
    image: ArrayLike | PathLike[str],
    *,
    model: MobileSAM | None = None,
) -> np.ndarray[Any, np.dtype[np.integer[Any]]]:
    """Compute the labels of a saved session again.

    Parameters
    ----------
    path : path-like
        What ``session.save`` wrote.
    image : array or path-like
        The image that was annotated, or where it lies.
    model : MobileSAM, optional
        Model to use even if its weights differ from those of the session.

    Returns
    -------
    integer array
        Labels of the image's shape, equal bit for bit to those of the session where the same kind
        of processor computes them. Engine, precision and device are those of then; where they are
        not to be had, a RuntimeWarning says so.

    Raises
    ------
    FileFormatError
        If the file cannot be read, or belongs to another image or other weights.
    """
    if isinstance(image, PathLike):
        image = open_pixels(image, ())
    labels = replay(path, image, model=model).labels
    return labels.array if isinstance(labels, ArrayLabels) else labels.read(())


def _open_in_viewer(
    viewer: ViewerModel, image: Any, model: MobileSAM, limits: Limits, journals: Journals | None
) -> tuple[Session, tuple[int, ...]]:
    from napari.layers import Image

    from napari_mobilesam.plugin.layers import LayerSource, displayed_plane, spatial_shape
    from napari_mobilesam.plugin.target import LayerLabels

    layer = viewer.layers[image] if isinstance(image, str) else image
    if not isinstance(layer, Image):
        layer = viewer.add_image(np.asarray(image))
    source = LayerSource(layer)
    source.limits = limits
    session = Session(model, source, LayerLabels(viewer, layer), journals)
    session.go_to(displayed_plane(layer, viewer.dims).key)
    return session, spatial_shape(layer)
