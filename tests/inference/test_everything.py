import numpy as np
import pytest

from napari_mobilesam.core.errors import CancelledError, PromptError
from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.core.prompts import Prompts
from napari_mobilesam.core.settings import GridSettings
from napari_mobilesam.inference.decode import decode_batch, decode_object, decode_objects
from napari_mobilesam.inference.detect import Proposals
from napari_mobilesam.inference.encode import ImageEmbedding
from napari_mobilesam.inference.everything import decode_grid, decode_proposals, grid_points

SHAPE = (60, 90)


class DiskEngine:
    """Stands for a network: its masks are disks at the prompt, three sizes a point.

    It keeps the sizes of the chunks that it was given.
    """

    logits_stride = 4
    chunk_size = 3

    def __init__(self):
        self.chunks = []

    def encode(self, rgb, input_size):  # noqa: ARG002
        return np.zeros((256, input_size // 16, input_size // 16), np.float32)

    def decode(self, features, prompts, *, multimask, input_size):  # noqa: ARG002
        if prompts.boxes_xyxy is not None:
            centre = prompts.boxes_xyxy.reshape(-1, 2, 2).mean(axis=1)
            radius = np.ptp(prompts.boxes_xyxy.reshape(-1, 2, 2), axis=1).min(axis=1) / 2
        else:
            centre = prompts.points_xy[:, 0]
            radius = np.full(len(centre), 24.0)
        self.chunks.append(len(centre))
        grid = np.arange(2, input_size, 4)
        distance = np.hypot(
            grid[None, :] - centre[:, 0, None, None], grid[:, None] - centre[:, 1, None, None]
        )
        sizes = np.array([0.5, 1.0, 1.5]) if multimask else np.ones(1)
        logits = (radius[:, None] * sizes)[..., None, None] - distance[:, None]
        scores = np.broadcast_to([0.5, 0.99, 0.9] if multimask else [1.2], logits.shape[:2])
        return logits.astype(np.float32), scores.astype(np.float32)


@pytest.fixture
def engine():
    return DiskEngine()


@pytest.fixture
def embedding():
    return ImageEmbedding(np.zeros((256, 16, 16), np.float32), InputFrame(SHAPE, 256), "disk")


def point(y, x):
    return Prompts.create(SHAPE, points=[(y, x)])


def test_candidates_come_best_first_and_scores_are_fractions(engine, embedding):
    batch = decode_object(engine, embedding, point(30, 40), multimask=True)
    np.testing.assert_allclose(batch.scores, [0.99, 0.9, 0.5])
    areas = [mask.area for mask in batch.crops()]
    assert areas[2] < areas[0] < areas[1]
    box = Prompts.create(SHAPE, box=(10, 10, 30, 30))
    assert decode_object(engine, embedding, box, multimask=False).scores.tolist() == [1.0]


def test_mixed_prompts_come_back_in_their_order(engine, embedding):
    boxes = [Prompts.create(SHAPE, box=(5 * i, 5 * i, 5 * i + 20, 5 * i + 20)) for i in range(5)]
    mixed = [boxes[0], point(50, 80), *boxes[1:4], point(10, 10), boxes[4]]
    batch = decode_objects(engine, embedding, mixed)
    for index, prompt in enumerate(mixed):
        alone, _ = decode_batch(engine, embedding, [prompt], multimask=False)
        np.testing.assert_array_equal(batch.low_res_logits[index], alone[0, 0])
    assert max(engine.chunks) == engine.chunk_size


def test_no_prompts_no_masks(engine, embedding):
    assert len(decode_objects(engine, embedding, [])) == 0


def test_a_mask_input_must_fit(engine, embedding):
    prompts = Prompts.create(SHAPE, points=[(1, 1)], mask_input=np.zeros((256, 256)))
    with pytest.raises(PromptError, match=r"\(64, 64\).*input size 256"):
        decode_object(engine, embedding, prompts, multimask=True)


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
