"""An evaluation as a picture."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_mobilesam.evaluation.evaluate import Evaluation


def plot(evaluation: Evaluation, path: Path) -> None:
    """Draw average precision over IoU, average recall over the budget, and IoU over clicks."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    precision, recall, clicks = figure.subplots(1, 3)
    for way, scores in evaluation.everything.items():
        precision.plot(*zip(*scores.average_precision.items(), strict=True), "o-", label=way)
    precision.set(xlabel="IoU", ylabel="average precision", ylim=(0, 1))
    precision.legend()
    for what, values in (("boxes", evaluation.box_recall), ("masks", evaluation.mask_recall)):
        recall.plot(*zip(*values.items(), strict=True), "o-", label=what)
    recall.set(xlabel="proposals an image", ylabel="average recall", xscale="log", ylim=(0, 1))
    recall.legend()
    if evaluation.clicks is None:
        clicks.axis("off")
    else:
        iou = evaluation.clicks.iou
        clicks.plot(range(1, len(iou) + 1), iou, "o-")
        clicks.set(xlabel="clicks", ylabel="mean IoU", ylim=(0, 1))
    figure.suptitle(f"{evaluation.model}, {evaluation.images} images")
    figure.savefig(path, dpi=120)
