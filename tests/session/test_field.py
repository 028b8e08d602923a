"""Prompts in planes that are too large to be seen whole."""

import json

import numpy as np
import pytest
import zarr

import napari_mobilesam as mobilesam
from napari_mobilesam.core.drawn import BoxPrompt, PointPrompt
from napari_mobilesam.core.errors import ImageError, PromptError, SettingsError
from napari_mobilesam.scripting import open_session, replay_session

CENTRES = [(1500, 1700), (1540, 1700), (2300, 300)]
RADIUS = 9


@pytest.fixture(scope="module")
def slide():
    """A plane of 2600 x 2200 pixels with three small discs."""
    image = np.random.default_rng(0).normal(400, 20, (2600, 2200)).astype(np.float32)
    for centre in CENTRES:
        image[disk(centre)] += 900
    return image.astype(np.uint16)


def disk(centre):
    rows, columns = np.ogrid[:2600, :2200]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < RADIUS**2


def iou(mask, centre):
    full, true = mask.to_array((2600, 2200)), disk(centre)
    return np.count_nonzero(full & true) / np.count_nonzero(full | true)


def box_around(centre):
    return tuple(side + sign * RADIUS for sign in (-1, 1) for side in centre)


@pytest.fixture(scope="module")
def embedding(micro, slide):
    return micro.embed(slide)


@pytest.fixture
def session(micro, slide, embedding):
    session = open_session(None, slide, micro, journal=False)
    session._embeddings.keep((), embedding, ())
    return session


def test_a_small_object_of_a_slide_is_found(micro, embedding, session):
    whole = micro.predict(embedding, points=[CENTRES[0]]).crop(0)
    session.add_points([CENTRES[0]])
    assert iou(session.masks[0], CENTRES[0]) > 0.7 > iou(whole, CENTRES[0])


def test_a_window_is_looked_at_as_if_it_were_cut_out(micro, slide):
    window = (1024, 1024, 2048, 2048)
    limits = (300.0, 1300.0)
    seen = micro.embed(slide, limits=limits, window=window)
    cut = micro.embed(slide[1024:2048, 1024:2048], limits=limits)
    np.testing.assert_array_equal(seen.features, cut.features)
    mask = micro.predict(seen, box=box_around(CENTRES[0])).crop(0)
    box = np.subtract(box_around(CENTRES[0]), 1024)
    other = micro.predict(cut, box=box).crop(0)
    assert (mask.y0, mask.x0) == (other.y0 + 1024, other.x0 + 1024)
    np.testing.assert_array_equal(mask.pixels, other.pixels)


def test_of_a_lazy_plane_only_the_window_is_read(micro, slide, tmp_path):
    stored = zarr.create_array(tmp_path / "a", data=slide, chunks=(650, 1100))
    for chunk in (tmp_path / "a" / "c" / "0").iterdir():
        chunk.write_bytes(b"unreadable")
    window = (1300, 1100, 1940, 1740)
    seen = micro.embed(stored, limits=(300, 1300), window=window)
    same = micro.embed(slide, limits=(300, 1300), window=window)
    np.testing.assert_array_equal(seen.features, same.features)


def test_limits_are_those_of_the_plane(micro, slide):
    seen = micro.embed(slide, window=(0, 0, 512, 512))
    limits = tuple(np.percentile(slide, (0.1, 99.9)))
    same = micro.embed(slide, limits=limits, window=(0, 0, 512, 512))
    np.testing.assert_allclose(seen.features, same.features, atol=0.02)


def test_what_a_window_cannot_do_is_said(micro, slide):
    seen = micro.embed(slide, window=(0, 0, 512, 512))
    with pytest.raises(PromptError, match="outside of what was embedded"):
        micro.predict(seen, points=[CENTRES[0]])
    with pytest.raises(PromptError, match="outside of what was embedded"):
        micro.predict_boxes(seen, [(500, 500, 520, 520)])
    with pytest.raises(ImageError, match="only a part"):
        micro.everything(slide, embedding=seen)
    for window in ((0, 0, 2601, 10), (-1, 0, 10, 10), (5, 5, 5, 10)):
        with pytest.raises(SettingsError, match="window"):
            micro.embed(slide, window=window)


def test_a_correction_stays_in_its_window(session):
    session.add_points([CENTRES[0]])
    window = session.candidates.frame.window
    session.add_points([(1520, 1700)], [0])
    assert session.candidates.frame.window == window
    assert len(session._decoded.steps) == 2
    session.add_points([CENTRES[2]])
    assert session.candidates.frame.window is None
    assert len(session._decoded.steps) == 1


def test_a_window_is_embedded_once(session):
    session.use_field(1024)
    session.set_prompts([PointPrompt(CENTRES[0])])
    first = session._decoded.embedding
    session.clear_prompts()
    session.set_prompts([PointPrompt(CENTRES[1])])
    assert session._decoded.embedding is first


def test_another_field_is_used_at_once(session):
    session.add_points([CENTRES[0]])
    session.use_field(256)
    session.set_prompts(session.drawn)
    y0, x0, y1, x1 = session.candidates.frame.window
    assert (y1 - y0, x1 - x0) == (256, 256)
    with pytest.raises(SettingsError, match="field"):
        session.use_field(1)


def test_what_was_found_in_windows_is_found_again(session, slide, micro, tmp_path):
    session.add_points([CENTRES[0]])
    session.add_points([(1515, 1700)], [0])
    session.step_candidate()
    session.accept()
    session.set_prompts([BoxPrompt(box_around(CENTRES[1])), BoxPrompt((10, 10, 90, 90))], "many")
    session.set_prompts([BoxPrompt(box_around(CENTRES[1]))], "many")
    session.accept()
    session.use_field("plane")
    session.set_prompts([BoxPrompt(box_around(CENTRES[2]))])
    session.accept()
    path = tmp_path / "slide.mobilesam.json"
    session.save(path)
    np.testing.assert_array_equal(replay_session(path, slide, model=micro), session.labels.array)
    content = json.loads(path.read_text())
    assert {part["field"] for part in content["conditions"]} == {"auto", "plane"}


def test_older_sessions_saw_planes_whole(session, slide, micro, tmp_path):
    session.use_field("plane")
    session.add_box(box_around(CENTRES[0]))
    session.accept()
    path = tmp_path / "old.mobilesam.json"
    session.save(path)
    content = json.loads(path.read_text())
    for conditions in content["conditions"]:
        del conditions["field"]
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(replay_session(path, slide, model=micro), session.labels.array)


def test_hovering_looks_at_the_window_too(session):
    request = session.prepare_hover(CENTRES[2])
    session.apply(request.run(lambda _done, _total: None))
    assert iou(session.hovered, CENTRES[2]) > 0.8


def test_a_window_comes_from_the_cache(tmp_path, slide):
    sam = mobilesam.load_model("micro", device="cpu", cache=tmp_path)
    window = (1024, 1024, 1536, 1536)
    first = sam.embed(slide, window=window)
    again = sam.embed(slide, window=window)
    np.testing.assert_array_equal(first.features, again.features)
    assert len(list(tmp_path.rglob("zarr.json"))) == 1


def test_what_everything_mode_magnified_is_found_again(session, slide, micro, tmp_path):
    found = session.everything(confidence=0.1)
    missing = [c for c in CENTRES if not any(iou(mask, c) > 0.7 for mask in found.masks)]
    boxes = [*found.candidates.proposals_yxyx, *map(box_around, missing), (1000, 600, 1012, 612)]
    request = session.prepare_redecode(np.array(boxes))
    session.apply(request.run(lambda _done, _total: None))
    proposals = session.found
    for centre in CENTRES:
        assert max(iou(mask, centre) for mask in proposals.masks) > 0.7
    session.accept_everything()
    path = tmp_path / "a.mobilesam.json"
    session.save(path)
    np.testing.assert_array_equal(replay_session(path, slide, model=micro), session.labels.array)
