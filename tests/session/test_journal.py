import os
import resource
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

import napari_mobilesam as mobilesam
from napari_mobilesam.core.edits import LabelEdit
from napari_mobilesam.core.errors import FileFormatError, LabelsFullError
from napari_mobilesam.session import journal, journal_files, journal_lines
from napari_mobilesam.session.planes import ArrayLabels, ArraySource
from napari_mobilesam.session.recovery import find_unfinished
from napari_mobilesam.session.session import Session

GRID = {
    "sampler": "grid",
    "points_per_side": 4,
    "grid_min_score": 0.0,
    "grid_min_stability": 0.0,
    "max_overlap": 0.5,
}
CENTRES = [(30, 30), (30, 90), (90, 30), (90, 90)]


@pytest.fixture(scope="module")
def model():
    return mobilesam.load_model("micro", device="cpu", input_size=256)


@pytest.fixture(scope="module")
def stack():
    rows, columns = np.mgrid[:120, :120]
    image = np.random.default_rng(0).normal(30, 4, (2, 120, 120))
    for y, x in CENTRES:
        image[:, (rows - y) ** 2 + (columns - x) ** 2 < 15**2] += 150
    return image


@pytest.fixture
def opened(model, stack):
    """Open sessions whose process is over, as far as their journals can tell, in the end."""
    sessions = []

    def opened(image=stack[0], **options):
        for before in sessions:
            before.close()
        sessions.append(mobilesam.open_session(None, image, model, **options))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.close()


def accept(session, *centres, **how):
    for y, x in centres:
        session.add_box((y - 17, x - 17, y + 17, x + 17))
        session.accept(**how)


def journals(folder):
    return sorted((folder / "journals").glob("*.journal.jsonl"))


def same(one, other):
    np.testing.assert_array_equal(one.labels.array, other.labels.array)
    assert one.labels.array.dtype == other.labels.array.dtype
    assert one.features.equals(other.features)


def test_a_session_that_was_not_saved_comes_back_with_its_undo_and_prompts(opened, fresh_cache):
    lost = opened()
    accept(lost, *CENTRES[:3])
    lost.undo()
    again = opened(restore=True)
    same(again, lost)
    assert again.recall(2) == lost.recall(2)
    accept(again, CENTRES[3])
    again.undo()
    again.undo()
    assert [accepted.labels for accepted in again.log] == [(1,)]
    assert set(np.unique(again.labels.array)) == {0, 1}
    same(opened(restore=True), again)
    assert len(journals(fresh_cache)) == 1


def test_everything_with_its_measurements_comes_back(opened):
    lost = opened()
    lost.everything(**GRID)
    lost.accept_everything()
    assert len(lost.features) > 1
    same(opened(restore=True), lost)


def test_what_was_painted_and_what_was_there_before_comes_back(opened):
    lost = opened()
    lost.labels.array = np.full((120, 120), 3, np.uint8)
    accept(lost, CENTRES[0], taken="replace")
    lost.labels.array[100:110, :50] = 9
    accept(lost, CENTRES[1], target="replace", taken="replace")
    same(opened(restore=True), lost)


def test_planes_of_a_stack_come_back(opened, stack):
    lost = opened(stack)
    for key in ((1,), (0,), (-1, 30)):
        lost.go_to(key)
        lost.add_points([(1, 90)] if key == (-1, 30) else [CENTRES[0]])
        lost.accept(taken="replace")
    same(opened(stack, restore=True), lost)


def test_work_on_another_image_is_not_restored(opened, stack):
    accept(opened(), CENTRES[0])
    assert not opened(stack[0] + 1, restore=True).log
    assert not opened(stack[1][:100], restore=True).log
    assert opened(restore=True).log


def test_what_was_saved_or_exported_is_not_offered(opened, fresh_cache, tmp_path):
    session = opened()
    accept(session, CENTRES[0])
    session.save(tmp_path / "a.mobilesam.json")
    accept(session, CENTRES[1])
    again = opened(restore=True)
    assert len(again.log) == 2
    again.export(tmp_path / "labels.tif")
    assert not opened(restore=True).log
    assert journals(fresh_cache) == []


def test_a_session_that_goes_on_is_nobody_elses(opened, model, stack):
    ours = opened()
    accept(ours, CENTRES[0])
    theirs = mobilesam.open_session(None, stack[0], model, restore=True)
    assert not theirs.log
    accept(theirs, CENTRES[1])
    theirs.close()
    same(opened(restore=True), theirs)


def test_damage_costs_only_the_line_it_is_in(opened, fresh_cache):
    lost = opened()
    accept(lost, CENTRES[0])
    lost.close()
    (path,) = journals(fresh_cache)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[-300:-150])
    again = opened(restore=True)
    same(again, lost)
    accept(again, CENTRES[1])
    same(opened(restore=True), again)


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"0123 {}\n", b'x {"shape": [120, 120]}'])
def test_what_is_no_journal_is_left_alone(opened, fresh_cache, content):
    folder = fresh_cache / "journals"
    folder.mkdir()
    (folder / "20260101-a.journal.jsonl").write_bytes(content)
    session = opened(restore=True)
    accept(session, CENTRES[0])
    same(opened(restore=True), session)


def test_a_journal_is_compacted_and_says_the_same(opened, fresh_cache, monkeypatch):
    monkeypatch.setattr(journal, "COMPACT_BYTES", 20_000)
    lost = opened()
    sizes = []
    for number in range(40):
        lost.labels.array[60, number] = 5  # so that all of the plane is written each time
        accept(lost, CENTRES[number % 4], taken="replace")
        if number % 2:
            lost.undo()
        sizes.append(journals(fresh_cache)[0].stat().st_size)
    assert (np.diff(sizes) < 0).any()
    again = opened(restore=True)
    same(again, lost)
    assert len(again.log) == len(lost.log)


def test_old_journals_are_swept_and_young_ones_stay(opened, fresh_cache):
    accept(opened(), CENTRES[0])
    opened()
    (path,) = journals(fresh_cache)
    os.utime(path, (0, 0))
    accept(opened(), CENTRES[1])
    assert path not in journals(fresh_cache)
    assert len(journals(fresh_cache)) == 1


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint64])
def test_pixels_are_packed_exactly(dtype):
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 4, (2, 37, 53)).astype(dtype)
    after[3:9] = np.iinfo(dtype).max
    rows, columns = np.nonzero(before != after)
    edit = LabelEdit((rows, columns), before[rows, columns], after[rows, columns])
    runs = journal_lines.pack_edit(edit, (37, 53))
    journal_lines.unpack_edit(runs, (37, 53), dtype).apply_to(before)
    np.testing.assert_array_equal(before, after)
    with pytest.raises(FileFormatError):
        journal_lines.unpack_edit(runs, (30, 40), dtype)


@contextmanager
def disk_that_is_full(n_bytes=0):
    """Let no file of this process grow beyond some bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_once_and_what_is_missing_is_written_later(opened):
    lost = opened()
    accept(lost, CENTRES[0])
    with warnings.catch_warnings(record=True, action="always") as told, disk_that_is_full(3000):
        accept(lost, *CENTRES[1:3])
        lost.undo()
    assert len(told) == 1
    assert "cannot be journaled" in str(told[0].message)
    accept(lost, CENTRES[3])
    same(opened(restore=True), lost)


def test_a_folder_that_cannot_be_made_stops_nobody(opened, fresh_cache):
    (fresh_cache / "journals").write_text("a file")
    session = opened(restore=True)
    with pytest.warns(RuntimeWarning, match="in memory only"):
        accept(session, CENTRES[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accept(session, CENTRES[1])
    (fresh_cache / "journals").unlink()
    accept(session, CENTRES[2])
    same(opened(restore=True), session)


def test_a_session_that_cannot_be_saved_stays_as_it_is(opened, tmp_path):
    session = opened()
    accept(session, CENTRES[0])
    path = tmp_path / "work.mobilesam.json"
    session.save(path)
    saved = path.read_bytes()
    accept(session, CENTRES[1])
    with disk_that_is_full(200):
        with pytest.raises(FileFormatError, match="save again"):
            session.save(path)
        with pytest.raises(FileFormatError, match="save again"):
            session.export(tmp_path / "labels.tif")
    for nowhere in (tmp_path / "vanished" / "a.mobilesam.json", path / "a.mobilesam.json"):
        with pytest.raises(FileFormatError, match="save again"):
            session.save(nowhere)
    assert path.read_bytes() == saved
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name]
    assert set(np.unique(session.labels.array)) == {0, 1, 2}
    same(opened(restore=True), session)
    session.save(path)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_labels_that_are_full_say_so_before_anything_is_written(model, stack, dtype):
    session = Session(model, ArraySource(stack[0]), ArrayLabels(stack[0].shape, dtype))
    largest = np.iinfo(dtype).max
    session.labels.array[0, 0] = largest - 1
    accept(session, CENTRES[0])
    before = session.labels.array.copy()
    assert before.max() == largest
    with pytest.raises(LabelsFullError, match=f"up to {largest}"):
        accept(session, CENTRES[1])
    assert session.masks
    session.labels.array[before == largest] = 0
    before = session.labels.array.copy()
    found = session.everything(**GRID)
    assert len(found) > 1
    with pytest.raises(LabelsFullError):
        session.accept_everything()
    np.testing.assert_array_equal(session.labels.array, before)
    assert session.found is not None
    assert len(session.log) <= 1


def test_finding_work_compares_every_plane(opened, stack, fresh_cache):
    session = opened(stack)
    for index in (0, 1):
        session.go_to((index,))
        accept(session, CENTRES[index])
    session.close()
    changed = stack.copy()
    changed[1] += 1
    assert find_unfinished(ArraySource(stack), stack.shape)
    assert not find_unfinished(ArraySource(changed), stack.shape)
    path = journals(fresh_cache)[0]
    (offer,) = find_unfinished(ArraySource(stack), stack.shape)
    offer.discard()
    assert not path.exists()
    assert not find_unfinished(ArraySource(stack), stack.shape)
    assert not journal_files.abandoned()
