"""Every parameter of training, without torch, so that the command line can list them."""

from typing import Self

from pydantic import Field, model_validator

from napari_mobilesam.core.settings import Fraction, Settings


class FitSettings(Settings):
    """How a network is trained, whatever teaches it."""

    steps: int = Field(
        10_000, ge=1, title="Steps", description="The run ends after so many optimiser steps."
    )
    seconds: float | None = Field(
        None, gt=0, title="Seconds", description="The run ends after so long, if that is sooner."
    )
    learning_rate: float = Field(
        2e-4, gt=0, title="Learning rate", description="Its greatest value, after the warm-up."
    )
    final_rate: Fraction = Field(
        0.02, title="Final rate", description="Share of the learning rate that the cosine leaves."
    )
    warmup_steps: int = Field(
        50, ge=0, title="Warm-up", description="Steps of linearly growing learning rate."
    )
    weight_decay: float = Field(
        0.01, ge=0, title="Weight decay", description="AdamW's, on matrices and kernels only."
    )
    max_gradient: float = Field(
        1.0, gt=0, title="Gradient norm", description="Longer gradients are shortened to this."
    )
    average_decay: float = Field(
        0.995,
        ge=0,
        lt=1,
        title="Averaging",
        description="Decay a step of the averaged weights, which are the result.",
    )
    bfloat16: bool = Field(
        False, title="Mixed precision", description="Compute in bfloat16 where torch deems it safe."
    )
    checkpoint_seconds: float = Field(
        300, ge=0, title="Checkpoint interval", description="Seconds between checkpoints."
    )
    validation_seconds: float = Field(
        1200, ge=0, title="Validation interval", description="Seconds between validations."
    )

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"{self.warmup_steps} steps of warm-up (warmup_steps, --warmup-steps) must be "
                f"fewer than the {self.steps} steps in all"
            )
        return self


class DecoderGuidedSettings(FitSettings):
    """How an encoder is taught through the decoder."""

    point_weight: float = Field(
        1.5, ge=0, title="Point weight", description="Weight of point prompts; boxes have 1."
    )
    corrective_share: Fraction = Field(
        0.4, title="Corrective share", description="Share of the steps with corrective clicks."
    )
    pixels_at_once: int = Field(
        0,
        ge=0,
        title="Pixels at once",
        description="Input pixels of the images computed together; with 0 one image at a time.",
    )


class DistillSettings(FitSettings):
    """How a student learns from a teacher's embeddings."""

    batch_size: int = Field(8, ge=1, title="Batch size", description="Images of an optimiser step.")
    seed: int = Field(0, ge=0, title="Seed", description="Same seed, same order of the images.")


class DetectorDataSettings(Settings):
    """What the detector learns from."""

    tile: int = Field(
        512,
        ge=64,
        le=1024,
        title="Tile",
        description="Larger images are cut into tiles of at most this side, in pixels.",
    )
    scenes: int = Field(
        1600, ge=0, title="Synthetic scenes", description="How many, all kinds alike."
    )
    synthetic_share: Fraction = Field(
        0.44,
        lt=1,
        title="Synthetic share",
        description="Share of the tiles drawn that are synthetic, where there are others.",
    )
    colour_odds: float = Field(
        2.5,
        gt=0,
        title="Odds of colour",
        description="How much more often a tile of a colour image is drawn than a grey one.",
    )
    data_seed: int = Field(0, ge=0, title="Data seed", description="Same seed, same scenes.")


class ViewSettings(Settings):
    """How the detector is shown what it learns from."""

    least_zoom: float = Field(
        0.75, gt=0, title="Least zoom", description="Pixels of a view per pixel of the image."
    )
    greatest_zoom: float = Field(
        3.0, gt=0, title="Greatest zoom", description="Pixels of a view per pixel of the image."
    )
    mosaic: Fraction = Field(
        0.4, title="Mosaic", description="Share of the views that are made of four images."
    )
    contrast: Fraction = Field(
        0.5,
        title="Contrast",
        description="Share of the views whose gamma is altered, and at 0.6 times "
        "these odds their range.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least_zoom > self.greatest_zoom:
            raise ValueError("least_zoom must not be above greatest_zoom")
        return self


class DetectorTrainingSettings(FitSettings):
    """How the detector is trained, in two stages as MobileSAMv2's (arXiv 2312.09579)."""

    mask_steps: int = Field(
        0, ge=0, title="Steps with masks", description="Of boxes and masks together; 0 skips it."
    )
    steps: int = Field(
        5000, ge=1, title="Steps of boxes", description="Of boxes alone, afterwards."
    )
    seconds: float | None = Field(
        None, gt=0, title="Seconds", description="Each stage ends after so long, if that is sooner."
    )
    learning_rate: float = Field(
        1.5e-3, gt=0, title="Learning rate", description="Its greatest value, after the warm-up."
    )
    final_rate: Fraction = Field(
        0.01, title="Final rate", description="Share of the learning rate that the cosine leaves."
    )
    warmup_steps: int = Field(
        100, ge=0, title="Warm-up", description="Steps of linearly growing learning rate."
    )
    weight_decay: float = Field(
        0.005, ge=0, title="Weight decay", description="AdamW's, on kernels only."
    )
    max_gradient: float = Field(
        10.0, gt=0, title="Gradient norm", description="Longer gradients are shortened to this."
    )
    average_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        title="Averaging",
        description="Decay a step of the averaged weights, which are the result.",
    )
    image_size: int = Field(
        384,
        ge=64,
        multiple_of=32,
        title="Image size",
        description="Side of the views in pixels, a multiple of 32.",
    )
    batch_size: int = Field(8, ge=1, title="Batch size", description="Views of a step.")
    seed: int = Field(0, ge=0, title="Seed", description="Same seed, same views.")
