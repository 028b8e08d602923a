"""Small objects are looked at closer."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_mobilesam.api import MobileSAM
from napari_mobilesam.core.drawn import BoxPrompt, PointPrompt
from napari_mobilesam.core.errors import FileFormatError, ImageError, PromptError
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.inference.closer import decode_closer, decode_each
from napari_mobilesam.scripting import open_session, replay_session

CENTRES = [(300, 320), (330, 340), (620, 130)]
RADII = (9.0, 6.0)
SHAPE = (700, 720)


def ellipse(centre):
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    y, x = ((rows - centre[0]) / RADII[0], (columns - centre[1]) / RADII[1])
    return y**2 + x**2 < 1


@pytest.fixture(scope="module")
def image():
    """Three small bright ellipses in noise."""
    pixels = np.random.default_rng(1).normal(90, 12, SHAPE)
    for centre in CENTRES:
        pixels[ellipse(centre)] += 40
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def embedding(micro, image):
    return micro.embed(image)


@pytest.fixture
def session(micro, image, embedding):
    session = open_session(None, image, micro, journal=False)
    session._embeddings.keep((), embedding, ())
    return session


def iou(mask, centre):
    full, true = mask.to_array(SHAPE), ellipse(centre)
    return np.count_nonzero(full & true) / np.count_nonzero(full | true)


def run(session, request):
    return session.apply(request.run(lambda _done, _total: None))


def test_a_closer_look_shows_more(micro, image, embedding, session):
    whole = micro.predict(embedding, points=[CENTRES[0]]).crop(0)
    session.add_points([CENTRES[0]])
    y0, x0, y1, x1 = session.candidates.frame.window
    assert max(y1 - y0, x1 - x0) <= 128
    assert iou(session.masks[0], CENTRES[0]) > iou(whole, CENTRES[0])
    closely = micro.predict_closely(image, points=[CENTRES[0]], embedding=embedding)
    np.testing.assert_array_equal(closely.crop(0).pixels, session.masks[0].pixels)


def test_many_objects_are_looked_at_window_by_window(micro, image, embedding):
    windows = []

    def embed(window):
        windows.append(window)
        return micro.embed(image, window=window)

    prompts = [Prompts.create(SHAPE, points=[centre]) for centre in CENTRES]
    whole = decode_each(micro.engine, embedding, prompts, multimask=True)
    closer = decode_closer(micro.engine, embedding, embed, prompts, multimask=True)
    assert 1 < len(windows) == len(set(windows)) <= len(CENTRES)
    for centre, (masks, scores), (before, _) in zip(CENTRES, closer, whole, strict=True):
        assert len(masks) == len(scores) == 3
        assert list(scores) == sorted(scores, reverse=True)
        assert iou(masks[0], centre) > max(0.9, iou(before[0], centre))


def test_what_goes_on_from_a_mask_stays_where_it_was_decoded(micro, embedding):
    logits = micro.predict(embedding, points=[CENTRES[0]]).low_res_logits[0]
    prompts = [Prompts.create(SHAPE, points=[CENTRES[0]], mask_input=logits)]
    found = decode_closer(micro.engine, embedding, pytest.fail, prompts, multimask=False)
    assert len(found) == 1


def test_the_first_mask_is_there_before_the_closer_look(session):
    session.draw([PointPrompt(CENTRES[0])])
    run(session, session.prepare_decode())
    first = session.masks[0]
    assert session.candidates.frame.window is None
    closer = session.prepare_closer()
    assert run(session, closer)
    assert session.candidates.frame.window is not None
    assert session.masks[0] is not first
    assert session.prepare_closer() is None


def test_a_correction_stays_in_the_closer_look(session):
    session.add_points([CENTRES[0]])
    window = session.candidates.frame.window
    session.add_points([(CENTRES[0][0] + 14, CENTRES[0][1])], [0])
    assert session.candidates.frame.window == window
    assert [step.closer for step in session._decoded.steps] == [window, window]


@pytest.mark.parametrize("event", ["another point", "another candidate", "clear", "plane"])
def test_a_closer_look_that_comes_late_is_dropped(session, event):
    session.draw([PointPrompt(CENTRES[0])])
    run(session, session.prepare_decode())
    closer = session.prepare_closer()
    if event == "another point":
        session.draw([PointPrompt(CENTRES[0]), PointPrompt(CENTRES[1], False)])
        session.prepare_decode()
    elif event == "another candidate":
        session.step_candidate()
    elif event == "clear":
        session.clear_prompts()
    else:
        session._leave_plane()
    before = session.masks
    assert not run(session, closer)
    assert session.masks == before


def test_no_closer_look_where_none_is_wanted(micro, image, embedding):
    card = replace(micro.card, closer=False)
    slow = MobileSAM(card, micro.engine, micro.input_size, device="cpu")
    for model, field in ((slow, "auto"), (micro, "plane"), (micro, 512)):
        session = open_session(None, image, model, journal=False, field=field)
        session._embeddings.keep((), embedding, ())
        session.set_prompts([PointPrompt(CENTRES[0])])
        assert session._decoded.steps[-1].closer is None
    session = open_session(None, image, micro, journal=False)
    session._embeddings.keep((), embedding, ())
    session.set_prompts([PointPrompt(centre) for centre in CENTRES], "many")
    assert session.candidates.frame.window is None


def test_a_candidate_that_was_chosen_is_not_looked_at_again(session):
    session.draw([PointPrompt(CENTRES[0])])
    run(session, session.prepare_decode())
    session.step_candidate(2)
    run(session, session.prepare_decode())
    assert session.candidate_index == 2
    assert session.prepare_closer() is None
    session.draw([PointPrompt(CENTRES[0]), PointPrompt((314, 320), False)])
    run(session, session.prepare_decode())
    assert session.prepare_closer() is None


def test_a_closer_look_is_at_what_was_decoded(session):
    """Where prompts are not decoded at once, others may be drawn meanwhile."""
    session.draw([PointPrompt(CENTRES[0])])
    run(session, session.prepare_decode())
    session.draw([PointPrompt(CENTRES[0]), PointPrompt(CENTRES[2])], "many")
    assert run(session, session.prepare_closer())
    assert session._decoded.steps[-1].drawn == (PointPrompt(CENTRES[0]),)
    assert iou(session.masks[0], CENTRES[0]) > 0.8


def test_a_point_may_lie_in_the_outer_half_of_the_first_pixels(micro):
    pixels = np.random.default_rng(1).normal(90, 12, (700, 720))
    pixels[:14, 300:320] += 60
    session = open_session(None, np.clip(pixels, 0, 255).astype(np.uint8), micro, journal=False)
    session.add_points([(-0.3, 310)])
    assert session.candidates.frame.window is not None
    assert session.masks[0].area


def test_closer_looks_are_repeated_as_they_were(session, micro, image, tmp_path):
    session.add_points([CENTRES[0]])
    session.add_points([(CENTRES[0][0] + 14, CENTRES[0][1])], [0])
    session.step_candidate()
    session.accept()
    session.draw([PointPrompt(CENTRES[1])])
    run(session, session.prepare_decode())
    session.accept()
    session.set_prompts([BoxPrompt((611, 124, 629, 136))])
    session.accept()
    path = tmp_path / "a.mobilesam.json"
    session.save(path)
    np.testing.assert_array_equal(replay_session(path, image, model=micro), session.labels.array)
    steps = [accept["origin"]["steps"] for accept in json.loads(path.read_text())["accepted"]]
    assert [bool(step[0]["closer"]) for step in steps] == [True, False, True]


def test_a_window_that_cannot_be_is_refused(session, micro, image, tmp_path):
    session.add_points([CENTRES[0]])
    session.accept()
    path = tmp_path / "a.mobilesam.json"
    session.save(path)
    good = path.read_text()
    for window in ([-5, 0, 90, 90], [0, 0, 0, 90], [0, 0, 90, 721], [0, 0, 10**12, 10**12]):
        content = json.loads(good)
        content["accepted"][0]["origin"]["steps"][0]["closer"] = window
        path.write_text(json.dumps(content))
        with pytest.raises((PromptError, FileFormatError)):
            replay_session(path, image, model=micro)


def test_the_embedding_must_be_of_the_image(micro, image, embedding):
    with pytest.raises(ImageError, match="not of this image"):
        micro.predict_closely(image[:200], points=[(5, 5)], embedding=embedding)
    with pytest.raises(PromptError, match="no prompt"):
        micro.predict_closely(image, embedding=embedding)
