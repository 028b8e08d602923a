import numpy as np
import pytest
from napari.layers import Image
from skimage.draw import disk

from napari_mobilesam.core.errors import ImageError
from napari_mobilesam.plugin.widgets.channels_menu import ChannelsMenu
from napari_mobilesam.session.planes import shown_plane
from napari_mobilesam.session.session_file import replay

from .conftest import CENTRES

RED, GREEN = CENTRES[0], CENTRES[3]


def discs_at(*centres, scale=1):
    image = np.random.default_rng(0).integers(20, 40, (200, 200)).astype(np.uint16)
    for centre in centres:
        image[disk(centre, 22)] += 160
    return image * scale


@pytest.fixture
def layers(viewer):
    """Three channels in layers of their own, the second a hundred times as bright."""
    images = [discs_at(RED), discs_at(GREEN, scale=100), discs_at()]
    layers = [viewer.add_image(image) for image in images]
    viewer.layers.selection.active = layers[0]
    return layers


@pytest.fixture
def channels(controller, layers):
    assert controller.image is layers[0]
    return controller.channels


def shown(controller):
    return shown_plane(controller.here.session.source, controller.plane.key)


def overlap(mask, centre):
    """IoU of a mask and a disc."""
    drawn, true = np.zeros((2, 200, 200), bool)
    drawn[mask.window] = mask.pixels
    true[disk(centre, 22)] = True
    return (drawn & true).sum() / (drawn | true).sum()


def accept_at(controller, centre):
    controller.prompting.create_layers()
    controller.prompting.points.add(centre)
    controller.prompting.accept()


def test_layers_with_the_pixels_of_the_image_are_offered(viewer, channels, layers):
    viewer.add_image(np.zeros((200, 200, 3), np.uint8), rgb=True)
    viewer.add_image(np.zeros((200, 100)))
    viewer.add_image(np.zeros((200, 200)), translate=(0, 5))
    viewer.layers.selection.active = layers[0]
    assert channels.offered() == layers[1:]
    channels.choose([])
    assert channels.chosen() == ()


def test_what_only_another_channel_shows_is_found(controller, channels, layers):
    controller.prompting.create_layers()
    controller.prompting.points.add(GREEN)
    (alone,) = controller.here.session.masks
    channels.choose([layers[1]])
    (together,) = controller.here.session.masks  # what is drawn is decoded anew
    assert overlap(together, GREEN) > 0.8 > overlap(alone, GREEN)
    red, green, blue = np.moveaxis(shown(controller), -1, 0)
    assert red[RED] > 200 > 50 > red[GREEN]
    assert green[GREEN] > 200 > 50 > green[RED]
    assert not blue.any()


def test_labels_are_written_on_the_image(controller, channels, layers):
    channels.choose(layers[1:])
    accept_at(controller, GREEN)
    assert controller.target.layer.name == f"{layers[0].name} labels"
    assert controller.target.layer.data[GREEN] == 1


def test_a_stack_is_composed_plane_by_plane(viewer, controller):
    stacks = [np.stack([discs_at(), discs_at(centre)]) for centre in (RED, GREEN)]
    layers = [viewer.add_image(stack) for stack in stacks]
    viewer.layers.selection.active = layers[0]
    viewer.dims.set_point(0, 1)
    controller.channels.choose(layers[1:])
    controller.embed()
    assert shown(controller)[(*RED, 0)] > 200
    assert shown(controller)[(*GREEN, 1)] > 200


@pytest.mark.parametrize("problem", ["elsewhere", "too many"])
def test_what_does_not_fit_is_refused(viewer, channels, layers, problem):
    others = layers[1:]
    if problem == "elsewhere":
        others = [Image(np.zeros((10, 10)))]
    else:
        others.append(viewer.add_image(discs_at()))
        viewer.layers.selection.active = layers[0]
    with pytest.raises(ImageError):
        channels.choose(others)
    assert channels.chosen() == ()


@pytest.mark.parametrize("event", ["removed", "moved", "image moved", "cropped"])
def test_a_channel_that_lies_there_no_more_is_left_out(viewer, controller, channels, layers, event):
    channels.choose(layers[1:])
    controller.embed()
    if event == "removed":
        viewer.layers.remove(layers[1])
    elif event == "moved":
        layers[1].translate = (0, 7)
    elif event == "cropped":
        layers[1].data = layers[1].data[:100]
    else:
        layers[0].translate = layers[2].translate = (0, 7)
    assert layers[1] not in channels.chosen()
    assert not controller.is_ready()
    controller.embed()
    assert controller.is_ready()


def test_changed_pixels_of_a_channel_are_read_anew(controller, channels, layers):
    channels.choose([layers[1]])
    controller.embed()
    layers[1].data = discs_at(RED)
    assert not controller.is_ready()
    controller.embed()
    assert shown(controller)[(*RED, 1)] > 200


def test_renaming_changes_nothing(controller, channels, layers):
    channels.choose([layers[1]])
    controller.embed()
    layers[1].name = "nuclei"
    assert channels.chosen() == (layers[1],)
    assert controller.is_ready()


def test_a_click_on_a_channel_stays_with_the_image(viewer, controller, channels, layers):
    channels.choose([layers[1]])
    viewer.layers.selection.active = layers[1]
    assert controller.image is layers[0]
    viewer.layers.selection.active = layers[2]
    assert controller.image is layers[2]
    assert channels.chosen() == ()
    viewer.layers.selection.active = layers[0]
    assert channels.chosen() == (layers[1],)


def test_the_image_may_go(viewer, controller, channels, layers):
    channels.choose([layers[1]])
    controller.embed()
    viewer.layers.remove(layers[0])
    assert controller.image is not layers[0]
    assert channels.chosen() == ()


def test_a_session_file_tells_which_channels_were_looked_at(
    controller, channels, layers, tmp_path, model
):
    accept_at(controller, RED)
    channels.choose([layers[2]])
    accept_at(controller, (100, 100))
    channels.choose([layers[1]])
    accept_at(controller, GREEN)
    path = tmp_path / "session.mobilesam.json"
    controller.accepting.save(path)
    in_order = np.stack([layers[i].data for i in (0, 2, 1)], axis=-1)
    again = replay(path, in_order, model=model)
    np.testing.assert_array_equal(again.labels.array, controller.target.layer.data)


def test_the_menu_offers_and_chooses(channels, layers, qtbot):
    menu = ChannelsMenu(channels)
    qtbot.addWidget(menu)
    menu.chosen.connect(channels.choose)
    menu.refresh()
    assert "alone" in menu.text()
    menu.menu().aboutToShow.emit()
    first, second = menu.menu().actions()
    assert first.text() == layers[1].name
    second.trigger()
    first.trigger()
    assert channels.chosen() == (layers[2], layers[1])
    first.trigger()
    menu.refresh()
    assert menu.text().endswith(layers[2].name)
