import numpy as np
import pytest
import torch
from pydantic import ValidationError
from skimage.measure import regionprops

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.training.appearance import uniform, vary_appearance
from napari_mobilesam.training.settings import ViewSettings
from napari_mobilesam.training.views import PADDING_GREY, Tiles, draw_views

SIDE = 96
AS_IT_IS = ViewSettings(least_zoom=1, greatest_zoom=1, mosaic=0, contrast=0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def checks(rows=64, columns=80):
    """A tile of squares, each of a grey value of its own, one of them with another inside."""
    labels = np.zeros((rows, columns), np.int32)
    inner = np.zeros_like(labels)
    for number, corner in enumerate(range(4, 52, 12), start=1):
        labels[corner : corner + 9, corner : corner + 9] = number
    inner[6:11, 6:11] = 1
    rgb = np.repeat((40 * labels + 20 * inner).astype(np.uint8)[..., None], 3, axis=-1)
    return rgb, [labels, inner]


@pytest.fixture(scope="module")
def tiles():
    return Tiles.stack([checks(), checks(50, 50)], [1, 2], 80)


def test_smaller_images_are_padded(tiles):
    assert len(tiles) == 2
    assert tiles.images.shape == (2, 80, 80, 3)
    assert tiles.labels.shape == (2, 2, 80, 80)
    assert tiles.shapes.tolist() == [[64, 80], [50, 50]]
    assert not tiles.labels[1, :, 50:].any()
    assert tiles.odds.tolist() == [1, 2]


def test_boxes_are_those_of_the_instances_that_are_seen(tiles):
    views = draw_views(tiles, 6, SIDE, ViewSettings(mosaic=0.5), seeded())
    assert views.images.shape == (6, 3, SIDE, SIDE)
    assert views.images.min() >= 0
    assert views.images.max() <= 1
    assert (views.view.diff() >= 0).all()
    nested = 0
    for view in range(6):
        boxes = views.boxes[views.view == view] * SIDE
        seen = {r.label: r.bbox for r in regionprops(views.instances[view].numpy())}
        assert seen.keys() <= set(range(1, len(boxes) + 1))
        assert len(seen) > len(boxes) / 2
        for number, (y0, x0, y1, x1) in seen.items():
            x, y, width, height = boxes[number - 1].tolist()
            box = np.array([y - height / 2, x - width / 2, y + height / 2, x + width / 2])
            hidden = box - (y0, x0, y1, x1)
            assert (hidden[:2] < 1e-3).all()  # what lies inside may hide a border, never add one
            assert (hidden[2:] > -1e-3).all()
            nested += np.abs(hidden).max() > 1e-3
    assert nested < len(views.boxes) / 4


def test_view_shows_the_tile(monkeypatch):
    """At zoom 1, in one of eight orientations, grey values and boxes are the tile's."""
    monkeypatch.setattr(
        "napari_mobilesam.training.views.vary_appearance", lambda images, *_: images
    )
    one = Tiles.stack([checks(50, 50)], [1], 50)
    generator = seeded(3)
    found = 0
    for _ in range(40):
        views = draw_views(one, 1, SIDE, AS_IT_IS, generator)
        sizes = (views.boxes[:, 2:] * SIDE).round().long().tolist()
        if sorted(sizes) != [[5, 5], *4 * [[9, 9]]]:
            continue  # turned by another angle, stretched, or moved out of sight
        found += 1
        outside = (views.images[0] - PADDING_GREY).abs().amax(0) < 1e-6
        assert 2000 < (~outside).sum() <= 2500
        for number, (x, y) in enumerate((views.boxes[:, :2] * SIDE).long().tolist(), start=1):
            grey = float(views.images[0, :, y, x].mean() * 255)
            assert views.instances[0, y, x] in (number, len(views.boxes))
            assert min(abs(grey - 40 * label) for label in (1.5, 1, 2, 3, 4)) < 1
    assert found > 2


def test_what_cannot_be_stacked_is_refused():
    with pytest.raises(SettingsError, match="at least one tile"):
        Tiles.stack([], [], 40)
    labels = np.full((40, 40), 40_000)
    with pytest.raises(SettingsError, match="40000 objects"):
        Tiles.stack([(np.zeros((40, 40, 3), np.uint8), [labels, labels])], [1], 40)


def test_same_seed_same_views(tiles):
    first, again = (draw_views(tiles, 3, SIDE, ViewSettings(), seeded(7)) for _ in range(2))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.boxes, again.boxes)
    assert not torch.equal(
        first.images, draw_views(tiles, 3, SIDE, ViewSettings(), seeded(8)).images
    )


def test_tiles_are_drawn_by_their_odds():
    def plain(value):
        return np.full((40, 40, 3), value, np.uint8), 2 * [np.zeros((40, 40), np.int32)]

    tiles = Tiles.stack([plain(10), plain(240)], [3, 1], 40)
    views = draw_views(tiles, 200, 32, AS_IT_IS.changed(greatest_zoom=3, least_zoom=3), seeded())
    dark = (views.images[:, :, 16, 16].mean(1) < 0.4).sum()
    assert 110 < dark < 175
    assert views.boxes.shape == (0, 4)


def test_large_zoom_shows_objects_larger(tiles):
    def width(zoom):
        settings = AS_IT_IS.changed(least_zoom=zoom, greatest_zoom=zoom)
        return draw_views(tiles, 40, SIDE, settings, seeded()).boxes[:, 2].median()

    assert width(3) > 1.8 * width(1)


def test_zooms_must_be_in_order():
    with pytest.raises(ValidationError, match="least_zoom"):
        ViewSettings(least_zoom=2, greatest_zoom=1)


def test_appearance_varies_image_by_image_and_stays_in_range():
    images = uniform((64, 3, 16, 16), 0.2, 0.8, seeded())
    altered = vary_appearance(images, 0.5, seeded(1))
    assert altered.shape == images.shape
    assert altered.min() >= 0
    assert altered.max() <= 1
    changed = (altered != images).flatten(1).any(1)
    assert 45 < changed.sum() < 64
