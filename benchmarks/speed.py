"""Speed, memory and agreement of the engines, against MobileSAM's reference code.

The reference is ``mobilesam-mirror`` (``SamPredictor`` and ``SamAutomaticMaskGenerator``) with the
weights that this package exports. Every part of every engine runs in a process of its own, so that
peak memory is its own; times are medians after one warm run, in milliseconds.

    python benchmarks/speed.py --parts encoder prompt boxes everything --json speed.json
    python benchmarks/speed.py --parts agreement --images labelled.zip

The reference decodes 320 boxes at a time, as MobileSAMv2 does. Its parts ``boxes`` and
``everything`` take minutes. ``--reference-boxes`` and ``--reference-points`` let it do a share of
its boxes and of its 32 x 32 grid of points; its time is then scaled to the whole, and marked with
an asterisk, but its memory is not. ``growth_mb`` is what a part took over the loaded model and
the ready embedding.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from skimage import data, measure, transform

SIDE = 1024
GRID = 32
REFERENCE_BATCH = 320
ENGINES = (
    "reference",
    "torch:float32",
    "torch:bfloat16",
    "openvino:float32",
    "openvino:bfloat16",
)
GPU_ENGINE = "torch:float16"
PARTS = ("encoder", "prompt", "boxes", "everything", "agreement")


def image(side: int = SIDE) -> np.ndarray:
    """Immunohistochemistry, 1024 x 1024 or as asked for."""
    tissue = transform.resize(data.immunohistochemistry(), (side, side))
    return (255 * tissue).astype(np.uint8)


def labelled(arguments: argparse.Namespace) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """RGB images, and boxes (y0, x0, y1, x1) in them: of labelled objects, or made up."""
    if arguments.images is None:
        yield image(), boxes_yxyx(32)
        return
    from napari_mobilesam.core.planes import to_rgb8
    from napari_mobilesam.io.labelled_images import LabelledImages

    for scene in list(LabelledImages(arguments.images))[: arguments.count]:
        boxes = [region.bbox for region in measure.regionprops(scene.labels)]
        if boxes:
            yield to_rgb8(scene.image, "dtype"), np.array(boxes[: arguments.boxes], float)


def boxes_yxyx(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, SIDE - 80, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(24, 80, (count, 2))], axis=1)


def milliseconds(run: Callable[[], object], rounds: int) -> float:
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


@contextmanager
def memory() -> Iterator[dict[str, int]]:
    """Measure by how much the process grows, in MB, every few milliseconds."""
    process, done, grown = psutil.Process(), threading.Event(), {"growth_mb": 0}
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.005):
            more = (process.memory_info().rss - before) >> 20
            grown["growth_mb"] = max(grown["growth_mb"], more)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield grown
    finally:
        done.set()
        watcher.join()


class Reference:
    """MobileSAM's own code on our weights."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        import torch
        from mobile_sam import SamPredictor, sam_model_registry

        from napari_mobilesam.zoo.export import export_model

        with tempfile.TemporaryDirectory() as folder:
            path = export_model("micro", Path(folder) / "mobile_sam.pt")
            self.model = sam_model_registry["vit_t"](checkpoint=str(path)).eval()
        self.model.to(arguments.device)
        self.torch, self.predictor, self.arguments = torch, SamPredictor(self.model), arguments

    def encoder(self) -> dict[str, object]:
        """Embed one image."""
        picture = image()

        def run() -> object:
            self.predictor.set_image(picture)
            return self.predictor.features.cpu()

        return {"ms": milliseconds(run, self.arguments.rounds)}

    def prompt(self) -> dict[str, object]:
        """Add a point to a mask in hand, on a ready embedding, to a full-size mask."""
        side = self.arguments.side
        self.predictor.set_image(image(side))
        xy = np.array([[500, 500], [520, 470]]) * side / SIDE
        point = {"point_coords": xy[:1], "point_labels": np.ones(1)}
        mask = self.predictor.predict(**point)[2][:1]
        more = {"point_coords": xy, "point_labels": np.ones(2)}
        run = lambda: self.predictor.predict(**more, mask_input=mask)  # noqa: E731
        return {"ms": milliseconds(run, self.arguments.rounds)}

    def masks(self, boxes: np.ndarray) -> np.ndarray:
        """Full-size masks (N, H, W) of boxes, on the image that was set."""
        xyxy = self.torch.from_numpy(boxes[:, [1, 0, 3, 2]]).to(self.arguments.device)
        masks, _, _ = self.predictor.predict_torch(
            None,
            None,
            self.predictor.transform.apply_boxes_torch(xyxy, self.predictor.original_size).float(),
            multimask_output=False,
        )
        return masks[:, 0].cpu().numpy()

    def boxes(self) -> dict[str, object]:
        """Decode many boxes, on a ready embedding, to an int32 label image."""
        self.predictor.set_image(image())
        boxes = boxes_yxyx(self.arguments.boxes)
        share = boxes[: self.arguments.reference_boxes or len(boxes)]

        def labels() -> np.ndarray:
            found = np.zeros((SIDE, SIDE), np.int32)
            for start in range(0, len(share), REFERENCE_BATCH):
                batch = share[start : start + REFERENCE_BATCH]
                for i, mask in enumerate(self.masks(batch), start + 1):
                    found[mask] = i
            return found

        with memory() as grown:
            start = time.perf_counter()
            labels()
            seconds = time.perf_counter() - start
        scale = len(boxes) / len(share)
        return {"ms": 1000 * scale * seconds, "scaled": scale > 1, **grown}

    def everything(self) -> dict[str, object]:
        """Find everything in the image."""
        from mobile_sam import SamAutomaticMaskGenerator

        side = self.arguments.reference_points
        generator = SamAutomaticMaskGenerator(self.model, points_per_side=side)
        picture = image()
        embed = milliseconds(lambda: self.predictor.set_image(picture), 1)
        start = time.perf_counter()
        generator.generate(picture)
        rest = 1000 * (time.perf_counter() - start) - embed
        return {"ms": embed + rest * (GRID / side) ** 2, "scaled": side != GRID}


class Ours:
    """Our engines, by the public functions."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        import napari_mobilesam as mobilesam

        engine, precision = name.split(":")
        self.arguments = arguments
        self.sam = mobilesam.load_model(
            "micro", device=arguments.device, input_size=SIDE, engine=engine, precision=precision
        )

    def encoder(self) -> dict[str, object]:
        """Embed one image."""
        picture = image()
        run = lambda: self.sam.embed(picture, limits="dtype")  # noqa: E731
        return {"ms": milliseconds(run, self.arguments.rounds)}

    def prompt(self) -> dict[str, object]:
        """Add a point to a mask in hand, on a ready embedding, to a full-size mask."""
        side = self.arguments.side
        embedding = self.sam.embed(image(side), limits="dtype")
        points = np.array([(500, 500), (470, 520)]) * side / SIDE
        mask = self.sam.predict(embedding, points=points[:1]).low_res_logits[0]

        def run() -> np.ndarray:
            found = self.sam.predict(embedding, points=points, mask_input=mask)
            return found[:1].to_array()

        return {"ms": milliseconds(run, self.arguments.rounds)}

    def boxes(self) -> dict[str, object]:
        """Decode many boxes, on a ready embedding, to an int32 label image."""
        from napari_mobilesam.core.instances import resolve
        from napari_mobilesam.inference.detect import Proposals

        embedding = self.sam.embed(image(), limits="dtype")
        boxes = boxes_yxyx(self.arguments.boxes)
        proposals = Proposals(boxes, np.ones(len(boxes), np.float32))
        with memory() as grown:
            start = time.perf_counter()
            candidates = self.sam.decode_boxes(embedding, proposals)
            decoded = time.perf_counter()
            resolve(candidates)
            end = time.perf_counter()
        table_ms = 1000 * (end - decoded)
        return {"ms": 1000 * (end - start), "labels_and_table_ms": table_ms, **grown}

    def everything(self) -> dict[str, object]:
        """Find everything in the image."""
        picture = image()
        found = self.sam.everything(picture, limits="dtype")
        ms = milliseconds(lambda: self.sam.everything(picture, limits="dtype"), 1)
        return {"ms": ms, "objects": len(found)}

    def agreement(self) -> dict[str, object]:
        """IoU of masks with the reference's, and the largest error of the embeddings."""
        reference = Reference(self.arguments)
        ious, errors = [], []
        for picture, boxes in labelled(self.arguments):
            reference.predictor.set_image(picture)
            embedding = self.sam.embed(picture, limits="dtype")
            found = self.sam.predict_boxes(embedding, boxes).to_array()
            expected = reference.masks(boxes)
            either = (found | expected).sum((1, 2))
            both = (found & expected).sum((1, 2))
            ious.append(np.where(either, both / np.maximum(either, 1), 1))
            errors.append(
                np.abs(reference.predictor.features[0].cpu().numpy() - embedding.features).max()
            )
        iou = np.concatenate(ious)
        return {
            "mean_iou": iou.mean(),
            "worst_iou": iou.min(),
            "embedding_error": float(max(errors)),
            "images": len(errors),
            "masks": len(iou),
        }


def run_one(part: str, engine: str, arguments: argparse.Namespace) -> dict[str, object]:
    import torch

    torch.set_num_threads(arguments.threads)
    runner = Reference(arguments) if engine == "reference" else Ours(engine, arguments)
    figures = getattr(runner, part)()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"part": part, "engine": engine, **figures, "peak_mb": peak // 1024}


def table(rows: list[dict[str, object]]) -> None:
    reference = {row["part"]: row for row in rows if row["engine"] == "reference"}
    print(f"{'part':12s}{'engine':20s}{'ms':>11s}{'faster':>9s}{'peak MB':>9s}{'growth':>8s}")
    for row in rows:
        if "ms" not in row:
            keys = ("mean_iou", "worst_iou", "embedding_error", "images", "masks")
            values = (f"{key} {row[key]:.5g}" for key in keys)
            print(f"{row['part']:12s}{row['engine']:20s}", *values)
            continue
        base = reference.get(row["part"])
        faster = f"{base['ms'] / row['ms']:.1f}x" if base else ""
        ms = f"{row['ms']:.0f}{'*' if row.get('scaled') else ''}"
        print(f"{row['part']:12s}{row['engine']:20s}{ms:>11s}{faster:>9s}", end="")
        print(f"{row['peak_mb']:9d}{row.get('growth_mb', ''):>8}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--engines", nargs="+", choices=(*ENGINES, GPU_ENGINE), default=ENGINES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--boxes", type=int, default=320, help="1 to 1000")
    parser.add_argument("--side", type=int, default=SIDE, help="of the plane of a prompt")
    parser.add_argument("--images", type=Path, help="labelled images, a folder or zip")
    parser.add_argument("--count", type=int, default=50, help="labelled images to compare on")
    parser.add_argument("--reference-boxes", type=int, help="boxes the reference decodes")
    parser.add_argument("--reference-points", type=int, default=GRID, help="side of its grid")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(run_one(*arguments.only, arguments), default=float))
        return
    rows = []
    for part in arguments.parts:
        for engine in arguments.engines:
            if (part, engine) != ("agreement", "reference"):
                command = [sys.executable, "-W", "ignore", *sys.argv, "--only", part, engine]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                rows.append(json.loads(output.stdout.splitlines()[-1]))
    table(rows)
    if arguments.json:
        machine = {"processor": platform.processor(), "threads": arguments.threads}
        arguments.json.write_text(json.dumps({**machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
