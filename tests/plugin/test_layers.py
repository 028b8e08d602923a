import numpy as np
import pytest
from napari.components import ViewerModel

from napari_mobilesam.core.errors import ImageError
from napari_mobilesam.plugin.layers import (
    LayerSource,
    displayed_plane,
    lies_on,
    new_labels,
)
from napari_mobilesam.session.planes import plane_slices

from .scenes import MARK, SCENES


@pytest.fixture(params=SCENES.values(), ids=SCENES.keys())
def scene(request):
    return request.param


def test_the_plane_that_is_shown_holds_the_bright_pixel(scene):
    viewer, image = scene.open()
    plane = displayed_plane(image, viewer.dims)
    pixels = LayerSource(image).plane(plane.key)
    assert pixels.shape[:2] == plane.shape
    row, column = (scene.pixel[axis] for axis in plane.axes)
    assert pixels[row, column].max() == MARK
    assert np.count_nonzero(pixels) == 1


def test_world_positions_land_on_their_pixel_and_back(scene):
    viewer, image = scene.open()
    plane = displayed_plane(image, viewer.dims)
    pixel = scene.pixel[: image.ndim]
    points, on_plane = plane.from_world([image.data_to_world(pixel)])
    np.testing.assert_allclose(points[0], [pixel[axis] for axis in plane.axes], atol=1e-9)
    assert on_plane.all()
    np.testing.assert_allclose(plane.to_data(points), [pixel], atol=1e-9)


def test_labels_lie_on_their_image(scene):
    viewer, image = scene.open()
    plane = displayed_plane(image, viewer.dims)
    labels = new_labels(image, "labels")
    viewer.add_layer(labels)
    row, column = (scene.pixel[axis] for axis in plane.axes)
    labels.data[plane_slices(plane.key)][row, column] = 7
    assert labels.get_value(image.data_to_world(scene.pixel[: image.ndim]), world=True) == 7
    assert lies_on(labels, image)
    assert labels.units == image.units
    assert labels.axis_labels == image.axis_labels


def test_positions_beside_the_plane_are_told_apart():
    viewer, image = SCENES["4-D"].open()
    plane = displayed_plane(image, viewer.dims)
    positions = [image.data_to_world((2, z, 5, 6)) for z in range(5)]
    _, on_plane = plane.from_world(positions)
    assert on_plane.tolist() == [False, False, False, True, False]


def test_positions_with_fewer_axes_lie_on_every_plane():
    viewer, image = SCENES["4-D"].open()
    plane = displayed_plane(image, viewer.dims)
    points, on_plane = plane.from_world([image.data_to_world((0, 0, 5, 6))[2:]])
    np.testing.assert_allclose(points, [[5, 6]])
    assert on_plane.all()


def test_an_image_with_fewer_axes_than_the_viewer_is_one_plane():
    viewer, _ = SCENES["4-D"].open()
    image = viewer.add_image(np.zeros((30, 40)))
    plane = displayed_plane(image, viewer.dims)
    assert plane.key == ()
    points, on_plane = plane.from_world([(2, 3, 5, 6)])
    np.testing.assert_allclose(points, [[5, 6]])
    assert on_plane.all()


@pytest.mark.parametrize(
    ("order", "key"),
    [((0, 1, 2), (4,)), ((1, 0, 2), (-1, 11)), ((2, 0, 1), (-1, -1, 23))],
)
def test_keys_tell_planes_of_every_direction_apart(order, key):
    viewer, image = SCENES["3-D"].open()
    viewer.dims.order = order
    assert displayed_plane(image, viewer.dims).key == key


def test_a_volume_has_no_displayed_plane():
    viewer, image = SCENES["3-D"].open()
    viewer.dims.ndisplay = 3
    with pytest.raises(ImageError, match="Switch the viewer to 2D"):
        displayed_plane(image, viewer.dims)


def test_sliders_may_stand_outside_an_image():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((9, 30, 40)))
    image = viewer.add_image(np.zeros((2, 30, 40)))
    viewer.dims.set_current_step(0, 5)
    with pytest.raises(ImageError, match="Move the sliders"):
        displayed_plane(image, viewer.dims)


def test_labels_of_other_shape_or_place_do_not_lie_on_an_image():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((30, 40)), scale=(2, 2))
    smaller = viewer.add_labels(np.zeros((30, 39), int), scale=(2, 2))
    unscaled = viewer.add_labels(np.zeros((30, 40), int))
    assert not lies_on(smaller, image)
    assert not lies_on(unscaled, image)


def test_a_source_takes_limits_and_gamma_as_displayed_if_asked():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((30, 40)), contrast_limits=(0.1, 0.7), gamma=0.5)
    assert LayerSource(image).limits == "percentile"
    displayed = LayerSource(image, "displayed")
    assert displayed.limits == (0.1, 0.7)
    assert displayed.gamma == 0.5
