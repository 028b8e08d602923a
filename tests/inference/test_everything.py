import numpy as np
import pytest

from napari_mobilesam.core.errors import CancelledError
from napari_mobilesam.core.settings import GridSettings
from napari_mobilesam.inference.detect import Proposals
from napari_mobilesam.inference.everything import decode_grid, decode_proposals, grid_points


def test_every_proposal_becomes_a_candidate_in_its_order(engine, embedding):
    boxes = np.array([(5.0 * i, 10, 5 * i + 20, 30) for i in range(7)])
    confidence = np.linspace(0.9, 0.3, 7, dtype=np.float32)
    reports = []
    found = decode_proposals(
        engine, embedding, Proposals(boxes, confidence), lambda *report: reports.append(report)
    )
    np.testing.assert_array_equal(found.proposals_yxyx, boxes)
    np.testing.assert_array_equal(found.confidence, confidence)
    for box, mask in zip(boxes, found.masks, strict=True):
        np.testing.assert_allclose(mask.box, box, atol=2)
    assert reports == [(0, 7), (3, 7), (6, 7), (7, 7)]


def test_masks_stay_near_their_boxes(engine, embedding):
    thin = Proposals(np.array([(20.0, 0, 24, 90)]), np.ones(1, np.float32))
    y0, _, y1, _ = decode_proposals(engine, embedding, thin).masks[0].box
    assert y0 >= 19
    assert y1 <= 25


def test_no_proposals_no_candidates(engine, embedding):
    none = Proposals(np.zeros((0, 4)), np.zeros(0, np.float32))
    found = decode_proposals(engine, embedding, none)
    assert len(found) == 0
    assert found.proposals_yxyx.shape == (0, 4)


def test_the_grid_keeps_the_good_and_distinct(engine, embedding):
    settings = GridSettings(points_per_side=6, grid_min_stability=0.0)
    found = decode_grid(engine, embedding, settings)
    assert set(found.scores.tolist()) == {np.float32(0.99), np.float32(0.9)}
    boxes = [mask.box for mask in found.masks]
    for index, box in enumerate(boxes):
        assert all(iou(box, other) <= settings.grid_nms_iou for other in boxes[:index])
    stricter = settings.changed(grid_min_score=0.95)
    assert set(decode_grid(engine, embedding, stricter).scores.tolist()) == {np.float32(0.99)}
    unstable = settings.changed(grid_min_stability=0.999)
    assert len(decode_grid(engine, embedding, unstable)) == 0


def test_only_a_region_is_decoded(engine, embedding):
    settings = GridSettings(points_per_side=6, grid_min_stability=0.0)
    found = decode_grid(engine, embedding, settings, region=(0, 30, 30, 60))
    assert sum(engine.chunks) == 3 * 2
    corners = found.proposals_yxyx
    np.testing.assert_array_equal(corners[:, :2], corners[:, 2:])
    assert ((corners[:, :2] >= (0, 30)) & (corners[:, :2] < (30, 60))).all()
    assert (found.confidence == 1).all()


def iou(box, other):
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    both = max(height, 0) * max(width, 0)
    area = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return both / (area - both)


def test_grid_points_cover_the_plane_evenly():
    points = grid_points((40, 80), 4)
    np.testing.assert_allclose(points[:5], [(5, 10), (5, 30), (5, 50), (5, 70), (15, 10)])
    assert len(grid_points((1, 3), 32)) <= 32 * 32
    assert (grid_points((1, 3), 32) <= (0, 2)).all()


@pytest.mark.parametrize(
    ("decode", "what"),
    [
        (decode_grid, GridSettings()),
        (decode_proposals, Proposals(np.array([[0, 0, 9, 9.0]] * 9), np.ones(9, np.float32))),
    ],
)
def test_work_can_be_cancelled(engine, embedding, decode, what):
    def stop(done, _total):
        if done:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        decode(engine, embedding, what, stop)
    assert engine.chunks == [engine.chunk_size]
