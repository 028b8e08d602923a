"""Figures and pictures of the model card of ``micro`` (docs/micro.md).

Prompts of every object by its box and by its most interior point, on labelled images that the
model did not learn from, on synthetic scenes of every kind, and on coins, which nobody has ever
shown it; pictures of what one point or box gives on images that come with scikit-image.

    python benchmarks/model_card.py dsb2018_val.zip --picture docs/images/micro.jpg
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from skimage import data, filters, measure, morphology, segmentation

import napari_mobilesam as mobilesam
from napari_mobilesam.cli.overlay import draw_objects
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.evaluation.prompted import centre_point, evaluate_prompts
from napari_mobilesam.training.micro import score_table

COLUMNS = ("box", "closer", "point", "closer", "best of three", "objects", "rank correlation")
PANEL = 420


def coins() -> Scene:
    """Greek coins, labelled by the watershed of scikit-image's own tutorial."""
    image = data.coins()
    markers = np.select([image < 30, image > 150], [1, 2], 0)
    regions = segmentation.watershed(filters.sobel(image), markers) - 1
    solid = morphology.remove_small_objects(ndimage.binary_fill_holes(regions), max_size=200)
    labels = measure.label(solid).astype(np.int32)
    return Scene(image, labels, np.zeros_like(labels))


def table(arguments: argparse.Namespace, *, closer: bool) -> pd.DataFrame:
    """Scores of every kind, with planes seen whole or small objects looked at closer."""
    rows = score_table(
        arguments.model,
        arguments.dataset,
        input_size=arguments.input_size,
        images=arguments.images,
        scenes_per_kind=arguments.scenes,
        objects_per_image=arguments.objects,
        device="cpu",
        closer=closer,
    )
    sam = mobilesam.load_model(arguments.model, device="cpu", input_size=arguments.input_size)
    scores = evaluate_prompts(sam.engine, [coins()], sam.input_size, 24, closer=closer)
    return pd.concat([rows, pd.DataFrame([scores.as_row()], index=["coins (never shown)"])])


def as_markdown(whole: pd.DataFrame, closer: pd.DataFrame) -> str:
    head = ["kind", *COLUMNS]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for kind, seen in whole.iterrows():
        row = closer.loc[kind]
        values = (seen["box"], row["box"], seen["point"], row["point"], row["best_point"])
        cells = [str(kind), *(f"{value:.3f}" for value in values)]
        cells += [f"{row['objects']:.0f}", f"{row['rank_correlation']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def panel(sam: mobilesam.MobileSAM, image: np.ndarray, points: list, boxes: list) -> Image.Image:
    """Draw one mask a point or box."""
    embedding, labels = sam.embed(image), np.zeros(image.shape[:2], np.int32)
    batches = [sam.predict(embedding, points=[point]) for point in points]
    batches += [sam.predict(embedding, box=box, multimask=False) for box in boxes]
    for number, batch in enumerate(batches, start=1):
        labels[batch.to_array()[0]] = number
    marks = [(*point, 1) for point in points]
    drawn = draw_objects(to_rgb8(image), labels, points=marks, boxes=boxes)
    return drawn.resize((PANEL, round(PANEL * drawn.height / drawn.width)))


def picture(sam: mobilesam.MobileSAM) -> Image.Image:
    money = coins()
    numbers = range(1, money.labels.max() + 1)
    centres = [centre_point(money.labels == number) for number in numbers]
    tissue = data.immunohistochemistry()
    panels = [
        panel(sam, money.image, centres, []),
        panel(sam, data.cell()[150:550, 100:500], [(215, 325)], []),
        panel(sam, tissue, [(400, 318)], []),
        panel(sam, tissue[:380, :380], [], [(15, 5, 330, 200)]),
    ]
    height = max(drawn.height for drawn in panels)
    sheet = Image.new("RGB", (len(panels) * (PANEL + 8), height), "white")
    for column, drawn in enumerate(panels):
        sheet.paste(drawn, (column * (PANEL + 8), 0))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default="micro", help="name or checkpoint")
    parser.add_argument("--input-size", type=int, help="the model's own if not given")
    parser.add_argument("--images", type=int, help="evenly spaced ones; all if not given")
    parser.add_argument("--scenes", type=int, default=3, help="synthetic scenes of each kind")
    parser.add_argument("--objects", type=int, default=12, help="most objects of an image")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    if arguments.picture:
        sam = mobilesam.load_model(arguments.model, device="cpu")
        picture(sam).save(arguments.picture, quality=88)
    whole, closer = (table(arguments, closer=look) for look in (False, True))
    print(as_markdown(whole, closer))


if __name__ == "__main__":
    main()
