import numpy as np
import pytest
from skimage.draw import disk

from napari_mobilesam.api import load_model
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.suppression import box_iou
from napari_mobilesam.inference.top_up import missed_points, more_proposals

CENTRES = [(30, 30), (30, 90), (90, 40), (100, 100)]
RADIUS = 14


@pytest.fixture(scope="module")
def sam():
    return load_model("micro", input_size=256)


def scene():
    image = np.random.default_rng(0).normal(40, 3, (128, 128))
    masks = []
    for centre in CENTRES:
        pixels = np.zeros(image.shape, bool)
        pixels[disk(centre, RADIUS)] = True
        image[pixels] += 120
        masks.append(CroppedMask(0, 0, pixels).trim())
    return to_rgb8(image), masks


def test_what_was_missed_is_proposed_and_nothing_else(sam):
    rgb, masks = scene()
    embedding = sam.embed(rgb, limits="dtype")
    more = more_proposals(sam.engine, embedding, rgb, masks[:3])
    assert len(more) == 1
    assert box_iou([masks[3].box], more.boxes_yxyx).item() > 0.8
    assert more.confidence.tolist() == [0]
    assert len(more_proposals(sam.engine, embedding, rgb, masks)) == 0


def test_nothing_found_is_no_obstacle(sam):
    rgb, masks = scene()
    more = more_proposals(sam.engine, sam.embed(rgb, limits="dtype"), rgb, [])
    iou = box_iou([mask.box for mask in masks], more.boxes_yxyx)
    assert (iou.max(axis=1) > 0.8).all()


@pytest.mark.parametrize("covered", [False, True])
def test_a_plane_without_contrast_gets_no_points(covered):
    flat = np.full((40, 50, 3), 7, np.uint8)
    assert len(missed_points(flat, np.full((40, 50), covered), None)) == 0


def test_everything_mode_looks_again_if_told_to(sam):
    rgb, _ = scene()
    without = sam.everything(rgb, confidence=0.99)
    found = sam.everything(rgb, confidence=0.99, top_up=True)
    assert len(without) < len(found) == 4
    assert (found.table["confidence"] == 0).sum() == 4 - len(without)
