"""What a user chooses once: stated here, shown in the widgets, remembered by napari."""

from typing import Any, Literal, TypeVar

from pydantic import Field

from napari_mobilesam.core.drawn import Mode
from napari_mobilesam.core.edits import Target
from napari_mobilesam.core.field import FieldOfView
from napari_mobilesam.core.settings import Settings
from napari_mobilesam.plugin.layers import Appearance
from napari_mobilesam.plugin.prompt_layers import ObjectsAs

PLUGIN = "napari-mobilesam"
SECTION, BATCH_SECTION = "annotate", "batch"

TakenOrAsk = Literal["keep", "replace", "ask"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Seen = Literal["auto", "plane", "128", "256", "512", "1024", "2048"]
ShownAt = Literal["auto", "256", "512", "768", "1024"]


def side_shown(choice: ShownAt) -> int | None:
    """Side of the encoder's input in pixels; None for the model's own choice."""
    return None if choice == "auto" else int(choice)


class Preferences(Settings):
    """How images are annotated; the manifest's configuration has the same fields."""

    model: str = Field(
        "micro", title="Model", description="A model of the zoo, or the path of a checkpoint."
    )
    device: Device = Field(
        "auto", title="Device", description="Where the networks run; auto takes a GPU if it can."
    )
    appearance: Appearance = Field(
        "percentile",
        title="Intensities",
        description="Stretch each plane between percentiles 0.1 and 99.9, or as the layer is "
        "displayed (contrast limits and gamma).",
    )
    input_size: ShownAt = Field(
        "auto",
        title="Shown at",
        description="Side in pixels at which the encoder is shown a plane: larger for small "
        "objects, 512 for large ones with texture inside. Auto is the model's own choice.",
    )
    field: Seen = Field(
        "auto",
        title="Seen around prompts",
        description="Side in pixels of what the encoder sees around prompts: smaller for small "
        "objects. Auto sees planes beyond 1280 pixels in windows of 1024, others whole, and small "
        "objects again in windows of their own.",
    )
    auto_embed: bool = Field(
        False, title="Embed on plane change", description="Embed a plane as soon as it is shown."
    )
    neighbours: int = Field(
        1,
        ge=0,
        le=8,
        title="Neighbours in advance",
        description="Planes on either side that are embedded in advance, with the above.",
    )
    cache_gigabytes: int = Field(
        10,
        ge=0,
        le=10_000,
        title="Embeddings kept (GB)",
        description="Disk space for embeddings, so that a plane seen before is ready at once; "
        "0 keeps none.",
    )
    journal_days: int = Field(
        30,
        ge=0,
        le=3650,
        title="Unsaved work kept (days)",
        description="Every accept is written to the disk at once, and offered again after a crash "
        "for so many days; 0 writes nothing.",
    )
    mode: Mode = Field(
        "one",
        title="Prompts describe",
        description="One object together, or one object each (negative points count for all).",
    )
    objects: ObjectsAs = Field(
        "masks",
        title="Take objects as",
        description="What of the objects in a Labels layer is a prompt: their masks or boxes.",
    )
    live: bool = Field(
        True, title="Live", description="Update the preview with every prompt that changes."
    )
    hover: bool = Field(
        False, title="Hover", description="Show the mask of the object under the cursor."
    )
    target: Target = Field(
        "next",
        title="Write as",
        description="The next free label, the layer's selected label, or in place of the label "
        "that lies under the mask.",
    )
    taken: TakenOrAsk = Field(
        "keep",
        title="Taken pixels",
        description="Pixels of other labels: leave them, take them, or ask each time.",
    )
    keep_prompts: bool = Field(
        False, title="Keep prompts", description="Leave prompts where they are after an accept."
    )

    @property
    def field_of_view(self) -> FieldOfView:
        """What ``field`` says, as sessions take it."""
        return self.field if self.field in ("auto", "plane") else int(self.field)


class BatchPreferences(Settings):
    """How many images are labelled; the manifest's configuration has the same fields."""

    model: str = Field(
        "micro", title="Model", description="A model of the zoo, or the path of a checkpoint."
    )
    images: str = Field(
        "",
        title="Images",
        description="Files, folders, OME-Zarrs and patterns such as plates/**/*.tif, with "
        "semicolons between them.",
    )
    output: str = Field("", title="Output", description="Folder that results are written to.")
    formats: str = Field(
        "tiff,csv", title="Formats", description="Names of formats, with commas between them."
    )
    channels: str = Field(
        "",
        title="Channels",
        description="One to three channels from 0, such as 0,2; empty for all.",
    )
    plane: str = Field(
        "",
        title="Plane",
        description="Plane of a stack: one number from 0 for each of its axes, such as 3,0.",
    )
    tile: int = Field(
        0,
        ge=0,
        le=100_000,
        title="Tile",
        description="Side in pixels of the tiles that large planes are looked at in; 0 looks at "
        "whole planes.",
    )
    input_size: ShownAt = Field(
        "auto",
        title="Shown at",
        description="Side in pixels at which the encoder is shown a plane or a tile. Auto is the "
        "model's own choice.",
    )
    parameters: str = Field(
        "",
        title="Parameters",
        description="Those of everything mode, as JSON; empty for the model's own.",
    )


Kind = TypeVar("Kind", bound=Settings)


def load_preferences() -> Preferences:
    """Return what was chosen last, or the defaults where napari remembers nothing."""
    return _load(Preferences(), _stored())


def save_preferences(preferences: Preferences) -> None:
    """Remember choices for the next session; a napari without plugin settings forgets them."""
    _save(preferences, _stored())


def load_batch_preferences() -> BatchPreferences:
    """Return what was chosen last for a batch."""
    return _load(BatchPreferences(), _stored(BATCH_SECTION))


def save_batch_preferences(preferences: BatchPreferences) -> None:
    """Remember what was chosen for a batch."""
    _save(preferences, _stored(BATCH_SECTION))


def _load(defaults: Kind, stored: Any) -> Kind:
    if stored is None:
        return defaults
    return defaults.changed(**{name: getattr(stored, name) for name in type(defaults).model_fields})


def _save(preferences: Settings, stored: Any) -> None:
    if stored is not None:
        for name, value in preferences.model_dump().items():
            if getattr(stored, name) != value:
                setattr(stored, name, value)


def _stored(section: str = SECTION) -> Any:
    try:
        from napari.settings import get_plugin_settings  # napari >= 0.9
    except ImportError:
        return None
    try:
        return getattr(get_plugin_settings(PLUGIN), section)
    except KeyError:  # not installed as a plugin, as in a test of ViewerModel
        return None
