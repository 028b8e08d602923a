"""Every parameter, stated once, for the Python API, the command line and the GUI alike."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_mobilesam.core.errors import SettingsError

Limits = Literal["percentile", "dtype"] | tuple[float, float]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Sampler = Literal["objects", "grid"]


class Settings(BaseModel):
    """Base of all settings: frozen, and closed to misspelt names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def changed(self, **changes: object) -> Self:
        """Return a copy with some fields replaced.

        Raises
        ------
        SettingsError
            If a name is unknown or a value out of range.
        """
        try:
            return type(self).model_validate(self.model_dump() | changes)
        except ValidationError as error:
            first = error.errors()[0]
            if not first["loc"]:  # fields that do not go together
                raise SettingsError(first["msg"].removeprefix("Value error, ")) from error
            name = str(first["loc"][0])
            if first["type"] == "extra_forbidden":
                known = ", ".join(sorted(type(self).model_fields))
                raise SettingsError(f"there is no setting {name!r}", expected=known) from error
            raise SettingsError(
                f"{name} cannot be {first['input']!r}",
                expected=first["msg"].removeprefix("Input should be "),
            ) from error


class DetectorSettings(Settings):
    """How boxes are proposed by the object-aware detector (MobileSAMv2, section 3.2)."""

    confidence: Fraction = Field(
        0.4, title="Confidence", description="Proposals below this detector confidence are dropped."
    )
    nms_iou: Fraction = Field(
        0.9, title="NMS IoU", description="Of two boxes that overlap more than this, one is kept."
    )
    image_size: int | None = Field(
        1024,
        ge=64,
        le=4096,
        title="Detector image size",
        description="Longest image side at the detector's input, in pixels; "
        "if empty, twice the image's own, up to 1536.",
    )
    max_objects: int = Field(
        320, ge=1, le=10_000, title="Maximum objects", description="The most confident boxes kept."
    )
    second_look: bool = Field(
        False,
        title="Second look",
        description="Shows the detector the image upside down as well; boxes are means of both.",
    )
    magnify: bool = Field(
        False,
        title="Magnify",
        description="Decodes small objects of large planes in windows that show them larger.",
    )


class GridSettings(Settings):
    """How points are sampled on a regular grid (SAM, arXiv 2304.02643, appendix B)."""

    points_per_side: int = Field(
        32, ge=1, le=256, title="Points per side", description="The grid has n x n points."
    )
    grid_min_score: Fraction = Field(
        0.88, title="Grid score", description="Grid masks of a lower predicted IoU are dropped."
    )
    grid_min_stability: Fraction = Field(
        0.95, title="Grid stability", description="Grid masks less stable than this are dropped."
    )
    grid_nms_iou: Fraction = Field(
        0.7, title="Grid NMS IoU", description="Of two masks whose boxes overlap more, one is kept."
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


class EverythingSettings(DetectorSettings, GridSettings, FilterSettings):
    """Everything mode as a whole."""

    sampler: Sampler = Field(
        "objects", title="Sampler", description="Detector boxes, or SAM's grid of points."
    )
    top_up: bool = Field(
        False,
        title="Look again",
        description="Set points where the detector found nothing though something stands out.",
    )


class LinkSettings(Settings):
    """How objects of neighbouring planes, or moments, become one object."""

    link_iou: Fraction = Field(
        0.3,
        title="Link IoU",
        description="Masks of neighbouring planes are one object if they overlap at least so much.",
    )
    max_gap: int = Field(
        1,
        ge=0,
        le=20,
        title="Maximum gap",
        description="Planes on which an object may be missing; they are filled in.",
    )
    min_planes: int = Field(
        2, ge=1, title="Minimum planes", description="Objects on fewer planes are dropped."
    )
    motion: bool = Field(
        True,
        title="Motion",
        description="Look for an object where its movement until now would have taken it.",
    )
    max_shift: float = Field(
        0.0,
        ge=0.0,
        title="Maximum shift",
        description="Pixels from there at which an object of like shape is still the same, though "
        "nothing overlaps; 0 asks for overlap.",
    )


class FollowSettings(Settings):
    """When an object that is followed from plane to plane counts as lost."""

    follow_iou: Fraction = Field(
        0.3,
        title="Least overlap",
        description="Lost if the masks of two neighbouring planes overlap less than this (IoU).",
    )
    follow_score: Fraction = Field(
        0.8,
        title="Least score",
        description="Lost if the predicted IoU falls below this fraction of its best until then.",
    )
    max_growth: float = Field(
        2.5,
        ge=1.0,
        title="Greatest growth",
        description="Lost if the area grows or shrinks by more than this factor in one plane.",
    )
    max_planes: int = Field(
        100,
        ge=1,
        title="Planes",
        description="An object is followed through no more planes, each way.",
    )
