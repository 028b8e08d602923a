"""``micro`` on real images of kinds that it was never shown: electron microscopy, blood, grains.

The images are test and sample files of other packages; docs/micro.md says which. They come without
labels. Where an object stands free, its outline is a threshold's, and only those are taken that are
compact and whole; stones and grains of metal that touch were outlined by eye, twice and
independently, on the enlarged image alone. Every object is prompted by its box and by its most
interior point, once on the plane seen whole and once looked at closer, as the widget does.

    python benchmarks/unseen.py FOLDER --picture docs/images/unseen.jpg
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import filters, measure
from skimage.draw import polygon2mask
from skimage.io import imread

import napari_mobilesam as mobilesam
from napari_mobilesam.cli.overlay import draw_objects
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.evaluation.prompted import evaluate_prompts

BY_EYE = Path(__file__).with_name("unseen_outlines.json")
"""Vertices (row, column) of outlines, by what they outline and who drew them; the first pixel spans
0 to 1."""

SEM_BAR = 345 / 384
"""The share of a Zeiss SEM image, and of the gold's, above the bar with its scale."""

METAL = "test_tiff_Zeiss_SEM_1k.tif"

Labels = NDArray[np.int32]


def smooth(image: NDArray[np.generic], sigma: float) -> NDArray[np.float64]:
    return ndimage.gaussian_filter(image.astype(np.float64), sigma)


def compact(mask: NDArray[np.bool_], least: int, solidity: float) -> Labels:
    """Label the objects that are whole, large enough, and filled and convex enough."""
    height, width = mask.shape
    regions = measure.label(ndimage.binary_fill_holes(mask))
    labels = np.zeros(mask.shape, np.int32)
    for region in measure.regionprops(regions):
        y0, x0, y1, x1 = region.bbox
        is_whole = y0 > 0 and x0 > 0 and y1 < height and x1 < width
        if is_whole and region.area >= least and region.solidity >= solidity:
            labels[regions == region.label] = labels.max() + 1
    return labels


def blood(image: NDArray[np.uint8]) -> Labels:
    green = smooth(image[..., 1], 1)
    return compact(green < filters.threshold_otsu(green), 400, 0.96)


def pores(image: NDArray[np.uint8]) -> Labels:
    grey = smooth(image, 1.5)
    return compact(grey < filters.threshold_local(grey, 101, offset=18), 60, 0.93)


def particles(image: NDArray[np.uint8]) -> Labels:
    return compact(smooth(image, 1.5) > 200, 60, 0.9)


def nuclei(image: NDArray[np.uint8]) -> Labels:
    grey = smooth(image, 2)
    return compact(grey > filters.threshold_triangle(grey), 800, 0.96)


def outlined(objects: str, drawn_by: str) -> Callable[[NDArray[np.uint8]], Labels]:
    """Label what was outlined by eye."""

    def labels(image: NDArray[np.uint8]) -> Labels:
        drawn = np.zeros(image.shape, np.int32)
        outlines = json.loads(BY_EYE.read_text())[objects][drawn_by]
        for number, outline in enumerate(outlines, start=1):
            centred = np.asarray(outline) - 0.5
            drawn[polygon2mask(image.shape, centred) & (drawn == 0)] = number
        return drawn

    return labels


def agreement(first: Labels, second: Labels) -> float:
    """Mean IoU of objects with the same numbers."""
    numbers = range(1, first.max() + 1)
    pairs = [(first == number, second == number) for number in numbers]
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs]))


KINDS: dict[str, tuple[str, float, Callable[[NDArray[np.uint8]], Labels]]] = {
    "blood smear, cells that stand free": ("test.jpg", 1.0, blood),
    "SEM, pores of gold": ("Sample.tif", 690 / 768, pores),
    "SEM, particles beside a crack": ("test_tiff_Zeiss_SEM_512pix.tif", SEM_BAR, particles),
    "SEM, grains of metal": (METAL, 690 / 768, outlined("metal", "first")),
    "SEM, grains of metal, outlined again": (METAL, 690 / 768, outlined("metal", "second")),
    "gravel": ("gravel.png", 1.0, outlined("gravel", "first")),
    "gravel, outlined again": ("gravel.png", 1.0, outlined("gravel", "second")),
    "fluorescent nuclei of another laboratory": ("nuclear.png", 1.0, nuclei),
}

TWICE = {
    "SEM, grains of metal": "SEM, grains of metal, outlined again",
    "gravel": "gravel, outlined again",
}

PICTURED = ("SEM, pores of gold", "gravel")


def read(path: Path, share: float) -> NDArray[np.uint8]:
    """Read an image without the bar at its bottom; grey if its channels are equal."""
    image = imread(path)
    image = image[: round(share * len(image))]
    if image.ndim == 3 and (path.name == "nuclear.png" or np.ptp(image, axis=-1).max() == 0):
        return image[..., 0]
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--picture", type=Path, help="what everything mode finds")
    arguments = parser.parse_args()
    sam = mobilesam.load_model("micro", device="cpu")
    panels, outlines = [], {}
    print("| images | objects | box | closer | point | closer |\n|---|---:|---:|---:|---:|---:|")
    for kind, (file, share, label) in KINDS.items():
        image = read(arguments.folder / file, share)
        labels = outlines[kind] = label(image)
        scenes = [Scene(image, labels, np.zeros_like(labels))]
        whole, closer = (
            evaluate_prompts(sam.engine, scenes, sam.input_size, None, closer=closer)
            for closer in (False, True)
        )
        figures = (whole.box, closer.box, whole.point, closer.point)
        print(f"| {kind} | {whole.objects} |", " | ".join(f"{x:.3f}" for x in figures), "|")
        if arguments.picture and kind in PICTURED:
            panels.append(draw_objects(to_rgb8(image), sam.everything(image).labels))
    for once, again in TWICE.items():
        same = agreement(outlines[once], outlines[again])
        print(f"The two outlines of {once} have a mean IoU of {same:.3f}.")
    if arguments.picture:
        panels = [panel.resize((round(460 * panel.width / panel.height), 460)) for panel in panels]
        sheet = Image.new("RGB", (sum(panel.width + 8 for panel in panels) - 8, 460), "white")
        left = 0
        for panel in panels:
            sheet.paste(panel, (left, 0))
            left += panel.width + 8
        sheet.save(arguments.picture, quality=86)


if __name__ == "__main__":
    main()
