"""A loaded model, which embeds planes and turns prompts into masks."""

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mobilesam.core.errors import ImageError, PromptError, SettingsError
from napari_mobilesam.core.geometry import InputFrame, InputSize, Window, side_for
from napari_mobilesam.core.instances import Candidates, Instances, resolve
from napari_mobilesam.core.masks import MaskBatch
from napari_mobilesam.core.overlaps import visible_parts
from napari_mobilesam.core.planes import select_channels, to_rgb8
from napari_mobilesam.core.prompts import Prompts, check_boxes
from napari_mobilesam.core.settings import DetectorSettings, EverythingSettings, Limits
from napari_mobilesam.inference.closer import window_closer
from napari_mobilesam.inference.decode import (
    decode_candidates,
    decode_object,
    decode_objects,
)
from napari_mobilesam.inference.detect import Detector, Proposals
from napari_mobilesam.inference.encode import (
    ImageEmbedding,
    embed_plane,
    embed_seen,
    frame_for,
)
from napari_mobilesam.inference.engine import Engine, choose_device
from napari_mobilesam.inference.everything import Progress, decode_grid, decode_proposals
from napari_mobilesam.inference.magnify import decode_magnified
from napari_mobilesam.inference.top_up import more_proposals
from napari_mobilesam.zoo.card import ModelCard
from napari_mobilesam.zoo.checkpoints import load_detector

if TYPE_CHECKING:  # zarr takes as long to import as a small plane to embed
    from napari_mobilesam.inference.cache import CachedEmbeddings

WINDOWS_KEPT = 16
"""Embeddings of windows that are kept while a plane is looked at, some 4 MB each."""


class MobileSAM:
    """A loaded model: embeds planes and turns prompts into masks.

    Made by :func:`~.loading.load_model`. It holds no image: what was embedded is the
    :class:`ImageEmbedding` that :meth:`embed` returns, so one model serves any number of images
    and threads. Its ``arithmetic``, engine, precision and kind of device such as "torch bfloat16
    cpu", is what masks depend on in single pixels besides weights and input size.
    """

    def __init__(
        self,
        card: ModelCard,
        engine: Engine,
        input_size: InputSize,
        *,
        device: str,
        arithmetic: str = "torch float32 cpu",
        cached: "CachedEmbeddings | None" = None,
    ) -> None:
        self.card = card
        self.input_size = input_size
        self.arithmetic = arithmetic
        self._engine = engine
        self._device = device
        self._cached = cached

    def __repr__(self) -> str:
        return f"MobileSAM({self.card.name!r}, input_size={self.input_size})"

    @property
    def engine(self) -> Engine:
        """What runs encoder and decoder."""
        return self._engine

    @cached_property
    def _detector(self) -> Detector:
        return Detector(load_detector(self.card), choose_device(self._device))

    @property
    def rounded(self) -> bool:
        """Whether embeddings are rounded to float16, as a cache keeps them."""
        return self._cached is not None

    def embed(
        self,
        image: ArrayLike,
        *,
        limits: Limits = "percentile",
        channels: Sequence[int] | None = None,
        window: Window | None = None,
    ) -> ImageEmbedding:
        """Embed a plane; everything else is asked of what this returns.

        Parameters
        ----------
        image : (H, W), (H, W, 3), (H, W, 4) or (H, W, C) array
            Grey, RGB, RGBA or up to five channels, of any real type.
        limits : "percentile", "dtype" or (low, high)
            Intensities shown as black and white; "dtype" leaves 8-bit images unchanged.
        channels : sequence of int, optional
            One to three of the image's channels; needed where it has two or five.
        window : (y0, x0, y1, x1), optional
            The part of a large plane that prompts will lie in, as
            :func:`~napari_mobilesam.core.field.window_around` chooses it; everything mode wants
            the whole plane. Prompts and masks keep the plane's coordinates.

        Raises
        ------
        ImageError
            If the array is no plane, is empty, or holds no real numbers.
        SettingsError
            If limits, channels or window do not fit.
        """
        if window is not None:
            _check_window(window, np.shape(image))
        return embed_plane(
            self._engine,
            image,
            model=self.card.name,
            input_size=self.input_size,
            limits=limits,
            channels=channels,
            window=window,
            cached=self._cached,
        )

    def frame(self, plane_shape: tuple[int, int], window: Window | None = None) -> InputFrame:
        """Say how this model would look at a plane, or at a window of it."""
        return frame_for(self._engine, self.input_size, plane_shape, window)

    def embed_seen(self, rgb: NDArray[np.uint8], frame: InputFrame) -> ImageEmbedding:
        """Embed what a frame shows of a plane, (H, W, 3) of the frame's window."""
        name, cached = self.card.name, self._cached
        return embed_seen(self._engine, rgb, frame, model=name, cached=cached)

    def predict(
        self,
        embedding: ImageEmbedding,
        *,
        points: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask: bool = True,
    ) -> MaskBatch:
        """Find one object from its prompts.

        Parameters
        ----------
        embedding : ImageEmbedding
            What :meth:`embed` returned.
        points : (N, 2) array-like, optional
            Points as (row, column), pixel centres at integers.
        point_labels : (N,) array-like, optional
            1 for points on the object, 0 for points beside it; all 1 if not given.
        box : (4,) array-like, optional
            Half-open box (y0, x0, y1, x1), its corners in any order.
        mask_input : (S/4, S/4) array-like, optional
            ``low_res_logits`` of an earlier prediction, to be improved.
        multimask : bool
            Three candidates, for prompts that may mean a part or a whole; else one mask.

        Returns
        -------
        MaskBatch
            Candidates with the best predicted IoU first.

        Raises
        ------
        PromptError
            If there is no prompt, or one is outside the plane, not finite or of wrong shape.
        """
        self._check_embedding(embedding)
        prompts = Prompts.create(
            embedding.plane_shape,
            points=points,
            point_labels=point_labels,
            box=box,
            mask_input=mask_input,
        )
        return decode_object(self._engine, embedding, prompts, multimask=multimask)

    def predict_closely(
        self,
        image: ArrayLike,
        *,
        points: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        embedding: ImageEmbedding | None = None,
        multimask: bool = True,
        limits: Limits = "percentile",
        channels: Sequence[int] | None = None,
    ) -> MaskBatch:
        """Find one object, and if it is small, look again in a window that shows it larger.

        Parameters
        ----------
        image, limits, channels
            As for :meth:`embed`.
        points, point_labels, box, multimask
            As for :meth:`predict`.
        embedding : ImageEmbedding, optional
            What :meth:`embed` returned for this image, to save the encoder's time.

        Returns
        -------
        MaskBatch
            As of :meth:`predict`. ``frame.window`` says where the plane was looked at; go on from
            its ``low_res_logits`` with ``predict`` in ``embed(image, window=frame.window)``.

        Raises
        ------
        ImageError
            If the image is no plane, or not the one that was embedded.
        PromptError
            As of :meth:`predict`.
        """
        rgb = to_rgb8(image, limits, channels)
        embed = partial(self.embed, rgb, limits="dtype")
        seen = embed() if embedding is None else embedding
        self._check_embedded(seen, rgb)
        prompts = Prompts.create(
            seen.plane_shape, points=points, point_labels=point_labels, box=box
        )
        found = decode_object(self._engine, seen, prompts, multimask=multimask)
        answer = tuple(found.crops()), tuple(found.scores.tolist())
        window = window_closer(answer, prompts, seen.frame)
        if window is None:
            return found
        return decode_object(self._engine, embed(window=window), prompts, multimask=multimask)

    def predict_boxes(self, embedding: ImageEmbedding, boxes: ArrayLike) -> MaskBatch:
        """Find one object in each of many boxes.

        Parameters
        ----------
        embedding : ImageEmbedding
            What :meth:`embed` returned.
        boxes : (N, 4) array-like
            Half-open boxes (y0, x0, y1, x1), corners in any order.

        Returns
        -------
        MaskBatch
            N masks, in the order of the boxes.

        Raises
        ------
        PromptError
            If a box is outside the plane, not finite, or without area.
        """
        self._check_embedding(embedding)
        shape = embedding.plane_shape
        prompts = [Prompts.create(shape, box=box) for box in check_boxes(boxes, shape)]
        return decode_objects(self._engine, embedding, prompts)

    def predict_objects(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompts], *, multimask: bool = False
    ) -> MaskBatch:
        """Find many objects, each from prompts of any kind, in as few batches as can be.

        Parameters
        ----------
        embedding : ImageEmbedding
            What :meth:`embed` returned.
        prompts : sequence of Prompts
            One an object.
        multimask : bool
            Three candidates an object: masks 3i, 3i + 1 and 3i + 2 are those of object i.

        Returns
        -------
        MaskBatch
            In the order of the objects.
        """
        self._check_embedding(embedding)
        decode = decode_candidates if multimask else decode_objects
        return decode(self._engine, embedding, prompts)

    def everything(
        self,
        image: ArrayLike,
        *,
        embedding: ImageEmbedding | None = None,
        settings: EverythingSettings | None = None,
        limits: Limits = "percentile",
        channels: Sequence[int] | None = None,
        progress: Progress | None = None,
        **changes: object,
    ) -> Instances:
        """Find every object of a plane.

        Parameters
        ----------
        image : array
            As for :meth:`embed`; intensities are measured in it.
        embedding : ImageEmbedding, optional
            What :meth:`embed` returned for this image, to save the encoder's time.
        settings : EverythingSettings, optional
            All parameters; :meth:`default_settings` if not given.
        limits, channels
            As for :meth:`embed`.
        progress : callable, optional
            Called with (prompts decoded, prompts in all). Raise
            :class:`~napari_mobilesam.core.errors.CancelledError` from it to stop.
        **changes
            Single fields of :class:`EverythingSettings` to change, for example
            ``sampler="grid"``, ``confidence=0.2`` or ``min_area=30``.

        Returns
        -------
        Instances
            Label image and table; empty ones if nothing is found.

        Raises
        ------
        ImageError
            If the image is no plane, or not the one that was embedded.
        SettingsError
            If a parameter is unknown or out of range.
        """
        chosen = (settings or self.default_settings()).changed(**changes)
        rgb = to_rgb8(image, limits, channels)
        if embedding is None:
            embedding = self.embed(rgb, limits="dtype")
        candidates = self.find_candidates(rgb, embedding, chosen, progress=progress)
        return resolve(candidates, chosen, select_channels(image, channels))

    def find_candidates(
        self,
        rgb: NDArray[np.uint8],
        embedding: ImageEmbedding,
        settings: EverythingSettings,
        *,
        region: Window | None = None,
        progress: Progress | None = None,
    ) -> Candidates:
        """Decode whatever everything mode looks at, before any filter.

        Parameters
        ----------
        rgb : (H, W, 3) uint8 array
            The embedded plane.
        embedding : ImageEmbedding
            What :meth:`embed` returned for it.
        settings : EverythingSettings
            Sampler and its parameters.
        region : (y0, x0, y1, x1), optional
            Only proposals and grid points whose centre lies in this window.
        progress : callable, optional
            As for :meth:`everything`.

        Raises
        ------
        ImageError
            If the plane is not the one that was embedded.
        """
        self._check_whole(embedding)
        self._check_embedded(embedding, rgb)
        if settings.sampler == "grid":
            return decode_grid(self._engine, embedding, settings, progress, region=region)
        proposals = self.propose(rgb, settings)
        if region is not None:
            proposals = proposals.within(region)
        decode = self._decoder(embedding, rgb if settings.magnify else None)
        found = decode(proposals, progress)
        if not settings.top_up:
            return found
        kept, _ = visible_parts(found, settings)
        more = more_proposals(self._engine, embedding, rgb, found.take(kept.tolist()).masks)
        if region is not None:
            more = more.within(region)
        return found.joined(decode(more, progress))

    def decode_boxes(
        self,
        embedding: ImageEmbedding,
        proposals: Proposals,
        *,
        magnified: NDArray[np.uint8] | None = None,
        progress: Progress | None = None,
    ) -> Candidates:
        """Decode proposals, which may be drawn or edited by hand, as everything mode does.

        Parameters
        ----------
        embedding : ImageEmbedding
            What :meth:`embed` returned for the whole plane.
        proposals : Proposals
            Boxes to decode.
        magnified : (H, W, 3) uint8 array, optional
            The plane, if small objects are to be decoded in windows that show them larger.
        progress : callable, optional
            As for :meth:`everything`.
        """
        self._check_embedding(embedding)
        self._check_whole(embedding)
        boxes = check_boxes(proposals.boxes_yxyx, embedding.plane_shape)
        checked = Proposals(boxes, proposals.confidence)
        return self._decoder(embedding, magnified)(checked, progress)

    def _decoder(
        self, embedding: ImageEmbedding, magnified: NDArray[np.uint8] | None
    ) -> Callable[[Proposals, Progress | None], Candidates]:
        """Make what decodes proposals; it remembers the windows that it embedded last."""
        if magnified is None:
            return partial(decode_proposals, self._engine, embedding)

        @lru_cache(WINDOWS_KEPT)
        def embed(frame: InputFrame) -> ImageEmbedding:
            y0, x0, y1, x1 = frame.seen
            return self.embed_seen(magnified[y0:y1, x0:x1], frame)

        frame_of = partial(self.frame, embedding.plane_shape)
        return partial(decode_magnified, self._engine, embedding, frame_of, embed)

    def default_settings(self) -> EverythingSettings:
        """Everything mode's parameters as this model's card recommends them."""
        return self.card.everything

    def propose(self, rgb: NDArray[np.uint8], settings: DetectorSettings) -> Proposals:
        """Propose boxes of objects in an 8-bit RGB plane (H, W, 3), without decoding them."""
        return self._detector.propose(rgb, settings)

    def _check_embedding(self, embedding: ImageEmbedding) -> None:
        side = side_for(self.input_size, embedding.frame.seen_shape)
        if embedding.model != self.card.name or embedding.frame.input_size != side:
            raise PromptError(
                "the embedding was made by another model",
                expected=f"{self.card.name} at input size {side}",
                got=f"{embedding.model} at input size {embedding.frame.input_size}",
                remedy="Embed the image with this model.",
            )

    def _check_whole(self, embedding: ImageEmbedding) -> None:
        if embedding.frame.window is not None:
            raise ImageError(
                "only a part of this plane was embedded",
                expected="an embedding of the whole plane",
                got=f"one of the window {embedding.frame.window}",
                remedy="Embed it without window=.",
            )

    def _check_embedded(self, embedding: ImageEmbedding, rgb: NDArray[np.uint8]) -> None:
        self._check_embedding(embedding)
        if embedding.plane_shape != rgb.shape[:2]:
            raise ImageError(
                "the embedding is not of this image",
                expected=f"an image of {embedding.plane_shape} pixels",
                got=f"one of {rgb.shape[:2]}",
                remedy="Embed this image first, or leave embedding=None.",
            )


def _check_window(window: Window, image_shape: tuple[int, ...]) -> None:
    y0, x0, y1, x1 = window
    if len(image_shape) >= 2 and not (
        0 <= y0 < y1 <= image_shape[0] and 0 <= x0 < x1 <= image_shape[1]
    ):
        raise SettingsError(
            "this window is no part of the plane",
            expected=f"(y0, x0, y1, x1) of whole pixels within {image_shape[:2]}",
            got=repr(window),
        )
