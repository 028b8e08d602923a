import numpy as np
import pytest
from napari.components import ViewerModel

from napari_mobilesam.plugin.prompt_layers import COLUMN

from .conftest import CENTRES
from .scenes import STACK, TURNED

AREA = 1513
"""Pixels of a disc of radius 22."""


def label_sizes(layer):
    return np.bincount(layer.data.ravel())[1:].tolist()


@pytest.fixture
def prompting(viewer, controller, discs):
    """Prompting on the discs, with a pair of prompt layers."""
    viewer.add_image(discs, name="discs")
    controller.prompting.create_layers()
    return controller.prompting


def test_the_first_point_loads_embeds_and_shows_a_mask(prompting, controller, viewer):
    prompting.points.add(CENTRES[0])
    assert controller.is_ready()
    assert np.count_nonzero(viewer.layers["MobileSAM preview"].data) == pytest.approx(AREA, rel=0.2)
    assert viewer.layers.selection.active is prompting.points


def test_accept_writes_and_undo_takes_back_in_one_step(prompting, controller):
    prompting.points.add(CENTRES[0])
    prompting.accept()
    layer = controller.target.layer
    assert label_sizes(layer) == [pytest.approx(AREA, rel=0.2)]
    assert len(prompting.points.data) == 0
    assert layer.features["index"].tolist() == [1]
    controller.accepting.undo()
    assert not layer.data.any()
    controller.accepting.redo()
    assert label_sizes(layer) == [pytest.approx(AREA, rel=0.2)]


def test_many_prompts_are_many_objects(prompting, controller):
    controller.set_preferences(mode="many")
    prompting.points.add(CENTRES[:2])
    prompting.shapes.add_rectangles([[125, 35], [125, 85], [175, 85], [175, 35]])
    prompting.accept()
    assert label_sizes(controller.target.layer) == [pytest.approx(AREA, rel=0.2)] * 3


def test_candidates_are_stepped_through(prompting, controller):
    prompting.points.add(CENTRES[0])
    session = controller.here.session
    first = session.masks[0].area
    prompting.step()
    assert session.candidate_index == 1
    assert session.masks[0].area != first
    prompting.choose(0)
    assert session.masks[0].area == first


def test_the_kind_of_a_point_has_its_colour_and_symbol(prompting):
    prompting.points.add(CENTRES[0])
    prompting.switch_kind()
    prompting.points.add((90, 90))
    points = prompting.points
    assert points.features[COLUMN].tolist() == ["positive", "negative"]
    assert points.symbol.tolist() == ["disc", "x"]
    assert not np.array_equal(*points.face_color)


def test_a_relabelled_point_is_decoded_anew(prompting, controller):
    prompting.points.add([CENTRES[0], CENTRES[1]])
    before = controller.here.session.drawn
    prompting.points.mode = "select"
    prompting.points.selected_data = {1}
    prompting.set_kind("negative")
    now = controller.here.session.drawn
    assert [point.positive for point in before] == [True, True]
    assert [point.positive for point in now] == [True, False]
    assert prompting.points.symbol.tolist() == ["disc", "x"]


def test_moved_and_deleted_points_update_the_preview(prompting, viewer):
    prompting.points.add(CENTRES[0])
    prompting.points.data = [CENTRES[1]]
    preview = viewer.layers["MobileSAM preview"]
    assert preview.data[CENTRES[1]]
    assert not preview.data[CENTRES[0]]
    prompting.points.data = np.empty((0, 2))
    assert not preview.data.any()


def test_the_objects_of_a_labels_layer_are_prompts(prompting, controller, viewer, discs):
    objects = viewer.add_labels((discs > 100).astype(int))
    controller.set_preferences(mode="many", objects="boxes")
    prompting.use(objects=objects)
    prompting.accept()
    assert label_sizes(controller.target.layer)[0] > AREA


def test_hover_shows_what_is_under_the_cursor(prompting, controller, viewer):
    controller.embed()
    prompting.hover(CENTRES[3])
    assert viewer.layers["MobileSAM preview"].data[CENTRES[3]]
    prompting.hover((1000, 1000))


def test_prompts_of_an_accepted_label_come_back(prompting, controller):
    prompting.points.add(CENTRES[0])
    prompting.shapes.add_rectangles([[15, 20], [15, 70], [65, 70], [65, 20]])
    prompting.accept()
    prompting.recall(CENTRES[0])
    assert prompting.points.data.tolist() == [list(CENTRES[0])]
    assert len(prompting.shapes.data) == 1
    controller.set_preferences(target="replace")
    prompting.accept()
    assert len(label_sizes(controller.target.layer)) == 1


def test_a_replaced_label_and_taken_pixels_follow_the_preferences(prompting, controller):
    prompting.points.add(CENTRES[0])
    prompting.accept()
    asked = []
    controller.accepting.ask_about_taken = lambda: asked.append(True)
    controller.set_preferences(taken="ask", keep_prompts=True)
    prompting.points.add(CENTRES[0])
    prompting.accept()
    assert asked == [True]
    assert len(label_sizes(controller.target.layer)) == 1


@pytest.mark.usefixtures("prompting")
def test_everything_is_found_edited_filtered_and_accepted(controller, viewer):
    proposing = controller.proposing
    proposing.settings = proposing.settings.changed(confidence=0.1)
    proposing.run()
    found = len(controller.here.session.found)
    assert found >= 2
    proposing.layer.remove([0])
    assert len(controller.here.session.found) == found - 1
    proposing.layer.add_rectangles([[20, 125], [20, 175], [70, 175], [70, 125]])
    assert viewer.layers["MobileSAM found"].data[CENTRES[1]]
    proposing.settings = proposing.settings.changed(min_area=100_000)
    proposing.refilter()
    assert len(controller.here.session.found) == 0
    proposing.settings = proposing.settings.changed(min_area=10)
    proposing.refilter()
    proposing.accept()
    assert controller.target.layer.data[CENTRES[1]]
    assert proposing.layer is None


@pytest.mark.parametrize("region", ["view", "shape"])
def test_everything_may_look_at_a_part(prompting, controller, region):
    prompting.shapes.add_rectangles([[0, 0], [0, 99], [99, 99], [99, 0]])
    controller.image.corner_pixels = np.array([[0, 0], [99, 99]])
    proposing = controller.proposing
    proposing.settings = proposing.settings.changed(sampler="grid", points_per_side=4)
    proposing.region = region
    proposing.run()
    assert not controller.here.session.found.labels[120:, 120:].any()


PLACES = {
    "scaled": {"scale": (0.1, 0.2), "units": ("um", "um")},
    "translated and scaled": {"scale": (2, 2), "translate": (100, -50)},
    "turned by an affine": {"affine": TURNED, "scale": (3, 3)},
}


@pytest.mark.parametrize("settings", PLACES.values(), ids=PLACES.keys())
def test_prompts_land_where_they_are_drawn(viewer, controller, discs, settings):
    image = viewer.add_image(discs, **settings)
    controller.prompting.create_layers()
    world = image.data_to_world(CENTRES[2])
    points = controller.prompting.points
    points.add(points.world_to_data(world))
    controller.prompting.accept()
    labels = controller.target.layer
    assert labels.get_value(world, world=True) == 1
    assert label_sizes(labels) == [pytest.approx(AREA, rel=0.2)]
    np.testing.assert_allclose(labels.affine.affine_matrix, image.affine.affine_matrix)
    assert labels.units == image.units


def test_a_stack_is_annotated_plane_by_plane(viewer, controller, discs):
    image = viewer.add_image(np.broadcast_to(discs, (2, 3, 200, 200)), **STACK)
    controller.prompting.create_layers()
    for step in ((0, 1), (1, 2)):
        viewer.dims.set_current_step((0, 1), step)
        controller.prompting.points.add((*step, *CENTRES[0]))
        controller.prompting.accept()
    data = controller.target.layer.data
    assert [np.count_nonzero(data[step]) > 0 for step in ((0, 1), (1, 2), (0, 0))] == [1, 1, 0]
    assert image.data.shape == data.shape


def test_planes_are_embedded_in_advance(viewer, controller, discs):
    viewer.add_image(np.broadcast_to(discs, (5, 200, 200)))
    controller.set_preferences(auto_embed=True, neighbours=1)
    viewer.dims.set_current_step(0, 2)
    session = controller.here.session
    assert [session.is_embedded((z,)) for z in range(1, 4)] == [True, True, True]


def test_the_active_image_is_followed_unless_pinned(controller, viewer, discs):
    first, second = viewer.add_image(discs), viewer.add_image(discs)
    assert controller.image is second
    viewer.layers.selection.active = first
    assert controller.image is first
    controller.pin(True)
    viewer.layers.selection.active = second
    assert controller.image is first
    viewer.layers.remove(first)
    assert controller.image is second


def test_nothing_happens_without_an_image(controller):
    controller.prompting.create_layers()
    controller.embed()
    controller.prompting.accept()
    controller.proposing.run()
    controller.accepting.undo()
    assert len(controller.viewer.layers) == 0
    assert any("Open one first" in text for text in controller.heard)


def test_two_viewers_do_not_meet(prompting, discs):
    other = ViewerModel()
    other.add_image(discs)
    prompting.points.add(CENTRES[0])
    assert len(other.layers) == 1
