"""Every parameter, stated once: titles, ranges and units for the API, the command line and the GUI."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Limits = Literal["percentile", "dtype"] | tuple[float, float]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Sampler = Literal["objects", "grid"]


class Settings(BaseModel):
    """Base of all settings: frozen, and closed to misspelt names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectorSettings(Settings):
    """How boxes are proposed by the object-aware detector (MobileSAMv2, section 3.2)."""

    confidence: Fraction = Field(
        0.4, title="Confidence", description="Proposals below this detector confidence are dropped."
    )
    nms_iou: Fraction = Field(
        0.9, title="NMS IoU", description="Of two boxes that overlap more than this, one is kept."
    )
    image_size: int = Field(
        1024,
        ge=64,
        le=4096,
        multiple_of=32,
        title="Detector image size",
        description="Longest image side at the detector's input, in pixels.",
    )
    max_objects: int = Field(
        320, ge=1, le=10_000, title="Maximum objects", description="The most confident boxes kept."
    )


class GridSettings(Settings):
    """How points are sampled on a regular grid (SAM, appendix B)."""

    points_per_side: int = Field(
        32, ge=1, le=256, title="Points per side", description="The grid has n x n points."
    )
    nms_iou: Fraction = Field(
        0.7, title="Mask NMS IoU", description="Of two masks whose boxes overlap more, one is kept."
    )
    min_score: Fraction = Field(
        0.88, title="Predicted IoU", description="Grid masks scored below this are dropped."
    )
    min_stability: Fraction = Field(
        0.95, title="Stability", description="Grid masks less stable than this are dropped."
    )


class FilterSettings(Settings):
    """Which decoded masks become instances; can be applied again without decoding."""

    min_score: Fraction = Field(
        0.0, title="Minimum score", description="Least predicted IoU of an instance."
    )
    min_stability: Fraction = Field(
        0.0, title="Minimum stability", description="Least stability score of an instance."
    )
    min_area: int = Field(
        1, ge=1, title="Minimum area", description="Least visible area of an instance, in pixels."
    )
    max_area: int | None = Field(
        None, ge=1, title="Maximum area", description="Greatest area of a mask, in pixels."
    )
    max_overlap: Fraction = Field(
        1.0,
        title="Maximum overlap",
        description="An instance that better ones cover by more than this fraction is dropped.",
    )


class EverythingSettings(Settings):
    """Everything mode as a whole."""

    sampler: Sampler = Field(
        "objects", title="Sampler", description="Detector boxes, or SAM's grid of points."
    )
    detector: DetectorSettings = DetectorSettings()
    grid: GridSettings = GridSettings()
    filter: FilterSettings = FilterSettings()
