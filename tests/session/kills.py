"""Kill a process that annotates, again and again, and tell what can be restored each time.

Every child is forked from a process that has loaded the real model, without threads, and does a
scripted annotation in a real session. It tells of every step that is done through a pipe. Run as
``python kills.py FOLDER COUNT``; prints a line of JSON a kill.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

import napari_mobilesam as mobilesam
from napari_mobilesam.core.drawn import BoxPrompt
from napari_mobilesam.session import journal, journal_files

CENTRES = [(30 + 60 * y, 30 + 60 * x) for y in range(3) for x in range(3)]
COMPACT_BYTES = 6000


def image():
    rows, columns = np.mgrid[:180, :180]
    pixels = np.random.default_rng(0).normal(30, 4, (180, 180))
    for y, x in CENTRES:
        pixels[(rows - y) ** 2 + (columns - x) ** 2 < 15**2] += 150
    return pixels


def steps(session):
    """Everything that writes labels, one step at a time."""
    for number, (y, x) in enumerate(CENTRES):
        session.add_box((y - 17, x - 17, y + 17, x + 17))
        session.accept()
        yield
        if number % 3 == 1:
            session.undo()
            yield
            session.redo()
            yield
        if number % 3 == 2:
            session.labels.array[number : number + 9, 50:120] = 7 + number  # a brush
            session.add_points([(y, x)])
            session.accept(target="replace", taken="replace")
            yield
            session.undo()
            yield
    drawn = [BoxPrompt((y - 19, x - 19, y + 19, x + 19)) for y, x in CENTRES[:4]]
    session.set_prompts(drawn, "many")
    session.accept(taken="replace")
    yield
    session.everything(
        sampler="grid", points_per_side=3, grid_min_score=0.0, grid_min_stability=0.0
    )
    session.accept_everything(taken="replace")
    yield
    for _ in range(3):
        session.undo()
        yield


def state(session):
    return session.labels.array.tobytes(), tuple(accepted.labels for accepted in session.log)


def annotate(pixels, model, told):
    for _ in steps(mobilesam.open_session(None, pixels, model)):
        os.write(told, b".")


def killed(pixels, model, seconds=None, arm=None):
    """Fork a child, kill it after some seconds or where it kills itself; steps it told of."""
    heard, told = os.pipe()
    child = os.fork()
    if not child:
        os.close(heard)
        if arm is not None:
            arm()
        annotate(pixels, model, told)
        os._exit(0)
    os.close(told)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(heard, "rb") as file:
        return len(file.read())


def at_call(owner, name, number, half=False):
    """Make a process kill itself at the given call of a function; or half-way through a write."""

    def arm():
        function, calls = getattr(owner, name), iter(range(number))

        def dying(*args, **kwargs):
            if next(calls, None) is None:
                if half:
                    path, content = args
                    function(path, content[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        setattr(owner, name, dying)

    return arm


def outcome(pixels, model, states, told, kind):
    """Restore, compare with what must be there, and clear the table for the next."""
    session = mobilesam.open_session(None, pixels, model, restore=True)
    allowed = states[told : told + 2]
    restored = state(session)
    found = len(restored[1])
    session.note_saved()
    session.close()
    assert not mobilesam.open_session(None, pixels, model, restore=True).log
    for left in journal_files.journals_dir().iterdir():
        left.unlink()  # what was cut off before its first accept
    expected = [len(log) for _, log in allowed]
    kill = {"kind": kind, "told": told, "found": found, "expected": expected}
    sys.stdout.write(json.dumps(kill | {"exact": restored in allowed}) + "\n")


def main(folder, count):
    os.environ["MOBILESAM_CACHE_DIR"] = folder
    torch.set_num_threads(1)
    journal.COMPACT_BYTES = COMPACT_BYTES
    pixels = image()
    model = mobilesam.load_model("micro", device="cpu", input_size=256, cache=Path(folder) / "c")
    session = mobilesam.open_session(None, pixels, model, journal=False)
    states = [state(session), *(state(session) for _ in steps(session))]
    states.append(states[-1])
    started = time.perf_counter()
    assert killed(pixels, model) == len(states) - 2  # a whole run, for its time
    whole = time.perf_counter() - started
    outcome(pixels, model, states, len(states) - 2, "after a whole run")
    random.seed(0)
    for _ in range(count):
        told = killed(pixels, model, random.uniform(0, whole))
        outcome(pixels, model, states, told, "at random")
    for number in range(0, 12, 3):
        for kind, arm in (
            ("before a sync", at_call(os, "fsync", number)),
            ("before a rename", at_call(Path, "replace", number // 3)),
            ("in a half-written line", at_call(journal, "_append", number, half=True)),
        ):
            outcome(pixels, model, states, killed(pixels, model, arm=arm), kind)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
