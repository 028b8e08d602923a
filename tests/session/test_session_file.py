import json
from contextlib import nullcontext

import numpy as np
import pytest

import napari_mobilesam as mobilesam
from napari_mobilesam.core.drawn import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PolygonPrompt,
    ScribblePrompt,
)
from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.session.planes import ArrayLabels, ArraySource, shown_plane
from napari_mobilesam.session.session import Session


@pytest.fixture(scope="module")
def stack():
    rows, columns = np.mgrid[:120, :180]
    image = np.random.default_rng(0).normal(30, 4, (2, 120, 180))
    for y, x in ((30, 30), (30, 90), (90, 90), (90, 150)):
        image[:, (rows - y) ** 2 + (columns - x) ** 2 < 15**2] += 150
    return image


def run(request):
    return request.run(lambda _done, _total: None)


@pytest.fixture(scope="module")
def saved(micro, stack, tmp_path_factory):
    """A session in which everything that can be done was done, and its file."""
    session = Session(micro, ArraySource(stack, gamma=0.8), ArrayLabels(stack.shape, np.uint16))
    session.go_to((1,))
    session.add_points([(30, 30)])
    session.step_candidate()
    session.add_points([(30, 60)], [0])
    session.accept()
    triangle = PolygonPrompt(np.array([(15.0, 90), (45, 75), (45, 105)]))
    line = ScribblePrompt(np.array([(85.0, 85), (95, 95)]))
    session.set_prompts([triangle, line, PointPrompt((60, 60), False)], "many")
    session.accept(taken="replace")
    session.add_box((70, 130, 110, 170))
    session.undo()
    session.redo()
    session.accept(target="selected", selected=40)
    session.set_prompts([MaskPrompt(mask_of(session, 40))])
    session.accept(target="replace")
    session.go_to((0,))
    session.everything(min_area=10, confidence=0.9, top_up=True)
    session.accept_everything()
    found = session.everything(min_area=10)
    boxes = np.concatenate([found.candidates.proposals_yxyx[1:], [[10.0, 130, 50, 170]]])
    session.apply(run(session.prepare_redecode(boxes)))
    session.refilter(min_score=0.3)
    session.accept_everything()
    session.everything(sampler="grid", points_per_side=5, grid_min_score=0.5, min_area=10)
    session.accept_everything(taken="replace")
    session.set_prompts([BoxPrompt((1, 1, 60, 60))])
    session.accept()
    session.undo()
    path = tmp_path_factory.mktemp("session") / "work.mobilesam.json"
    session.save(path)
    return session, path


def mask_of(session, label):
    from napari_mobilesam.core.masks import CroppedMask

    return CroppedMask(0, 0, session.labels.read(session.key) == label).trim()


def test_a_replay_is_equal_bit_for_bit(saved, stack):
    session, path = saved
    assert len(np.unique(session.labels.array)) > 6
    labels = mobilesam.replay_session(path, stack)
    np.testing.assert_array_equal(labels, session.labels.array)


@pytest.fixture
def session(micro, stack):
    return Session(micro, ArraySource(stack[0]), ArrayLabels(stack[0].shape))


def replayed(session, image, tmp_path, **changes):
    """Labels of a replay, after single fields of the first accept were changed in the file."""
    path = tmp_path / "a.mobilesam.json"
    session.save(path)
    content = json.loads(path.read_text())
    for where, change in changes.items():
        accepted = content["accepted"][0]
        (accepted["origin"] if where == "origin" else accepted).update(change)
    path.write_text(json.dumps(content))
    return mobilesam.replay_session(path, image)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_replay_computes_as_it_was_computed_then(stack, tmp_path, precision):
    model = mobilesam.load_model("micro", device="cpu", input_size=256, precision=precision)
    session = Session(model, ArraySource(stack[0]), ArrayLabels(stack[0].shape))
    for centre in ((30, 30), (30, 90), (90, 90)):
        session.add_points([centre])
        session.accept()
    np.testing.assert_array_equal(replayed(session, stack[0], tmp_path), session.labels.array)


@pytest.mark.parametrize("arithmetic", ["torch float16 abacus", "torch int8 cpu", "nonsense", ""])
def test_a_replay_warns_where_it_cannot_compute_as_then(session, stack, tmp_path, arithmetic):
    session.add_points([(30, 30)])
    session.accept()
    path = tmp_path / "a.mobilesam.json"
    session.save(path)
    content = json.loads(path.read_text())
    content["conditions"][0]["arithmetic"] = arithmetic
    path.write_text(json.dumps(content))
    expected = pytest.warns(RuntimeWarning, match="single pixels") if arithmetic else nullcontext()
    with expected:
        mobilesam.replay_session(path, stack[0])


def test_two_channels_are_each_stretched_by_themselves_and_replayed(micro, stack, tmp_path):
    channels = np.stack([stack[0], 1000 * stack[0][:, ::-1], stack[0]], axis=-1)
    source = ArraySource(channels, channels=(0, 1))
    red, green, blue = np.moveaxis(shown_plane(source, ()), -1, 0)
    np.testing.assert_allclose(red.mean(), green.mean(), atol=1)
    assert not blue.any()
    session = Session(micro, source, ArrayLabels(source.label_shape))
    session.add_points([(30, 30)])
    session.accept()
    np.testing.assert_array_equal(replayed(session, channels, tmp_path), session.labels.array)


def test_a_corrected_scribble_is_replayed(session, stack, tmp_path):
    session.set_prompts([ScribblePrompt(np.array([(25.0, 85), (35, 95)]))])
    session.step_candidate()
    session.add_points([(30, 60)], [0])
    session.accept()
    np.testing.assert_array_equal(replayed(session, stack[0], tmp_path), session.labels.array)


def test_what_was_accepted_before_a_change_is_replayed_as_it_was(session, stack, tmp_path):
    session.add_points([(30, 30)])
    session.accept()
    session.use_source(ArraySource(stack[0], limits=(0, 60), gamma=2.0))
    session.add_points([(30, 90)])
    session.step_candidate()
    session.accept()
    session.use_model(mobilesam.load_model("micro", device="cpu", input_size=256))
    session.add_points([(90, 90)])
    session.accept()
    np.testing.assert_array_equal(replayed(session, stack[0], tmp_path), session.labels.array)


@pytest.mark.parametrize(
    "change",
    [
        {"key": [0, 0, 0]},
        {"conditions": 7},
        {"target": "selected", "selected": -5},
        {"target": "selected", "selected": 0},
        {"next_label": -3},
        {"next_label": 2**80},
    ],
)
def test_decisions_that_cannot_be_are_refused(session, stack, tmp_path, change):
    session.add_box((13, 13, 47, 47))
    session.accept()
    with pytest.raises(mobilesam.MobileSAMError):
        replayed(session, stack[0], tmp_path, accepted=change)


@pytest.mark.parametrize(
    "change",
    [
        {"kept": [999]},
        {"kept": [-1]},
        {"batches": []},
        {"batches": [{"boxes": [[1, 1, 20, 20]], "confidence": []}]},
    ],
)
def test_proposals_that_cannot_be_are_refused(session, stack, tmp_path, change):
    session.everything(min_area=10)
    session.accept_everything()
    with pytest.raises(mobilesam.MobileSAMError):
        replayed(session, stack[0], tmp_path, origin=change)


def test_a_file_holds_no_pixels_and_reads_back_to_itself(saved, stack, micro, tmp_path):
    _, path = saved
    from napari_mobilesam.session.session_file import replay

    again = tmp_path / "again.mobilesam.json"
    replay(path, stack, model=micro).save(again)
    assert json.loads(again.read_text()) == json.loads(path.read_text())
    assert path.stat().st_size < 200_000


def test_another_image_is_refused(saved, stack):
    with pytest.raises(FileFormatError, match="another image"):
        mobilesam.replay_session(saved[1], stack + 1)
    with pytest.raises(FileFormatError, match="another image"):
        mobilesam.replay_session(saved[1], stack[0])


def test_other_weights_are_refused_unless_they_are_wanted(saved, stack, micro, tmp_path):
    content = json.loads(saved[1].read_text())
    content["conditions"][0]["weights"][0][1] = "0" * 64
    path = tmp_path / "old.mobilesam.json"
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match="other weights"):
        mobilesam.replay_session(path, stack)
    assert mobilesam.replay_session(path, stack, model=micro).any()


@pytest.mark.parametrize(
    "damage",
    [
        lambda _content: "",
        lambda content: content[: len(content) // 2],
        lambda content: content.replace('"version": 1', '"version": 99'),
        lambda content: content.replace('"kind": "box"', '"kind": "pickle"'),
        lambda content: content.replace('"accepted"', '"accepted_"'),
        lambda _content: "[" * 100_000,
        lambda content: content.replace("30.0", "9e29"),
    ],
)
def test_damaged_files_say_what_is_wrong(saved, stack, tmp_path, damage):
    path = tmp_path / "damaged.mobilesam.json"
    content = saved[1].read_text().replace('"version":1', '"version": 1')
    path.write_text(damage(content.replace('"kind":"point"', '"kind": "box"')))
    with pytest.raises(FileFormatError):
        mobilesam.replay_session(path, stack)


def test_a_missing_file_is_named(stack, tmp_path):
    with pytest.raises(FileFormatError, match=r"none\.mobilesam\.json"):
        mobilesam.replay_session(tmp_path / "none.mobilesam.json", stack)


def test_a_session_without_a_viewer(stack, micro):
    session = mobilesam.open_session(None, stack[0], micro)
    session.add_box((13, 13, 47, 47))
    assert session.accept() == (1,)
    assert session.labels.array[30, 30] == 1


def test_what_was_made_with_a_cache_is_replayed_with_rounded_embeddings(stack, tmp_path):
    cached = mobilesam.load_model("micro", device="cpu", input_size=256, cache=tmp_path / "cache")
    session = Session(cached, ArraySource(stack[0]), ArrayLabels(stack[0].shape))
    session.embed()
    session.add_points([(30, 30)])
    session.accept()
    path = tmp_path / "a.mobilesam.json"
    session.save(path)
    assert json.loads(path.read_text())["conditions"][0]["rounded"]
    np.testing.assert_array_equal(mobilesam.replay_session(path, stack[0]), session.labels.array)
