import colorsys
from itertools import pairwise

from napari_mobilesam.core.colours import colour_of


def test_colours_are_bright_and_those_of_neighbours_far_apart():
    colours = [colour_of(number) for number in range(200)]
    assert colours[0] == (255, 38, 38)
    assert {(min(colour), max(colour)) for colour in colours} == {(38, 255)}
    assert {channel for colour in colours for channel in map(type, colour)} == {int}
    hues = [colorsys.rgb_to_hsv(*colour)[0] for colour in colours]
    apart = [abs(hue - other) for hue, other in pairwise(hues)]
    assert min(min(way, 1 - way) for way in apart) > 0.37
    assert len(set(colours)) == len(colours)
