import numpy as np
import pytest
from skimage.draw import disk

from napari_mobilesam.bulk.advise import LEAST_SEEN, WELL_SEEN, advise
from napari_mobilesam.core.errors import ImageError


def discs(shape, radius, distance):
    """Bright discs on noise, ``distance`` apart."""
    rng = np.random.default_rng(0)
    image = rng.normal(300, 30, shape).astype(np.float32)
    for y in range(distance // 2, shape[0] - radius, distance):
        for x in range(distance // 2, shape[1] - radius, distance):
            centre = np.array([y, x]) + rng.integers(-distance // 8, distance // 8 + 1, 2)
            image[disk(centre, radius, shape=shape)] += 1500
    return image


@pytest.mark.parametrize(
    ("shape", "radius", "distance"), [((1100, 1300), 10, 40), ((700, 700), 40, 130)]
)
def test_the_size_of_objects_is_measured_and_a_tile_shows_them_well(micro, shape, radius, distance):
    advice = advise(discs(shape, radius, distance), micro)
    assert advice.object_size == pytest.approx(2 * radius, rel=0.25)
    assert advice.objects > 10
    side = max(shape) if advice.tile is None else advice.tile
    assert advice.seen_size == pytest.approx(advice.object_size * advice.input_size / side)
    if radius == 10:
        assert advice.tile is not None
        assert WELL_SEEN / 2 < advice.seen_size < 2 * WELL_SEEN
        assert f"tiles of {advice.tile} pixels" in advice.sentence
    else:
        assert advice.tile is None
        assert advice.seen_size >= LEAST_SEEN
        assert "whole plane" in advice.sentence
        found = micro.everything(discs(shape, radius, distance), image_size=advice.image_size)
        assert len(found) == 25


def test_where_nothing_is_found_the_whole_plane_is_looked_at(micro):
    advice = advise(np.zeros((600, 700), np.uint8), micro)
    assert (advice.objects, advice.tile, advice.input_size) == (0, None, 1024)
    assert np.isnan(advice.object_size)
    assert "No object was found" in advice.sentence


def test_only_planes_are_looked_at(micro):
    with pytest.raises(ImageError):
        advise(np.zeros((2, 3, 4, 5)), micro)
