"""The Batch widget: label the images of files and folders, and look through what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from pydantic import ValidationError
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QListWidget,
    QWidget,
)
from superqt import QCollapsible

from napari_mobilesam.bulk.contact_sheet import SHEET
from napari_mobilesam.core.errors import CancelledError, MobileSAMError, SettingsError
from napari_mobilesam.core.settings import EverythingSettings
from napari_mobilesam.io.annotations import FORMATS
from napari_mobilesam.plugin.batching import BETWEEN, BatchRun, words
from napari_mobilesam.plugin.models import model_choices
from napari_mobilesam.plugin.preferences import (
    BatchPreferences,
    load_batch_preferences,
    save_batch_preferences,
)
from napari_mobilesam.plugin.threads import MainThread
from napari_mobilesam.plugin.widgets.bound import BoundWidget
from napari_mobilesam.plugin.widgets.everything import FILTERS, FINDING, SAMPLER
from napari_mobilesam.plugin.widgets.form import form_values, settings_form, show_values
from napari_mobilesam.plugin.widgets.parts import Progress, Status, button, heading, row
from napari_mobilesam.session.jobs import Jobs
from napari_mobilesam.zoo.catalog import get_card

if TYPE_CHECKING:
    import pandas as pd

READING = ("channels", "plane", "tile", "input_size")
JOB = "batch"
FORMAT_COLUMNS = 2


class BatchWidget(BoundWidget):
    """Find every object of many images, one after the other, in a worker.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer that it is docked in.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.preferences = load_batch_preferences()
        self.settings = _parameters(self.preferences)
        self._main_thread = MainThread()
        self.jobs = Jobs(self._main_thread)
        self.lease.closing.append(self.jobs.close)
        self.forms = [
            settings_form(self.settings, names) for names in (SAMPLER, *FINDING.values(), FILTERS)
        ]
        self._lay_out()
        self._show_choices()
        self._show_results()
        self._connect()
        self.status.greet(has_image=True)

    def busy(self) -> bool:
        """Whether a batch is under way."""
        return self.jobs.busy()

    def _lay_out(self) -> None:
        fields = BatchPreferences.model_fields
        self.images, self.output = QLineEdit(), QLineEdit()
        for line, name in ((self.images, "images"), (self.output, "output")):
            line.setToolTip(str(fields[name].description))
        self.images.setPlaceholderText("files, folders, OME-Zarrs, patterns")
        self.choose_files = button("Files ...", "Add image files.")
        self.choose_folder = button("Folder ...", "Add a folder, or an OME-Zarr image or plate.")
        self.choose_output = button("Folder ...", "Choose where results are written to.")
        self.formats = {name: QCheckBox(known.title) for name, known in FORMATS.items()}
        self.model = _model_combo()
        self.reading = settings_form(self.preferences, READING)
        self.run = button("Label all images", "Go on where an earlier run stopped.", primary=True)
        self.progress, self.status = (
            Progress(),
            Status("Choose images and a folder for the results."),
        )
        self.failures = QListWidget()
        self.failures.setToolTip("Images that failed, and why.")
        self.failures.setWordWrap(True)
        self.look = button("Look through", "Open the contact sheet: the suspicious ones first.")
        self.open_folder = button("Open folder", "Show the folder of the results.")
        parts = (
            heading("Images"),
            self.images,
            row(self.choose_files, self.choose_folder),
            self.reading.native,
            heading("Results"),
            row(self.output, self.choose_output),
            _grid(list(self.formats.values())),
            heading("Find"),
            row("Model", self.model),
            self._parameters_part(),
            self.run,
            self.progress,
            self.failures,
            row(self.look, self.open_folder),
        )
        self.stack(parts, self.status)

    def _parameters_part(self) -> QCollapsible:
        part = QCollapsible("Parameters")
        for form in self.forms:
            part.addWidget(form.native)
        return part

    def _connect(self) -> None:
        self.choose_files.clicked.connect(self._on_files)
        self.choose_folder.clicked.connect(self._on_folder)
        self.choose_output.clicked.connect(self._on_output)
        self.model.activated.connect(self._on_model)
        self.output.textChanged.connect(lambda _text: self._show_results())
        for form in self.forms:
            form.changed.connect(self._on_parameters)
        self.run.clicked.connect(self._on_run)
        self.progress.cancelled.connect(lambda: self.jobs.cancel(JOB))
        self.look.clicked.connect(lambda: _open(self._folder() / SHEET))
        self.open_folder.clicked.connect(lambda: _open(self._folder()))

    def _show_choices(self) -> None:
        self.images.setText(self.preferences.images)
        self.output.setText(self.preferences.output)
        chosen = words(self.preferences.formats, ",")
        for name, box in self.formats.items():
            box.setChecked(name in chosen)
        if self.model.findData(self.preferences.model) < 0:
            self.model.addItem(Path(self.preferences.model).name, self.preferences.model)
        self.model.setCurrentIndex(self.model.findData(self.preferences.model))
        show_values(self.reading, self.preferences)
        self._show_parameters()

    def _show_parameters(self) -> None:
        for form in self.forms:
            show_values(form, self.settings)
        for name, form in zip(FINDING, self.forms[1:], strict=False):
            form.native.setVisible(name == self.settings.sampler)

    def _show_results(self) -> None:
        has_folder = bool(self.output.text().strip())
        self.look.setEnabled(has_folder and (self._folder() / SHEET).is_file())
        self.open_folder.setEnabled(has_folder and self._folder().is_dir())
        self.failures.setVisible(self.failures.count() > 0)

    def _folder(self) -> Path:
        return Path(self.output.text().strip()).expanduser()

    def _on_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Images")
        self._add(paths)

    def _on_folder(self) -> None:
        self._add([QFileDialog.getExistingDirectory(self, "Folder, or OME-Zarr")])

    def _add(self, paths: list[str]) -> None:
        known = words(self.images.text(), BETWEEN)
        self.images.setText(f"{BETWEEN} ".join(dict.fromkeys([*known, *filter(None, paths)])))

    def _on_output(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder for the results")
        if path:
            self.output.setText(path)

    def _on_model(self) -> None:
        self.settings = get_card(self.model.currentData()).everything
        self._show_parameters()

    def _on_parameters(self) -> None:
        try:
            for form in self.forms:
                self.settings = form_values(form, self.settings)
        except SettingsError as error:
            self.status.complain(str(error))
            return
        self._show_parameters()

    def _on_run(self) -> None:
        try:
            self._remember()
            work = BatchRun.of(self.preferences, self.settings, self.controller.preferences)
        except MobileSAMError as error:
            self.status.complain(str(error))
            return
        self.failures.clear()
        self._show_results()
        self.run.setEnabled(False)
        self.status.say("Loading the model ...")
        self.progress.advance(0, 0)
        self.jobs.submit(JOB, work, self._on_result, self._on_error, self._on_progress)

    def _remember(self) -> None:
        self.preferences = form_values(self.reading, self.preferences).changed(
            model=self.model.currentData(),
            images=self.images.text(),
            output=str(self._folder()) if self.output.text().strip() else "",
            formats=",".join(name for name, box in self.formats.items() if box.isChecked()),
            parameters=self.settings.model_dump_json(),
        )
        save_batch_preferences(self.preferences)

    def _on_progress(self, done: int, total: int) -> None:
        self.progress.advance(done, total)
        if total:
            self.status.say(f"{done} of {total} images are done.")

    def _on_result(self, table: pd.DataFrame) -> None:
        self._end()
        failed = table[table["error"] != ""]
        for path, error in zip(failed["image"], failed["error"], strict=True):
            self.failures.addItem(f"{Path(path).name}: {error}")
        counts = f"{table['objects'].sum()} objects in {len(table) - len(failed)} images"
        if table["skipped"].any():
            counts += f", {table['skipped'].sum()} of them done before"
        if len(failed):
            self.status.complain(
                f"{counts}. {len(failed)} images failed; the reasons are below. When they are put "
                "right, run it again: what is done is passed over."
            )
        else:
            self.status.say(f"{counts}.")
        self._show_results()

    def _on_error(self, error: Exception) -> None:
        self._end()
        if isinstance(error, CancelledError):
            self.status.say("Stopped after the image in work. Run it again to go on from there.")
        else:
            self.status.complain(str(error) or type(error).__name__)
        self._show_results()

    def _end(self) -> None:
        self.progress.hide()
        self.run.setEnabled(True)


def _parameters(preferences: BatchPreferences) -> EverythingSettings:
    """Those that were chosen last, or the model's own."""
    try:
        return EverythingSettings.model_validate_json(preferences.parameters)
    except ValidationError:  # none were, or by another version
        return get_card("micro").everything


def _model_combo() -> QComboBox:
    combo = QComboBox()
    combo.setToolTip("The network; those that are not here yet are downloaded at first use.")
    for choice in model_choices():
        combo.addItem(choice.label, choice.name)
        combo.setItemData(combo.count() - 1, choice.purpose, Qt.ItemDataRole.ToolTipRole)
    return combo


def _grid(widgets: list[Any]) -> QWidget:
    grid = QWidget()
    layout = QGridLayout(grid)
    layout.setContentsMargins(0, 0, 0, 0)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, number // FORMAT_COLUMNS, number % FORMAT_COLUMNS)
    return grid


def _open(path: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))
