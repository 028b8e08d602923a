import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_mobilesam.core.errors import CancelledError
from napari_mobilesam.plugin.controller import Controller
from napari_mobilesam.plugin.models import LoadModel
from napari_mobilesam.plugin.prompt_layers import COLUMN
from napari_mobilesam.plugin.threads import Inline

from .conftest import CENTRES
from .scenes import STACK, TURNED

AREA = 1513
"""Pixels of a disc of radius 22."""


ORIGINAL = LoadModel.run
"""What the fixtures put a loaded model in place of."""


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


def test_after_an_accept_prompts_are_positive_again(prompting, controller):
    prompting.points.add(CENTRES[0])
    prompting.switch_kind()
    prompting.points.add((90, 90))
    prompting.accept()
    assert prompting.kind == "positive"
    prompting.points.add(CENTRES[1])
    assert controller.here.session.masks
    prompting.clear()
    prompting.switch_kind()
    prompting.points.add(CENTRES[1])
    assert "Q switches" in controller.heard[-1]


def test_a_prompt_outside_the_plane_is_named_when_it_is_drawn(prompting, controller):
    prompting.points.add(CENTRES[0])
    prompting.clear()
    prompting.points.add((500, 5))
    assert "outside the plane" in controller.heard[-1]
    controller.heard.clear()
    prompting.update()
    assert not controller.heard


def test_without_an_image_it_is_said_once(controller):
    controller.prompting.create_layers()
    assert controller.heard == ["There is no image to draw on. Open one first."]


def test_what_is_taken_back_or_discarded_is_said(prompting, controller):
    heard, accepting = controller.heard, controller.accepting
    prompting.points.add(CENTRES[0])
    accepting.undo()
    assert heard[-1] == "Nothing to take back."
    prompting.accept()
    accepting.undo()
    assert heard[-1] == "Took 1 object back."
    accepting.redo()
    assert heard[-1] == "Wrote 1 object again."
    accepting.redo()
    assert heard[-1] == "Nothing was taken back."
    controller.proposing.run()
    controller.proposing.discard()
    assert heard[-1] == "Discarded what was found."
    prompting.clear()
    assert heard[-1] == "Removed the prompts of this plane."


def test_a_tool_shows_its_layer_and_adds_only_what_is_missing(prompting, viewer):
    prompting.points.visible = False
    prompting.take_tool("point")
    assert prompting.points.visible
    shapes = prompting.shapes
    viewer.layers.remove(prompting.points)
    prompting.take_tool("point")
    assert prompting.shapes is shapes
    assert viewer.layers.selection.active is prompting.points
    assert len(viewer.layers) == 3


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


def test_it_is_asked_again_if_the_mask_has_changed_meanwhile(prompting, controller):
    prompting.points.add(CENTRES[0])
    prompting.accept()
    controller.set_preferences(taken="ask")
    prompting.points.add(CENTRES[0])
    asked = []

    def ask():
        asked.append(controller.here.session.masks[0])
        if len(asked) == 1:
            prompting.step()
        return "replace"

    controller.accepting.ask_about_taken = ask
    prompting.accept()
    assert len(asked) == 2
    assert (controller.target.layer.data == 2).sum() == asked[1].area


def test_only_what_a_user_can_stop_is_said_to_have_stopped(controller):
    class Cancelled:
        def run(self, _progress):
            raise CancelledError("stopped")

    heard = []
    controller.said.connect(heard.append)
    for kind in ("closer", "everything"):
        controller.run(kind, Cancelled(), pytest.fail, controller.live_jobs)
    assert heard == ["Stopped."]


def test_prompts_that_are_kept_show_their_mask(prompting, controller, viewer):
    controller.set_preferences(keep_prompts=True)
    prompting.points.add(CENTRES[0])
    before = controller.here.session.masks[0].area
    prompting.accept()
    assert controller.here.session.masks[0].area == before
    assert np.count_nonzero(viewer.layers["MobileSAM preview"].data) == before
    controller.set_preferences(live=False)
    prompting.points.data = []
    prompting.points.add(CENTRES[1])
    prompting.update(even_if_not_live=True)
    prompting.accept()
    assert not controller.here.session.masks
    assert not viewer.layers["MobileSAM preview"].data.any()


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


def test_a_second_run_goes_on_with_the_layer_of_the_first(viewer, controller, discs):
    viewer.add_image(discs)
    proposing = controller.proposing
    proposing.run()
    first, boxes = proposing.layer, np.array(proposing.layer.data)
    first.add_rectangles([[20, 125], [20, 175], [70, 175], [70, 125]])
    proposing.run()
    assert proposing.layer is first
    assert first.visible
    np.testing.assert_allclose(np.array(first.data), boxes)
    found = len(controller.here.session.found)
    first.remove([0])
    assert len(controller.here.session.found) == found - 1


def test_a_run_while_proposals_are_drawn_starts_over(prompting, controller, monkeypatch):
    put_off = []
    monkeypatch.setattr(controller, "_later", put_off.append)
    proposing = controller.proposing
    prompting.points.add(CENTRES[0])
    for _ in range(2):
        proposing.run()
        while put_off and controller.here.session.found is None:
            put_off.pop(0)()
    while put_off:
        put_off.pop(0)()
    found = controller.here.session.found
    assert len(proposing.layer.data) == len(found.candidates)
    before = len(found)
    proposing.layer.remove([0])
    assert len(controller.here.session.found) == before - 1


def as_is(discs):
    return discs


def as_rgb(discs):
    return np.stack([discs] * 3, axis=-1)


def as_stack(discs):
    return np.broadcast_to(discs, (2, 3, 200, 200))


def across_a_stack(discs):
    """Rows along the second axis, as in a plane that is cut through a volume."""
    return np.broadcast_to(discs[:, np.newaxis], (2, 200, 3, 200))


def as_pyramid(discs):
    lazy = da.from_array(discs, chunks=64)
    return [lazy, lazy[::2, ::2]]


PLACES = {
    "scaled": (as_is, {"scale": (0.1, 0.2), "units": ("um", "um")}, None),
    "translated and scaled": (as_is, {"scale": (2, 2), "translate": (100, -50)}, None),
    "turned and sheared": (as_is, {"rotate": 30, "shear": [0.3]}, None),
    "turned by an affine": (as_is, {"affine": TURNED, "scale": (3, 3)}, None),
    "RGB": (as_rgb, {"rgb": True, "scale": (0.5, 0.5)}, None),
    "4-D": (as_stack, STACK, None),
    "4-D, cut along z": (across_a_stack, STACK, (0, 2, 1, 3)),
    "multiscale dask": (as_pyramid, {"multiscale": True, "scale": (2, 2)}, None),
}


@pytest.mark.parametrize(("shape", "settings", "order"), PLACES.values(), ids=PLACES.keys())
def test_prompts_land_where_they_are_drawn(viewer, controller, discs, shape, settings, order):
    image = viewer.add_image(shape(discs), **settings)
    if order is not None:
        viewer.dims.order = order
    controller.prompting.create_layers()
    plane = controller.plane
    (world,) = plane.in_world([CENTRES[2]])
    points = controller.prompting.points
    points.add(points.world_to_data(world))
    controller.prompting.accept()
    labels = controller.target.layer
    assert labels.get_value(world, world=True) == 1
    assert label_sizes(labels) == [pytest.approx(AREA, rel=0.2)]
    np.testing.assert_allclose(labels.affine.affine_matrix, image.affine.affine_matrix)
    np.testing.assert_allclose(labels.scale, image.scale)
    assert labels.units == image.units


def test_everything_lands_where_it_is(viewer, controller, discs):
    viewer.add_image(as_stack(discs), **STACK)
    viewer.dims.set_current_step((0, 1), (1, 2))
    proposing = controller.proposing
    proposing.settings = proposing.settings.changed(confidence=0.1)
    proposing.run()
    proposing.accept()
    data = controller.target.layer.data
    assert all(data[1, 2][centre] for centre in CENTRES)
    assert not data[0].any()


def test_what_everything_measured_is_in_the_features(viewer, controller, discs):
    viewer.add_image(discs)
    controller.proposing.run()
    controller.proposing.accept()
    layer = controller.target.layer
    features = layer.features.set_index("index")
    assert features["area"].to_dict() == dict(enumerate(label_sizes(layer), 1))
    assert features["mean_intensity"].between(150, 255).all()


def test_thresholds_moved_during_a_run_hold_for_its_result(viewer, discs):
    class MovesASlider(Inline):
        def submit(self, kind, request, **callbacks):
            if kind == "everything":
                controller.proposing.settings = controller.proposing.settings.changed(min_score=1)
            super().submit(kind, request, **callbacks)

    viewer.add_image(discs)
    controller = Controller(viewer, MovesASlider(), MovesASlider())
    controller.proposing.run()
    assert len(controller.here.session.found) == 0
    controller.close()


def test_a_brush_stroke_outlives_undo(prompting, controller):
    prompting.points.add(CENTRES[0])
    prompting.accept()
    layer = controller.target.layer
    stroke = (np.array([CENTRES[0][0]]), np.array([CENTRES[0][1]]))
    layer.data_setitem(stroke, 7)
    controller.accepting.undo()
    assert layer.data[CENTRES[0]] == 7
    assert np.count_nonzero(layer.data) == 1
    controller.accepting.redo()
    assert layer.data[CENTRES[0]] == 7
    assert np.count_nonzero(layer.data == 1) > 1000


def test_what_napari_undoes_is_undone(prompting, controller):
    for centre in CENTRES[:2]:
        prompting.points.add(centre)
        prompting.accept()
    session, layer = controller.here.session, controller.target.layer
    layer.undo()
    assert [accepted.labels for accepted in session.log] == [(1,)]
    layer.redo()
    assert [accepted.labels for accepted in session.log] == [(1,), (2,)]
    layer.undo()
    controller.accepting.undo()
    assert not layer.data.any()
    assert session.log == ()


def test_each_layer_keeps_its_own_accepts(prompting, controller, viewer):
    prompting.points.add(CENTRES[0])
    prompting.accept()
    first = controller.target.layer
    second = viewer.add_labels(np.zeros_like(first.data))
    controller.accepting.write_to(second)
    prompting.points.add(CENTRES[1])
    prompting.accept()
    controller.accepting.undo()
    controller.accepting.undo()
    assert not first.data.any()
    assert not second.data.any()
    controller.accepting.redo()
    assert first.data.any()


def test_live_off_waits_for_the_button(prompting, controller):
    controller.set_preferences(live=False)
    prompting.points.add(CENTRES[0])
    assert controller.here is None or not controller.here.session.masks
    prompting.update(even_if_not_live=True)
    prompting.update(even_if_not_live=True)
    assert controller.here.session.masks


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


def test_prompts_are_decoded_in_as_much_as_is_wanted(viewer, controller, discs):
    viewer.add_image(discs)
    controller.set_preferences(field="128")
    controller.prompting.create_layers()
    controller.prompting.points.add(CENTRES[0])
    session = controller.here.session
    assert session.candidates.frame.seen_shape == (128, 128)
    masks = session.masks
    controller.set_preferences(field="plane")
    assert session.candidates.frame.seen_shape == (200, 200)
    assert session.masks != masks


def test_a_small_object_is_shown_at_once_and_then_closer(viewer, controller, discs):
    viewer.add_image(np.tile(discs, (3, 3)))
    controller.prompting.create_layers()
    shown = []
    controller.prompting.candidates_changed.connect(
        lambda: shown.append(controller.here and controller.here.session.candidates)
    )
    controller.prompting.points.add((240, 245))
    windows = [batch.frame.window for batch in shown if batch is not None]
    assert windows[0] is None
    assert windows[-1][2] - windows[-1][0] == 256
    (mask,) = controller.here.session.masks
    preview = viewer.layers["MobileSAM preview"].data
    assert np.count_nonzero(preview) == mask.area == pytest.approx(AREA, rel=0.2)


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


def test_another_side_of_the_input_loads_the_model_anew(viewer, discs, monkeypatch):
    asked = []

    def run(work, progress):
        asked.append(work.input_size)
        return ORIGINAL(work, progress)

    monkeypatch.setattr(LoadModel, "run", run)
    controller = Controller(viewer, Inline(), Inline())
    viewer.add_image(discs)
    controller.embed()
    controller.set_preferences(input_size="256", cache_gigabytes=0)
    assert controller.model is None
    controller.embed()
    assert asked == [None, 256]
    assert controller.model.input_size == 256
    assert controller.here.session.embedding.frame.input_size == 256
    controller.close()
