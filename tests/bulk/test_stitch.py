import numpy as np
import pytest
from scipy.ndimage import find_objects
from skimage.draw import disk, ellipse

from napari_mobilesam.bulk.blocks import TOLERANCE
from napari_mobilesam.bulk.stitch import join, union
from napari_mobilesam.core.instances import Candidates, paint
from napari_mobilesam.core.masks import CroppedMask
from napari_mobilesam.core.overlaps import visible_parts
from napari_mobilesam.core.settings import FilterSettings
from napari_mobilesam.core.tiling import plan_tiles

SHAPE, SIDE, MARGIN = (300, 420), 128, 24


def scene(seed=0, large=False):
    """Discs that touch no other, some on every seam; and a worm through many tiles."""
    rng, labels = np.random.default_rng(seed), np.zeros(SHAPE, np.int32)
    if large:
        labels[ellipse(150, 210, 20, 190, SHAPE)] = 1
    for _ in range(2000):
        radius = rng.integers(3, 11)
        centre = rng.integers(0, SHAPE)
        if not labels[disk(centre, radius + 2, shape=SHAPE)].any():
            labels[disk(centre, radius, shape=SHAPE)] = labels.max() + 1
    return labels


def seen_in(tile, labels, rng, noise):
    """What a perfect model, but for noise in its scores and edges, finds in a window."""
    window = labels[tile.slices]
    masks = []
    for number, box in enumerate(find_objects(window), start=1):
        if box is not None:
            pixels = window[box] == number
            if noise:
                pixels = pixels & (rng.random(pixels.shape) > 0.03)
            y0, x0 = tile.window[0] + box[0].start, tile.window[1] + box[1].start
            masks.append(CroppedMask(y0, x0, pixels).trim())
    masks = [
        m for m in masks if m.area and (tile.answers_for(m.box, TOLERANCE) or tile.cuts(m.box))
    ]
    count = len(masks)
    scores = rng.uniform(0.7, 1, count).astype(np.float32)
    ones = np.ones(count, np.float32)
    return Candidates(tuple(masks), scores, ones, np.zeros((count, 4)), ones, SHAPE)


def segmented(labels, seed=0, noise=False):
    tiles, rng = plan_tiles(SHAPE, SIDE, MARGIN), np.random.default_rng(seed)
    found = [seen_in(tile, labels, rng, noise) for tile in tiles]
    joined = join(found, tiles)
    return joined, paint(visible_parts(joined, FilterSettings())[1], SHAPE)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("large", [False, True])
def test_what_the_seams_cut_is_whole_again(seed, large):
    labels = scene(seed, large)
    joined, found = segmented(labels, seed)
    assert len(joined) == labels.max() > 60
    pairs = np.unique(np.stack([labels.ravel(), found.ravel()]), axis=1)
    assert pairs.shape[1] == labels.max() + 1  # one to one, background with background
    assert ((labels > 0) == (found > 0)).all()


def test_tiles_that_disagree_in_some_pixels_mean_the_same_objects():
    labels = scene(3)
    joined, found = segmented(labels, noise=True)
    assert len(joined) == labels.max()
    assert len(np.unique(found)) == labels.max() + 1


def test_a_piece_that_nobody_else_saw_is_its_owners_to_keep():
    tiles = plan_tiles((100, 180), 100, 10)
    ones = np.ones(1, np.float32)

    def alone(x0, x1):
        mask = CroppedMask(40, x0, np.ones((10, x1 - x0), bool))
        return Candidates((mask,), ones, ones, np.zeros((1, 4)), ones, (100, 180))

    nothing = Candidates.none((100, 180))
    assert len(join([alone(60, 100), nothing], tiles)) == 1
    assert len(join([alone(94, 100), nothing], tiles)) == 0


def test_empty_tiles_join_to_nothing():
    tiles = plan_tiles(SHAPE, SIDE, MARGIN)
    assert len(join([Candidates.none(SHAPE)] * len(tiles), tiles)) == 0


def test_a_union_has_the_pixels_of_all():
    first = CroppedMask(2, 3, np.eye(3, dtype=bool))
    second = CroppedMask(0, 5, np.ones((2, 2), bool))
    both = union([first, second]).to_array((8, 8))
    np.testing.assert_array_equal(both, first.to_array((8, 8)) | second.to_array((8, 8)))
