"""Fields of a settings class as magicgui widgets: titles, tooltips and ranges are stated once."""

from collections.abc import Iterable
from typing import Any, TypeVar, get_args

from magicgui.widgets import Container, FloatSlider, create_widget
from magicgui.widgets.bases import ValueWidget
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QLabel, QSlider

from napari_mobilesam.core.settings import Settings

Chosen = TypeVar("Chosen", bound=Settings)

LARGEST = 1_000_000_000
"""Upper end of whole numbers that have none; Qt's spin boxes hold 31 bits."""


def settings_form(settings: Settings, names: Iterable[str]) -> Container[ValueWidget[Any]]:
    """Build a form with one row a field, showing the values of ``settings``.

    A whole number that may be None is shown as 0 where it is.
    """
    fields = type(settings).model_fields
    rows = [_row(name, fields[name], getattr(settings, name)) for name in names]
    form: Container[ValueWidget[Any]] = Container(widgets=rows)
    form.margins = (0, 0, 0, 0)
    return form


def form_values(form: Container[ValueWidget[Any]], settings: Chosen) -> Chosen:
    """Return ``settings`` with the values that a form shows.

    Raises
    ------
    SettingsError
        If a value is out of range.
    """
    fields = type(settings).model_fields
    values = {row.name: row.value for row in form}
    nothing = [name for name in values if values[name] == 0 and _is_optional(fields[name])]
    return settings.changed(**(values | dict.fromkeys(nothing)))


def show_values(form: Container[ValueWidget[Any]], settings: Settings) -> None:
    """Let a form show the values of ``settings``, without any signal."""
    with form.changed.blocked():
        for row in form:
            with row.changed.blocked():
                value = getattr(settings, row.name)
                row.value = 0 if value is None else value


def _row(name: str, field: FieldInfo, value: Any) -> ValueWidget[Any]:
    low = high = None
    for limit in field.metadata:
        low, high = getattr(limit, "ge", low), getattr(limit, "le", high)
    options: dict[str, Any] = {"tooltip": field.description}
    annotation: Any = field.annotation
    if _is_optional(field):
        annotation, value, low = int, value or 0, 0
    if annotation is float:
        options |= {"widget_type": "FloatSlider", "step": 0.01, "readout": False}
    if annotation in (int, float):
        options |= {"min": low or 0, "max": LARGEST if high is None else high}
    row: Any = create_widget(
        value=value, annotation=annotation, name=name, label=field.title, options=options
    )
    if annotation is float:
        _add_readout(row)
    return row  # type: ignore[no-any-return]  # always a value widget


def _add_readout(row: FloatSlider) -> None:
    """Show a slider's value beside it; napari's style leaves no room in magicgui's own readout."""
    readout = QLabel(f"{row.value:.2f}")
    row.native.layout().addWidget(readout)
    slider = row.native.findChild(QSlider)
    slider.valueChanged.connect(lambda _position: readout.setText(f"{row.value:.2f}"))


def _is_optional(field: FieldInfo) -> bool:
    return type(None) in get_args(field.annotation)
