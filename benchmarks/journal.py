"""What journaling costs: the time of an accept with and without it, and of an undo.

    python benchmarks/journal.py

The masks are decoded before the clock starts. Planes of 1024 x 1024 pixels; medians. The
"painted" rows have a brush stroke before each accept, so that all of the plane is written.
"""

import os
import statistics
import tempfile
import time

import numpy as np

import napari_mobilesam as mobilesam
from napari_mobilesam.session import journal_files
from napari_mobilesam.zoo.download import CACHE_VARIABLE

SIDE, ACCEPTS = 1024, 30


def accept_ms(model, image, *, journal, painted):
    """Median milliseconds of an accept, and of an undo."""
    session = mobilesam.open_session(None, image, model, journal=journal)
    accepts, undos = [], []
    for number in range(ACCEPTS):
        y, x = 60 + 180 * (number // 5 % 5), 60 + 180 * (number % 5)
        session.add_box((y - 30, x - 30, y + 30, x + 30))
        if painted:
            session.labels.array[number, :200] = 1
        started = time.perf_counter()
        session.accept(taken="replace")
        accepts.append(1000 * (time.perf_counter() - started))
    for _ in range(10):
        started = time.perf_counter()
        session.undo()
        undos.append(1000 * (time.perf_counter() - started))
    session.close()
    return statistics.median(accepts), statistics.median(undos)


def main():
    """Print a line a case."""
    model = mobilesam.load_model("micro", device="cpu", input_size=256)
    image = np.random.default_rng(0).normal(30, 4, (SIDE, SIDE))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    centres = [(60 + 180 * y, 60 + 180 * x) for y in range(5) for x in range(5)]
    for y, x in centres:
        image[(rows - y) ** 2 + (columns - x) ** 2 < 25**2] += 150
    for journal in (False, True):
        for painted in (False, True):
            accept, undo = accept_ms(model, image, journal=journal, painted=painted)
            print(f"{journal=} {painted=}: accept {accept:.1f} ms, undo {undo:.1f} ms")
    sizes = [path.stat().st_size for path in journal_files.journals_dir().glob("*.jsonl")]
    print(f"journals of {ACCEPTS} accepts: {sizes} bytes")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=".") as folder:
        os.environ[CACHE_VARIABLE] = folder
        main()
