"""Small objects of large planes, decoded in windows."""

from functools import partial

import numpy as np
import pytest

from napari_mobilesam.api import load_model
from napari_mobilesam.core.errors import CancelledError
from napari_mobilesam.core.geometry import ZOOM, InputFrame, side_for
from napari_mobilesam.evaluation.instances import score_instances
from napari_mobilesam.inference.detect import Proposals
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.inference.everything import decode_proposals
from napari_mobilesam.inference.magnify import LEAST_SIDE, decode_magnified, plan_views
from napari_mobilesam.training.synthetic import generate
from napari_mobilesam.training.validation import VALIDATION_SEED

SIZE = (512, 1024)


def frame_of(plane_shape, window=None):
    y0, x0, y1, x1 = window or (0, 0, *plane_shape)
    return InputFrame(plane_shape, side_for(SIZE, (y1 - y0, x1 - x0)), 4, window)


def boxes_at(centres, side):
    centres = np.asarray(centres, dtype=float)
    return np.concatenate([centres - side / 2, centres + side / 2], axis=1)


def views_of(plane_shape, boxes):
    return plan_views(frame_of(plane_shape), boxes, partial(frame_of, plane_shape))


def scattered(plane_shape, count, side):
    rng = np.random.default_rng(0)
    return boxes_at(rng.uniform(side, np.array(plane_shape) - side, (count, 2)), side)


@pytest.mark.parametrize("plane_shape", [(1024, 1024), (700, 2048), (4096, 3000)])
@pytest.mark.parametrize("side", [3, 9, 31, 60, 200])
def test_each_box_is_decoded_once_where_it_is_large_enough(plane_shape, side):
    boxes = scattered(plane_shape, 60, side)
    views = views_of(plane_shape, boxes)
    assert sorted(np.concatenate([view.boxes for view in views])) == list(range(60))
    for view in views:
        own, (y0, x0, y1, x1) = boxes[view.boxes], view.frame.seen
        assert (own >= (y0, x0, y0, x0)).all()
        assert (own <= (y1, x1, y1, x1)).all()
        scale = min(view.frame.scale_yx)
        assert side * scale >= LEAST_SIDE or scale >= ZOOM


def test_a_box_goes_no_deeper_than_it_must():
    plane_shape = (4096, 4096)
    sides = {side: views_of(plane_shape, scattered(plane_shape, 20, side)) for side in (140, 80, 9)}
    shown = {side: max(max(v.frame.seen_shape) for v in views) for side, views in sides.items()}
    assert shown[140] == 4096 > shown[80] > shown[9]
    assert len(sides[140]) == 1 < len(sides[80]) <= 4


def test_a_plane_that_is_shown_large_enough_is_not_cut():
    (view,) = views_of((700, 700), scattered((700, 700), 20, 4))
    assert view.frame.window is None


def test_a_long_thin_box_that_no_window_holds_stays_in_the_plane():
    boxes = np.array([(500.0, 100, 502, 900), (200.0, 200, 210, 210)])
    whole, window = views_of((1024, 1024), boxes)
    assert whole.frame.window is None
    assert whole.boxes.tolist() == [0]
    assert window.boxes.tolist() == [1]


def test_no_boxes_no_views():
    assert views_of((2048, 2048), np.zeros((0, 4))) == []


@pytest.fixture
def magnified(engine):
    """Decode boxes of a 1024 x 1024 plane; keeps the frames that were embedded."""
    plane_shape = (1024, 1024)
    frame = frame_of(plane_shape)
    whole = ImageEmbedding(np.zeros((256, 64, 64), np.float32), frame, "disk")

    def decode(boxes, progress=None):
        proposals = Proposals(boxes, np.linspace(0.9, 0.5, len(boxes), dtype=np.float32))

        def embed(frame):
            decode.embedded.append(frame.window)
            features = np.zeros((256, frame.input_size // 16, frame.input_size // 16), np.float32)
            return ImageEmbedding(features, frame, "disk")

        return decode_magnified(
            engine, whole, partial(frame_of, plane_shape), embed, proposals, progress
        )

    decode.embedded, decode.whole = [], whole
    return decode


def test_masks_keep_the_order_and_the_place_of_their_boxes(magnified):
    boxes = np.concatenate([scattered((1024, 1024), 12, side) for side in (50, 12)])
    boxes = boxes[np.random.default_rng(1).permutation(24)]
    found = magnified(boxes)
    np.testing.assert_array_equal(found.proposals_yxyx, boxes)
    assert (np.diff(found.confidence) < 0).all()
    for box, mask in zip(boxes, found.masks, strict=True):
        np.testing.assert_allclose(mask.box, box, atol=1.5)
    assert 1 <= len(magnified.embedded) <= 4


def test_large_objects_are_decoded_as_ever_and_nothing_more_is_embedded(magnified, engine):
    boxes = scattered((1024, 1024), 10, 50)
    found = magnified(boxes)
    plain = decode_proposals(engine, magnified.whole, Proposals(boxes, found.confidence))
    for mask, other in zip(found.masks, plain.masks, strict=True):
        assert (mask.y0, mask.x0) == (other.y0, other.x0)
        np.testing.assert_array_equal(mask.pixels, other.pixels)
    assert not magnified.embedded


def test_progress_goes_on_through_all_windows_and_cancels_before_the_next(magnified):
    boxes = boxes_at([(100, 100), (100, 900), (900, 100), (900, 900), (500, 500)], 10)
    reports = []
    magnified(boxes, lambda *report: reports.append(report))
    assert reports[0] == (0, 5)
    assert reports[-1] == (5, 5)
    assert reports == sorted(reports)
    embedded = len(magnified.embedded)

    def cancel(done, _total):
        if done >= 2:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        magnified(boxes, cancel)
    assert 0 < len(magnified.embedded) - embedded < embedded


def test_a_window_is_embedded_once_for_all_that_is_decoded_in_it(monkeypatch):
    sam = load_model("micro", input_size=256)
    rgb = np.zeros((512, 512, 3), np.uint8)
    embedding, encode, windows = sam.embed(rgb), sam.engine.encode, []
    monkeypatch.setattr(sam.engine, "encode", lambda *a: windows.append(a) or encode(*a))
    decode = sam._decoder(embedding, rgb)
    boxes = boxes_at([(100, 100), (400, 400)], 12)
    for _ in range(2):
        decode(Proposals(boxes, np.ones(2, np.float32)), None)
    assert len(windows) == len(plan_views(embedding.frame, boxes, partial(sam.frame, (512, 512))))


def test_small_objects_get_truer_outlines(micro):
    scene = generate("tissue", VALIDATION_SEED + 501, (1024, 1024))  # objects of about 13 pixels
    embedding = micro.embed(scene.image)
    whole, closer = (
        score_instances(
            [(scene.labels, micro.everything(scene.image, embedding=embedding, magnify=on).labels)]
        )
        for on in (False, True)
    )
    assert closer.average_precision[0.75] > whole.average_precision[0.75] + 0.2
    assert closer.average_precision[0.5] > whole.average_precision[0.5] - 0.01
