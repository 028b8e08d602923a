import gc
import sys

import pytest

from napari_mobilesam.core.responsive import Responsiveness, uncollected

OBJECTS = 300_000
"""More than a quarter of what is there, so that Python would look at all there is."""


@pytest.fixture
def responsiveness():
    return Responsiveness()


def full_collections():
    return gc.get_stats()[2]["collections"]


def test_full_collections_wait_until_the_last_who_asked_has_left(responsiveness):
    threshold, switch_seconds = gc.get_threshold(), sys.getswitchinterval()
    responsiveness.ask("one")
    responsiveness.ask("one")
    responsiveness.ask("other")
    responsiveness.leave("one")
    before = full_collections()
    made = [[] for _ in range(OBJECTS)]
    assert full_collections() == before
    assert sys.getswitchinterval() < switch_seconds
    responsiveness.leave("other")
    responsiveness.leave("nobody")
    assert (gc.get_threshold(), sys.getswitchinterval()) == (threshold, switch_seconds)
    assert len(made) == OBJECTS


def test_garbage_of_a_young_age_is_still_collected_meanwhile(responsiveness):
    responsiveness.ask("one")
    before = gc.get_stats()[0]["collections"]
    made = [[] for _ in range(OBJECTS // 100)]
    assert gc.get_stats()[0]["collections"] > before
    responsiveness.leave("one")
    assert made


def test_what_is_made_uncollected_is_old_at_once():
    collections = [generation["collections"] for generation in gc.get_stats()]
    with uncollected():
        made = [[] for _ in range(OBJECTS)]
        assert [generation["collections"] for generation in gc.get_stats()] == collections
    assert gc.isenabled()
    assert made[0] is not None
    assert any(each is made[0] for each in gc.get_objects(generation=2))


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
