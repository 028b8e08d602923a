import numpy as np
import pytest
from napari.layers import Labels, Tracks
from skimage.draw import disk

from napari_mobilesam.core.drawn import BoxPrompt
from napari_mobilesam.core.errors import CancelledError

COUNT = 5


@pytest.fixture
def movie(viewer):
    """Two discs that move over five moments."""
    frames = np.random.default_rng(0).integers(20, 40, (COUNT, 120, 120)).astype(np.uint8)
    for t, frame in enumerate(frames):
        frame[disk((30, 30 + 5 * t), 14)] += 160
        frame[disk((85, 80 - 5 * t), 14)] += 160
    layer = viewer.add_image(frames, name="movie", scale=(1, 2, 2), axis_labels=("t", "y", "x"))
    viewer.dims.set_point(0, 2)
    return layer


def accept_a_disc(controller):
    session = controller.here.session
    session.set_prompts([BoxPrompt((16, 26, 45, 55))])


def test_everything_is_linked_into_new_labels_and_tracks(controller, viewer, movie):
    controller.through.find_all()
    labels, tracks = viewer.layers["movie objects"], viewer.layers["movie tracks"]
    assert isinstance(labels, Labels)
    assert isinstance(tracks, Tracks)
    assert labels.data.max() == 2
    label = labels.data[0, 30, 30]
    assert [labels.data[t, 30, 30 + 5 * t] for t in range(COUNT)] == [label] * COUNT
    assert labels.features["planes"].tolist() == [COUNT, COUNT]
    assert tuple(labels.scale) == tuple(movie.scale) == tuple(tracks.scale)
    assert "Found 2 objects on 5 planes." in controller.heard


@pytest.mark.usefixtures("movie")
def test_another_axis_is_linked_in_its_place(controller, viewer):
    controller.embed()
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, 60)
    controller.through.find_all()
    assert viewer.layers["movie objects"].data.shape == (COUNT, 120, 120)
    assert "movie tracks" not in viewer.layers


@pytest.mark.usefixtures("movie")
def test_a_previewed_object_is_accepted_and_followed_as_one_step(controller):
    controller.embed()
    accept_a_disc(controller)
    controller.through.follow("both")
    layer = controller.target.layer
    assert [layer.data[t, 30, 30 + 5 * t] for t in range(COUNT)] == [1] * COUNT
    assert "Followed label 1 through 4 planes." in controller.heard
    layer.undo()
    assert layer.data.any(axis=(1, 2)).tolist() == [False, False, True, False, False]


@pytest.mark.usefixtures("movie")
def test_a_corrected_object_is_followed_on_and_its_old_label_replaced(controller):
    controller.embed()
    accept_a_disc(controller)
    controller.through.follow("forwards")
    layer = controller.target.layer
    layer.data[3, 100:110, 100:110] = 1
    layer.selected_label = 1
    controller.through.following = controller.through.following.changed(max_planes=1)
    controller.through.follow("forwards")
    assert not layer.data[3, 100:110, 100:110].any()
    assert layer.data[3, 30, 45] == 1


@pytest.mark.usefixtures("movie")
def test_other_labels_keep_their_pixels(controller):
    controller.embed()
    accept_a_disc(controller)
    controller.prompting.accept()
    layer = controller.target.layer
    layer.data[3, 25:35, 40:50] = 7
    layer.selected_label = 1
    controller.through.follow("forwards")
    assert (layer.data[3, 25:35, 40:50] == 7).all()
    assert (layer.data[3] == 1).any()


@pytest.mark.usefixtures("movie")
def test_many_previewed_objects_are_not_followed(controller):
    controller.embed()
    discs = [BoxPrompt((16, 26, 45, 55)), BoxPrompt((71, 56, 100, 85))]
    controller.here.session.set_prompts(discs, "many")
    controller.through.follow("both")
    assert "only one object" in controller.heard[-1]
    assert controller.target.layer is None


@pytest.mark.usefixtures("movie")
def test_without_an_object_or_a_stack_there_is_a_message(controller, viewer):
    controller.through.follow("both")
    assert "there is no object to follow" in controller.heard[-1]
    controller.embed()
    controller.through.follow("both")
    assert "label 1 is not on this plane" in controller.heard[-1]
    viewer.add_image(np.zeros((40, 40), np.uint8), name="flat")
    controller.set_image(viewer.layers["flat"])
    controller.through.find_all()
    assert "flat has one plane" in controller.heard[-1]


@pytest.mark.usefixtures("movie")
def test_it_can_be_cancelled_at_a_plane(controller):
    controller.embed()

    def stop(_kind, done, total):
        if (done, total) == (2, COUNT):
            raise CancelledError("stopped")

    controller.progressed.connect(stop)
    controller.through.find_all()
    assert controller.heard
    assert "movie objects" not in controller.viewer.layers
