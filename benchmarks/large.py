"""Large planes: time and memory by area, and what becomes of objects on the seams.

    python benchmarks/large.py --sides 2048 4096 8192 16384

Each plane is made of known discs on noise, of which every seam cuts some, is kept on disk, and is
segmented in a process of its own, so that peak memory is its own. An object is cut or doubled if
the object found there is much smaller, or if a second one lies on it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from skimage.draw import disk

BLOCK = 1024
PITCH = 128
FLOOR, LIGHT, NOISE = 400, 1800, 60


def write_scene(side: int, folder: Path) -> None:
    """Write a plane and its labels as zarr, a block after the other."""
    options = {"shape": (side, side), "chunks": (BLOCK, BLOCK), "overwrite": True}
    image = zarr.create_array(str(folder / "image"), dtype=np.uint16, **options)
    truth = zarr.create_array(str(folder / "truth"), dtype=np.int32, **options)
    a_row = side // PITCH
    for y0, x0 in np.ndindex(side // BLOCK, side // BLOCK):
        labels = np.zeros((BLOCK, BLOCK), np.int32)
        first = np.array([y0, x0]) * BLOCK
        for row, column in np.ndindex(BLOCK // PITCH + 2, BLOCK // PITCH + 2):
            cell = first // PITCH + (row - 1, column - 1)
            if (cell >= 0).all() and (cell < a_row).all():
                rng = np.random.default_rng([*cell, side])
                centre = cell * PITCH + PITCH // 2 + rng.integers(-34, 35, 2) - first
                pixels = disk(centre, rng.integers(14, 28), shape=labels.shape)
                labels[pixels] = cell[0] * a_row + cell[1] + 1
        rng = np.random.default_rng([y0, x0, side, 1])
        grey = FLOOR + LIGHT * (labels > 0) + rng.normal(0, NOISE, labels.shape)
        window = np.s_[first[0] : first[0] + BLOCK, first[1] : first[1] + BLOCK]
        image[window], truth[window] = grey.astype(np.uint16), labels


def run_one(side: int, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    import torch

    from napari_mobilesam.bulk.plane import segment_large

    torch.set_num_threads(2)
    image = zarr.open_array(str(folder / "image"), mode="r")
    start = time.perf_counter()
    found = segment_large(
        image, output=folder / "labels", tile=arguments.tile, margin=arguments.margin
    )
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"side": side, "seconds": seconds, "peak_mb": peak // 1024, "found": len(found)}


def compare(folder: Path, tile: int, margin: int) -> dict[str, int]:
    """Count objects, those that a seam cuts, and what went wrong with either."""
    from napari_mobilesam.core.tiling import plan_tiles

    truth, found = (zarr.open_array(str(folder / n), mode="r") for n in ("truth", "labels"))
    side, tables, seams = truth.shape[0], [], []
    for y0, x0 in np.ndindex(side // BLOCK, side // BLOCK):
        window = np.s_[y0 * BLOCK : (y0 + 1) * BLOCK, x0 * BLOCK : (x0 + 1) * BLOCK]
        pairs = np.stack([truth[window].ravel(), found[window].ravel()])
        tables.append(np.vstack(np.unique(pairs, axis=1, return_counts=True)))
    for core in (part.core for part in plan_tiles(truth.shape, tile, margin)):
        seams += [truth[row, core[1] : core[3]] for row in (core[0], core[2] - 1)]
        seams += [truth[core[0] : core[2], column] for column in (core[1], core[3] - 1)]
    pairs, which = np.unique(np.hstack(tables)[:2], axis=1, return_inverse=True)
    true, label = pairs
    shared = np.bincount(which, weights=np.hstack(tables)[2])
    objects = int(true.max())
    area = np.bincount(true, weights=shared, minlength=objects + 1)
    real = (true > 0) & (label > 0) & (shared > 0.1 * area[true])
    hits = np.bincount(true[real], minlength=objects + 1)
    best = np.zeros(objects + 1)
    np.maximum.at(best, true[real], shared[real])
    on_seam = np.zeros(objects + 1, bool)
    on_seam[np.concatenate(seams)] = True
    on_seam[0] = False
    there = area > 0
    there[0] = False
    return {
        "objects": int(there.sum()),
        "missed": int((there & (hits == 0)).sum()),
        "on_seams": int(on_seam.sum()),
        "on_seams_missed": int((on_seam & (hits == 0)).sum()),
        "on_seams_cut": int((on_seam & (hits > 0) & (best < 0.75 * area)).sum()),
        "on_seams_doubled": int((on_seam & (hits > 1)).sum()),
        "doubled": int((hits > 1).sum()),
        "cut": int((there & (hits > 0) & (best < 0.75 * area)).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[2048, 4096])
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--margin", type=int, default=80)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        side, folder = arguments.only
        print(json.dumps(run_one(int(side), Path(folder), arguments)))
        return
    rows = []
    for side in arguments.sides:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_scene(side, folder)
            command = [sys.executable, "-W", "ignore", *sys.argv, "--only", str(side), name]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            row = json.loads(output.stdout.splitlines()[-1])
            rows.append(row | compare(folder, arguments.tile, arguments.margin))
            print(rows[-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
