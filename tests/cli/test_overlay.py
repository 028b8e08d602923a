import numpy as np

from napari_mobilesam.cli.overlay import SCALE, draw_objects, side_by_side


def test_objects_and_prompts_are_drawn_where_they_are():
    rgb = np.full((40, 60, 3), 100, dtype=np.uint8)
    labels = np.zeros((40, 60), dtype=np.int32)
    labels[10:20, 30:45] = 1
    picture = draw_objects(rgb, labels, points=[(5, 50, 1), (35, 50, 0)], boxes=[(20, 5, 30, 15)])
    assert picture.size == (60 * SCALE, 40 * SCALE)
    pixels = np.asarray(picture).astype(int)

    def at(y, x):
        return pixels[int((y + 0.5) * SCALE), int((x + 0.5) * SCALE)]

    np.testing.assert_array_equal(at(39, 0), [100, 100, 100])
    assert at(15, 37)[0] > at(15, 37)[1] + 20
    assert at(5, 50)[1] > at(5, 50)[0] + 100
    assert at(35, 50)[0] > at(35, 50)[1] + 100
    np.testing.assert_array_equal(at(25, 10), [100, 100, 100])
    assert pixels[20 * SCALE, 10 * SCALE, 0] > pixels[20 * SCALE, 10 * SCALE, 2] + 50


def test_panels_stand_beside_each_other():
    rgb = np.full((40, 60, 3), 100, dtype=np.uint8)
    picture = draw_objects(rgb, np.zeros((40, 60), dtype=np.int32))
    sheet = side_by_side([("one", picture), ("two", picture)])
    assert sheet.width > 2 * picture.width
    assert sheet.height > picture.height
