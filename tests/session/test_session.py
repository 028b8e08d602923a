import numpy as np
import pytest
import zarr

from napari_mobilesam.core.drawn import BoxPrompt, MaskPrompt, PointPrompt
from napari_mobilesam.core.errors import ImageError, LabelsFullError, PromptError, SettingsError
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.settings import FilterSettings
from napari_mobilesam.scripting import open_session, replay_session
from napari_mobilesam.session.embeddings import KEPT
from napari_mobilesam.session.planes import ArrayLabels, ArraySource
from napari_mobilesam.session.requests import Embedded, Ticket
from napari_mobilesam.session.session import Session

CENTRES = [(30 + 60 * y, 30 + 60 * x) for y in range(2) for x in range(3)]
SETTINGS = FilterSettings(min_area=10, max_overlap=0.5)


@pytest.fixture(scope="module")
def image():
    rows, columns = np.mgrid[:120, :180]
    image = np.random.default_rng(0).normal(30, 4, (120, 180))
    for y, x in CENTRES:
        image[(rows - y) ** 2 + (columns - x) ** 2 < 15**2] += 150
    return image


@pytest.fixture(scope="module")
def embedding(micro, image):
    session = Session(micro, ArraySource(image), ArrayLabels(image.shape))
    return session.embed()


@pytest.fixture
def session(micro, image, embedding):
    """A session on an image that is embedded already."""
    session = Session(micro, ArraySource(image), ArrayLabels(image.shape))
    session._embeddings.keep((), embedding, ())
    return session


def run(request):
    return request.run(lambda _done, _total: None)


def disk_iou(mask, centre, shape=(120, 180)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    disk = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 15**2
    full = mask.to_array(shape)
    return np.count_nonzero(full & disk) / np.count_nonzero(full | disk)


def test_a_box_becomes_a_label_that_can_be_undone(session):
    batch = session.add_box((13, 13, 47, 47))
    assert len(batch) == 3
    assert disk_iou(session.masks[0], CENTRES[0]) > 0.8
    written = session.masks[0].to_array((120, 180))
    assert session.accept() == (1,)
    np.testing.assert_array_equal(session.labels.array == 1, written)
    assert session.masks == ()
    assert session.drawn == ()
    assert session.features["index"].tolist() == [1]
    session.undo()
    assert not session.labels.array.any()
    assert not len(session.features)
    session.redo()
    np.testing.assert_array_equal(session.labels.array == 1, written)
    assert session.features["source"].tolist() == ["prompts"]


def test_what_is_accepted_after_an_undo_is_one_step(session, micro, image, tmp_path):
    box = BoxPrompt((13, 13, 47, 47))
    session.set_prompts([box])
    session.accept()
    session.undo()
    session.set_prompts([box])
    session.accept()
    assert len(session.log) == 1
    session.save(tmp_path / "a.mobilesam.json")
    again = replay_session(tmp_path / "a.mobilesam.json", image, model=micro)
    np.testing.assert_array_equal(again, session.labels.array)


def test_redo_brings_back_what_was_undone_last(session):
    session.set_prompts([BoxPrompt((24, 24, 36, 36))])
    session.accept()
    smaller = session.labels.array.copy()
    session.undo()
    session.set_prompts([BoxPrompt((13, 13, 47, 47))])
    session.accept()
    larger = session.labels.array.copy()
    assert (larger[smaller == 1] == 1).all()
    session.undo()
    assert not session.labels.array.any()
    session.redo()
    np.testing.assert_array_equal(session.labels.array, larger)


def test_stepping_through_candidates_goes_round(session):
    session.add_points([CENTRES[1]])
    first = session.masks[0]
    session.step_candidate()
    assert session.masks[0] is not first
    session.step_candidate(-1)
    assert session.masks[0] is first
    session.step_candidate(-1)
    assert session.candidate_index == 2


def test_a_correction_goes_on_from_the_chosen_candidate(session, micro):
    session.add_points([CENTRES[1]])
    session.step_candidate()
    logits = session.candidates.low_res_logits[1]
    batch = session.add_points([(30, 120)], [0])
    expected = micro.predict(
        session.embedding,
        points=[CENTRES[1], (30, 120)],
        point_labels=[1, 0],
        mask_input=logits,
    )
    np.testing.assert_array_equal(batch.low_res_logits, expected.low_res_logits)


def test_moving_a_prompt_starts_anew(session, micro):
    session.add_points([CENTRES[1]])
    batch = session.set_prompts([PointPrompt(CENTRES[2]), PointPrompt((60, 60), False)])
    expected = micro.predict(session.embedding, points=[CENTRES[2], (60, 60)], point_labels=[1, 0])
    np.testing.assert_array_equal(batch.low_res_logits, expected.low_res_logits)


def test_many_objects_are_many_labels(session):
    drawn = [BoxPrompt((y - 17, x - 17, y + 17, x + 17)) for y, x in CENTRES[:4]]
    session.set_prompts([*drawn, PointPrompt((60, 60), positive=False)], "many")
    assert session.candidate_scores == ()
    assert session.accept() == (1, 2, 3, 4)
    for label, centre in enumerate(CENTRES[:4], start=1):
        assert session.labels.array[centre] == label
    assert session.recall(2) == (drawn[1], PointPrompt((60, 60), positive=False))
    assert session.features["prompts"].tolist() == [2] * 4


def test_an_improved_object_replaces_its_label(session):
    session.add_box((13, 13, 47, 47))
    session.accept()
    session.add_box((13, 73, 47, 107))
    session.accept()
    recalled = session.recall(1)
    session.set_prompts([*recalled, PointPrompt((30, 30))])
    assert session.accept(target="replace") == (1,)
    assert session.features["prompts"].tolist() == [2, 1]
    assert set(np.unique(session.labels.array)) == {0, 1, 2}


def test_what_others_have_labelled_stays(session):
    session.labels.array[20:40, 20:40] = 9
    session.add_box((13, 13, 47, 47))
    assert session.accept() == (10,)
    assert (session.labels.array[20:40, 20:40] == 9).all()


def test_labels_become_prompts(session):
    session.add_box((13, 13, 47, 47))
    mask = session.masks[0]
    session.set_prompts([MaskPrompt(mask)])
    assert disk_iou(session.masks[0], CENTRES[0]) > 0.7


def test_stale_results_are_dropped(session):
    session.draw([PointPrompt(CENTRES[0])])
    early = session.prepare_decode()
    session.draw([PointPrompt(CENTRES[1])])
    late = session.prepare_decode()
    assert session.apply(run(late))
    assert not session.apply(run(early))
    assert session.masks[0].to_array((120, 180))[CENTRES[1]]
    hover, embed = session.prepare_hover(CENTRES[0]), session.prepare_embed()
    session.use_source(ArraySource(np.zeros((120, 180))))
    assert not session.apply(run(hover))
    assert not session.apply(run(embed))
    assert not session.is_embedded()


def test_the_same_prompts_again_are_the_same_mask(session):
    session.add_points([CENTRES[1]])
    session.step_candidate()
    session.add_points([(30, 120)], [0])
    session.step_candidate()
    logits, steps = session.candidates.low_res_logits, session._decoded.steps
    session.draw(session.drawn)
    session.apply(run(session.prepare_decode()))
    np.testing.assert_array_equal(session.candidates.low_res_logits, logits)
    assert session.candidate_index == 1
    assert len(session._decoded.steps) == len(steps)


def test_embedding_neighbours_does_not_push_out_the_current_plane(session, embedding):
    for index in range(2 * KEPT):
        session.apply(Embedded(Ticket((index,), "embed", 0), embedding))
    assert session.is_embedded()
    assert sum(session.is_embedded((index,)) for index in range(2 * KEPT)) == KEPT - 1


def test_an_accept_that_would_change_nothing_is_no_step(session):
    session.labels.array[:] = 5
    session.add_box((13, 13, 47, 47))
    with pytest.raises(PromptError, match="no label would change"):
        session.accept()
    assert session.log == ()
    assert session.masks
    session.undo()
    assert (session.labels.array == 5).all()


def test_prompts_come_back_without_those_that_were_skipped(session):
    boxes = tuple(BoxPrompt((y - 17, x - 17, y + 17, x + 17)) for y, x in CENTRES[:2])
    session.set_prompts([PointPrompt((999.0, 0.0)), *boxes], "many")
    assert session.accept() == (1, 2)
    assert session.recall(1) == boxes[:1]
    session.set_prompts(boxes, "many")
    session.accept(target="selected", selected=4, taken="replace")
    assert session.recall(4) == boxes


def test_hovering_shows_a_mask_until_something_is_drawn(session):
    assert session.apply(run(session.prepare_hover(CENTRES[0])))
    assert session.hovered.area > 0
    session.draw([PointPrompt(CENTRES[0])])
    assert session.hovered is None


def test_what_cannot_be_used_is_said(session):
    assert session.set_prompts([PointPrompt((999, 0))]) is None
    assert "outside" in session.skipped[0]
    with pytest.raises(PromptError, match="no mask"):
        session.accept()


def test_a_full_label_image_is_left_alone(micro, image, embedding):
    labels = ArrayLabels(image.shape, np.uint8)
    labels.array[0, 0] = 255
    session = Session(micro, ArraySource(image), labels)
    session._embeddings.keep((), embedding, ())
    session.add_box((13, 13, 47, 47))
    with pytest.raises(LabelsFullError):
        session.accept()
    assert np.count_nonzero(labels.array) == 1
    assert session.masks


def test_everything_is_found_edited_filtered_and_accepted(session):
    found = session.everything(**SETTINGS.model_dump())
    assert len(found) == len(CENTRES)
    boxes = found.candidates.proposals_yxyx
    pool = session._found.pool

    edited = np.concatenate([boxes[1:], [[60.0, 60, 118, 118]]])
    session.apply(run(session.prepare_redecode(edited)))
    assert len(session.found.candidates) == len(edited)
    np.testing.assert_array_equal(session._found.pool.scores[: len(pool)], pool.scores)

    threshold = float(np.median(session.found.scores))
    fewer = session.refilter(min_score=threshold)
    assert 0 < len(fewer) < len(edited)
    labels = fewer.labels
    assert session.accept_everything() == tuple(range(1, len(fewer) + 1))
    np.testing.assert_array_equal(session.labels.array, labels)
    assert session.found is None
    assert set(session.features["source"]) == {"everything"}
    session.undo()
    assert not session.labels.array.any()


def test_the_newest_revision_has_all_changes(session):
    boxes = session.everything(**SETTINGS.model_dump()).candidates.proposals_yxyx
    edited = np.concatenate([boxes[1:], [[60.0, 60, 118, 118], [5.0, 5, 5, 9]]])
    redecode = session.prepare_redecode(edited)
    refilter = session.prepare_refilter(FilterSettings(min_score=0.1))
    assert not session.apply(run(redecode))
    assert session.apply(run(refilter))
    assert len(session.found.candidates) == len(boxes)
    assert session._found.settings.min_score == 0.1


def test_a_run_outlives_a_revision_but_not_the_reverse(session):
    session.everything(**SETTINGS.model_dump())
    again = session.prepare_everything(session._found.settings.changed(max_objects=2))
    assert session.apply(run(session.prepare_refilter(SETTINGS)))
    early = session.prepare_refilter(SETTINGS)
    assert session.apply(run(again))
    assert not session.apply(run(early))
    late = session.prepare_refilter(SETTINGS)
    session.accept_everything()
    assert not session.apply(run(late))
    assert session.found is None


def test_a_grid_keeps_all_masks_of_a_point(session):
    found = session.everything(
        sampler="grid", points_per_side=5, grid_min_score=0.1, grid_min_stability=0.2
    )
    points = found.candidates.proposals_yxyx
    assert len(np.unique(points, axis=0)) < len(points)
    session.apply(run(session.prepare_redecode(points)))
    np.testing.assert_array_equal(session.found.labels, found.labels)


def test_a_region_limits_where_everything_looks(session):
    found = session.everything(region=(0, 0, 120, 60), **SETTINGS.model_dump())
    assert len(found) == 2
    assert not found.labels[:, 70:].any()
    grid = session.everything(
        region=(0, 0, 60, 60), sampler="grid", points_per_side=12, grid_min_score=0.5
    )
    assert not grid.labels[:, 100:].any()


def test_planes_of_a_stack_have_their_own_embeddings_and_labels(micro, image):
    stack = np.stack([image, image[::-1]])
    session = Session(micro, ArraySource(stack), ArrayLabels(stack.shape))
    session.go_to((1,))
    session.add_box((13, 13, 47, 47))
    session.accept()
    assert not session.labels.array[0].any()
    assert session.labels.array[1].any()
    session.go_to((0,))
    assert not session.is_embedded()
    assert session.is_embedded((1,))
    assert session.candidates is None


def test_a_plane_across_the_stack(micro, image):
    stack = np.repeat(image[:, np.newaxis], 3, axis=1)
    session = Session(micro, ArraySource(stack), ArrayLabels(stack.shape))
    session.go_to((-1, 2))
    session.add_box((13, 13, 47, 47))
    session.accept()
    assert session.labels.array[30, 2, 30] == 1
    assert not session.labels.array[:, :2].any()


def test_colours_and_gamma_reach_the_model(micro, image):
    colour = np.stack([image, image, image], axis=-1)
    source = ArraySource(colour, gamma=0.5)
    assert source.label_shape == image.shape
    brightened = Session(micro, source, ArrayLabels(source.label_shape)).embed()
    plain = Session(micro, ArraySource(colour), ArrayLabels(image.shape)).embed()
    assert np.abs(brightened.features - plain.features).max() > 0.01


def test_labels_are_exported_with_what_is_known_about_them(session, tmp_path):
    session.add_box((13, 13, 47, 47))
    session.accept()
    session.export(tmp_path / "labels.tif")
    session.export(tmp_path / "labels.csv")
    assert (tmp_path / "labels.tif").stat().st_size
    assert "score" in (tmp_path / "labels.csv").read_text().splitlines()[0]


def test_planes_of_an_ome_zarr_are_annotated_as_those_of_an_array(micro, image, tmp_path):
    stored = np.stack([np.zeros_like(image), image])[np.newaxis].repeat(2, axis=0)
    group = zarr.create_group(tmp_path / "cells.zarr", zarr_format=2)
    group.create_array("0", data=stored, chunks=(1, 1, *image.shape))
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space"} for name in "yx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    with pytest.raises(ImageError, match="2 channels"):
        open_session(None, tmp_path / "cells.zarr", micro)
    arrays = []
    for given in (tmp_path / "cells.zarr", np.moveaxis(stored, 1, -1)):
        session = open_session(None, given, micro, channels=(1,))
        assert session.labels.array.shape == (2, *image.shape)
        session.go_to((1,))
        session.add_box((0, 0, *image.shape))
        session.accept()
        arrays.append(session.labels.array)
    np.testing.assert_array_equal(*arrays)
    session.save(tmp_path / "story.mobilesam.json")
    again = replay_session(tmp_path / "story.mobilesam.json", tmp_path / "cells.zarr", model=micro)
    np.testing.assert_array_equal(again, arrays[0])


def test_an_empty_mask_is_called_empty(session, monkeypatch):
    session.add_box((13, 13, 47, 47))
    nothing = CroppedMask(0, 0, np.zeros((2, 2), np.bool_))
    monkeypatch.setattr(type(session), "masks", property(lambda _: (nothing,)))
    with pytest.raises(PromptError, match="the mask is empty"):
        session.accept()
    assert session.log == ()


@pytest.mark.parametrize("key", [(), (2,), (0, 1), (-1, 500), (0, 0, 0)])
def test_a_plane_that_is_not_there_is_named(micro, image, key):
    session = Session(micro, ArraySource(np.stack([image] * 2)), ArrayLabels((2, *image.shape)))
    session.go_to(key)
    with pytest.raises(ImageError, match="no such plane") as caught:
        session.embed()
    assert "go_to" in str(caught.value)


def test_what_cannot_be_meant_is_refused(session):
    session.add_box((13, 13, 47, 47))
    with pytest.raises(SettingsError, match="no such target"):
        session.accept(target="nearest")
    with pytest.raises(SettingsError, match="no such taken"):
        session.accept(taken="leave")
    with pytest.raises(PromptError, match="do not match"):
        session.add_points([(30, 30)], [1, 0])
    assert session.accept() == (1,)
    assert session.undo() == (1,)
    assert session.undo() == ()
    assert session.redo() == (1,)
    assert session.redo() == ()
