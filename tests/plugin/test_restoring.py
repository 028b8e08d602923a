"""After a crash, and when labels or disks are full."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_mobilesam.plugin.controller import Controller
from napari_mobilesam.plugin.threads import Inline

from .conftest import CENTRES, dock, finish


def accept(controller, centre):
    prompting = controller.prompting
    if prompting.points is None:
        prompting.create_layers()
    prompting.points.add(centre)
    prompting.accept()


@pytest.fixture
def lost(viewer, controller, discs):
    """The labels of a viewer that is gone without having saved anything."""
    viewer.add_image(discs, name="discs", scale=(0.5, 0.5))
    accept(controller, CENTRES[0])
    layer = controller.target.layer
    layer.data[100:110, 20:90] = 5  # a brush
    accept(controller, CENTRES[1])
    accept(controller, CENTRES[2])
    controller.accepting.undo()
    for session in controller._sessions.values():
        session.close()
    return layer


@pytest.fixture
def next_start(discs):
    """A controller of a viewer that shows the same image later."""
    viewer = ViewerModel()
    made = Controller(viewer, Inline(), Inline())
    made.heard = []
    made.said.connect(made.heard.append)
    made.failed.connect(made.heard.append)
    viewer.add_image(discs, name="discs", scale=(0.5, 0.5))
    yield made
    made.close()


def test_the_next_start_offers_what_was_lost_and_gives_it_back(lost, next_start):
    restoring, viewer = next_start.restoring, next_start.viewer
    assert restoring.text.startswith("Restore 2 accepted objects from 20")
    theirs = viewer.add_labels(np.full_like(lost.data, 3), scale=(0.5, 0.5))
    viewer.layers.selection.active = viewer.layers["discs"]
    next_start.accepting.write_to(theirs)
    restoring.restore()
    layer = next_start.target.layer
    np.testing.assert_array_equal(layer.data, lost.data)
    assert layer.name == lost.name
    assert (layer.scale == 0.5).all()
    assert layer.features["index"].tolist() == [1, 6]
    assert (theirs.data == 3).all()
    assert not restoring.offers
    next_start.prompting.recall(np.array(CENTRES[0]) / 2)
    assert len(next_start.here.session.drawn) == 1
    next_start.prompting.clear()
    next_start.accepting.undo()
    assert set(np.unique(layer.data)) == {0, 1, 5}
    accept(next_start, CENTRES[3])
    assert layer.data[CENTRES[3]] == 6


@pytest.mark.usefixtures("lost")
def test_what_is_discarded_or_saved_is_not_offered_again(next_start, discs, tmp_path):
    next_start.restoring.discard()
    assert not next_start.restoring.offers
    viewer = next_start.viewer
    viewer.layers.clear()
    viewer.add_image(discs)
    assert not next_start.restoring.offers
    accept(next_start, CENTRES[0])
    next_start.accepting.save(tmp_path / "a.mobilesam.json")
    accept(next_start, CENTRES[1])
    next_start.accepting.export(tmp_path / "labels.tif")
    viewer.layers.clear()
    viewer.add_image(discs)
    assert not next_start.restoring.offers


def test_an_image_that_was_removed_in_error_brings_its_work_back(viewer, controller, discs):
    viewer.add_image(discs)
    accept(controller, CENTRES[0])
    viewer.layers.clear()
    viewer.add_image(discs + 1)
    assert not controller.restoring.offers
    viewer.layers.clear()
    viewer.add_image(discs)
    assert controller.restoring.offers


def test_a_preference_switches_journals_off(viewer, controller, discs, fresh_cache):
    controller.set_preferences(journal_days=0)
    viewer.add_image(discs)
    accept(controller, CENTRES[0])
    assert not (fresh_cache / "journals").exists()


def test_a_journal_that_cannot_be_written_is_told_beside_what_was_written(
    viewer, controller, discs, fresh_cache
):
    (fresh_cache / "journals").write_text("a file")
    viewer.add_image(discs)
    accept(controller, CENTRES[0])
    assert controller.heard[-1].startswith("Wrote 1 object. Accepted objects cannot be journaled")
    accept(controller, CENTRES[1])
    assert controller.heard[-1] == "Wrote 1 object."


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_a_full_layer_says_so_and_stays_as_it_is(viewer, controller, discs, dtype):
    viewer.add_image(discs)
    layer = viewer.add_labels(np.zeros(discs.shape, dtype))
    layer.data[0, 0] = np.iinfo(dtype).max - 1
    viewer.layers.selection.active = viewer.layers[0]
    controller.accepting.write_to(layer)
    accept(controller, CENTRES[0])
    before = layer.data.copy()
    assert before[CENTRES[0]] == np.iinfo(dtype).max
    accept(controller, CENTRES[1])
    assert "the label image is full" in controller.heard[-1]
    controller.set_preferences(mode="many")
    layer.data[before == before.max()] = 0
    before = layer.data.copy()
    controller.prompting.points.add(CENTRES[:3])
    controller.prompting.accept()
    assert "the label image is full" in controller.heard[-1]
    np.testing.assert_array_equal(layer.data, before)
    assert len(controller.prompting.points.data)


def test_the_widget_offers_without_a_dialog(lost, make_napari_viewer, discs, qtbot):
    viewer = make_napari_viewer()
    widget = dock(viewer, "Annotate")
    assert widget.offer.isHidden()
    viewer.add_image(discs, name="discs", scale=(0.5, 0.5))
    finish(qtbot, widget.controller)
    assert not widget.offer.isHidden()
    assert "Restore 2 accepted objects" in widget.restore.text()
    widget.restore.click()
    finish(qtbot, widget.controller)
    assert widget.offer.isHidden()
    np.testing.assert_array_equal(widget.controller.target.layer.data, lost.data)
    assert widget.target.layer is widget.controller.target.layer
