"""Decoupled distillation: an encoder learns the embeddings of a larger one.

Zhang et al., "Faster Segment Anything" (MobileSAM, arXiv 2306.14289), section 3.2: the student
minimises the mean squared error to the teacher's image embeddings, which are computed once and
kept on disk; the decoder takes no part, and serves the student unchanged afterwards.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.core.geometry import InputFrame
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.core.scene import Scene
from napari_mobilesam.inference.encode import resize_to_input
from napari_mobilesam.io.images import IMAGE_SUFFIXES, read_image
from napari_mobilesam.models.sam import Sam
from napari_mobilesam.training.encoder import Validate, fit_encoder
from napari_mobilesam.training.fit import Progress
from napari_mobilesam.training.processes import rank_and_count, wait_for_all
from napari_mobilesam.training.settings import DistillSettings


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Images of one step and what the teacher made of them.

    Parameters
    ----------
    rgb : list of (h, w, 3) uint8 arrays
        Images resized to the encoder's input.
    embeddings : (B, 256, e, e) float16 array
        The teacher's.
    """

    rgb: list[NDArray[np.uint8]]
    embeddings: NDArray[np.float16]


class ImageFiles(Sequence[Scene]):
    """Images in a folder and those below it, in the order of their names, without labels.

    Parameters
    ----------
    folder : Path
        Where to look for files that :func:`~napari_mobilesam.io.images.read_image` reads.

    Raises
    ------
    FileFormatError
        If there are none.
    """

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.rglob("*"))
        self.paths = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
        if not self.paths:
            raise FileFormatError(
                f"{folder} holds no images", expected=f"files of type {' '.join(IMAGE_SUFFIXES)}"
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Scene:  # type: ignore[override]
        """Read one image."""
        pixels = read_image(self.paths[index]).pixels
        labels = np.zeros(pixels.shape[:2], np.int32)
        return Scene(pixels, labels, labels)  # type: ignore[arg-type]  # of any type, here


@torch.inference_mode()
def write_embeddings(
    teacher: Sam,
    images: Sequence[Scene],
    input_size: int,
    path: Path,
    *,
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
) -> None:
    """Embed images by the teacher, once; goes on where an earlier call was cut off.

    In a :func:`~.processes.process_group`, the processes share the images.

    Parameters
    ----------
    teacher : Sam
        Any model.
    images : sequence of Scene
        What to embed; the order is what ties images to embeddings.
    input_size : int
        Side of the encoder's input, in pixels.
    path : Path
        A folder of two zarr arrays: float16 ``embeddings`` (N, 256, e, e), one chunk an image, and
        ``done`` (N,).
    progress : callable, optional
        Called with images done and images in all.
    device : torch.device or str
        Where to compute.
    """
    side = input_size // teacher.embedding_stride
    shape, chunk = (len(images), 256, side, side), (1, 256, side, side)
    rank, count = rank_and_count()
    if rank > 0:
        wait_for_all()  # the first process makes the arrays
    embeddings = zarr.open_array(
        path / "embeddings", mode="a", shape=shape, chunks=chunk, dtype="float16"
    )
    done = zarr.open_array(path / "done", mode="a", shape=shape[:1], chunks=(1,), dtype="bool")
    if rank == 0:
        embeddings.attrs["input_size"] = input_size
        wait_for_all()
    teacher.to(device).eval()
    mine = range(rank, len(images), count)
    for index in (index for index in mine if not done[index]):
        x = _input(teacher, _resized(images[index], input_size), input_size)
        embeddings[index] = teacher.encode(x)[0].float().cpu().numpy()
        done[index] = True
        if progress is not None:
            progress(index + 1, len(images))
    wait_for_all()


class Lessons:
    """Images and their stored embeddings by step, in an order drawn anew every epoch.

    Parameters
    ----------
    images : sequence of Scene
        Those that were embedded, in the same order.
    path : Path
        What :func:`write_embeddings` wrote.
    settings : DistillSettings
        Batch size and seed.

    Raises
    ------
    FileFormatError
        If not all of these images, or others, were embedded.
    """

    def __init__(self, images: Sequence[Scene], path: Path, settings: DistillSettings) -> None:
        embeddings = zarr.open_array(path / "embeddings", mode="r")
        done = np.asarray(zarr.open_array(path / "done", mode="r")[:])
        if len(done) != len(images) or not done.all():
            raise FileFormatError(
                f"the embeddings in {path.name} are not complete",
                expected=f"{len(images)} images",
                got=f"{int(done.sum())} of {len(done)} embedded",
                remedy="Write the embeddings of the same images first.",
            )
        self.input_size = int(str(embeddings.attrs["input_size"]))
        self._images = images
        self._embeddings = embeddings
        self._settings = settings

    def __getitem__(self, step: int) -> Lesson:
        """Images and embeddings of one step."""
        chosen = [self._image_at(step, i) for i in range(self._settings.batch_size)]
        rgb = [_resized(self._images[index], self.input_size) for index in chosen]
        return Lesson(rgb, np.stack([np.asarray(self._embeddings[index]) for index in chosen]))

    def _image_at(self, step: int, position: int) -> int:
        """Which image comes at a position of a step: epochs are permutations."""
        epoch, index = divmod(step * self._settings.batch_size + position, len(self._images))
        order = np.random.default_rng([self._settings.seed, epoch]).permutation(len(self._images))
        return int(order[index])


def distill(
    student: Sam,
    lessons: Lessons,
    settings: DistillSettings,
    folder: Path,
    *,
    validate: Validate | None = None,
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
    workers: int = 0,
) -> None:
    """Train a student's image encoder on a teacher's embeddings; see :func:`~.encoder.fit_encoder`.

    Parameters
    ----------
    student : Sam
        Its encoder is changed; its prompt encoder and its decoder are not.
    lessons : Lessons
        Images and embeddings.
    settings : DistillSettings
        How to train.
    folder : Path
        Where the run is kept, and gone on with if it holds a checkpoint.
    validate : callable, optional
        Scores the averaged student now and then.
    progress : callable, optional
        Called with steps done and steps in all.
    device : torch.device or str
        Where to compute.
    workers : int
        Processes that read images and embeddings; 0 reads them in this one.

    Raises
    ------
    CheckpointError
        If the folder holds a checkpoint of another architecture.
    """
    kind = torch.device(device).type
    size = lessons.input_size

    def losses(_: int, lesson: Lesson) -> Iterator[Tensor]:
        x = torch.cat([_input(student, rgb, size) for rgb in lesson.rgb])
        with torch.autocast(kind, torch.bfloat16, settings.bfloat16):
            learned = student.encode(x)
        taught = torch.from_numpy(lesson.embeddings).to(device).float()
        yield F.mse_loss(learned.float(), taught)

    fit_encoder(
        student.to(device),
        lessons,
        losses,
        settings,
        folder,
        validate=validate,
        progress=progress,
        workers=workers,
    )


def _resized(scene: Scene, input_size: int) -> NDArray[np.uint8]:
    rgb = to_rgb8(scene.image)
    return resize_to_input(rgb, InputFrame(rgb.shape[:2], input_size))


def _input(sam: Sam, rgb: NDArray[np.uint8], input_size: int) -> Tensor:
    device = next(sam.parameters()).device
    image = torch.from_numpy(rgb).to(device).permute(2, 0, 1)[None]
    return sam.preprocess(image, input_size)
