"""The Everything widget: find all objects, edit the proposals, filter, accept."""

from napari.components import ViewerModel
from napari.layers import Labels
from superqt import QCollapsible

from napari_mobilesam.core.errors import ImageError, SettingsError
from napari_mobilesam.plugin.proposing import Region
from napari_mobilesam.plugin.widgets.bound import BoundWidget
from napari_mobilesam.plugin.widgets.form import form_values, settings_form, show_values
from napari_mobilesam.plugin.widgets.layer_combo import LayerCombo
from napari_mobilesam.plugin.widgets.parts import (
    Choice,
    Progress,
    Status,
    button,
    heading,
    help_button,
    row,
)

SAMPLER = ("sampler",)
FINDING = {
    "objects": (
        "confidence",
        "nms_iou",
        "image_size",
        "max_objects",
        "second_look",
        "magnify",
        "top_up",
    ),
    "grid": ("points_per_side", "grid_min_score", "grid_min_stability", "grid_nms_iou"),
}
LINKING = ("link_iou", "max_gap", "min_planes", "motion", "max_shift")
RUNNING = ("model", "embed", "everything", "stack")
FILTERS = ("min_score", "min_stability", "min_area", "max_area", "max_overlap")


class EverythingWidget(BoundWidget):
    """Find every object of a plane, and keep those that are right.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer that it is docked in.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        settings = self.controller.proposing.settings
        self.sampler = settings_form(settings, SAMPLER)
        self.finding = {name: settings_form(settings, names) for name, names in FINDING.items()}
        self.filters = settings_form(settings, FILTERS)
        self._lay_out()
        self._connect()
        self._show_settings()
        self._show_found()

    def _lay_out(self) -> None:
        self.region = Choice(
            {
                "plane": ("Whole plane", "Look everywhere on the displayed plane."),
                "view": ("View", "Look only where the canvas looks."),
                "shape": ("Shape", "Look only inside the shape drawn last."),
            }
        )
        self.region.show_value("plane")
        self.run = button("Find everything", "Propose boxes and decode them all.", primary=True)
        self.linking = settings_form(self.controller.through.linking, LINKING)
        self.run_all = button(
            "All planes", "Find everything on all planes of the slider, and link it in new labels."
        )
        through = QCollapsible("Stacks and time series")
        through.addWidget(self.linking.native)
        through.addWidget(self.run_all)
        self.progress = Progress()
        self.target = LayerCombo(
            self.controller.viewer, Labels, "new layer", "Labels that objects are written to."
        )
        self.accept = button("Accept all", "Write what is shown.", primary=True)
        self.discard = button("Discard", "Forget what was found.")
        self.status = Status("Press Find everything to begin.")
        parts = (
            row(heading("Find"), help_button()),
            self.region,
            self.sampler.native,
            *(form.native for form in self.finding.values()),
            self.run,
            through,
            self.progress,
            heading("Filter"),
            self.filters.native,
            heading("Labels"),
            row("Write to", self.target),
            row(self.accept, self.discard),
        )
        self.stack(parts, self.status)

    def _connect(self) -> None:
        controller, proposing = self.controller, self.controller.proposing
        connect = self.lease.connections.connect
        connect(controller.said, self.status.say)
        connect(controller.failed, self.status.complain)
        connect(controller.progressed, self._on_progress)
        connect(controller.finished, self._on_finished)
        connect(controller.image_changed, self._show_found)
        for event in ("inserted", "removed", "renamed"):
            connect(getattr(controller.viewer.layers.events, event), self._on_layers)
        connect(proposing.found_changed, self._show_found)
        self.region.chosen.connect(self._on_region)
        self.sampler.changed.connect(self._on_settings)
        for form in self.finding.values():
            form.changed.connect(self._on_settings)
        self.filters.changed.connect(self._on_filters)
        self.run.clicked.connect(self._on_run)
        self.run_all.clicked.connect(controller.through.find_all)
        self.linking.changed.connect(self._on_linking)
        self.progress.cancelled.connect(proposing.cancel)
        self.progress.cancelled.connect(controller.through.cancel)
        self.target.chosen.connect(self._on_target)
        self.accept.clicked.connect(proposing.accept)
        self.discard.clicked.connect(proposing.discard)

    def _show_settings(self) -> None:
        settings = self.controller.proposing.settings
        for form in (self.sampler, *self.finding.values(), self.filters):
            show_values(form, settings)
        for name, form in self.finding.items():
            form.native.setVisible(name == settings.sampler)

    def _show_found(self) -> None:
        here = self.controller.here
        found = None if here is None else here.session.found
        self.status.greet(has_image=self.controller.image is not None)
        self.accept.setEnabled(bool(found))
        self.discard.setEnabled(found is not None)
        self.accept.setText(f"Accept all {len(found)}" if found else "Accept all")
        if self.controller.image is not None:
            self.target.show_layer(self.controller.target.layer)

    def _on_layers(self, event: object = None) -> None:  # noqa: ARG002
        self._show_found()

    def _on_progress(self, kind: str, done: int, total: int) -> None:
        if kind in RUNNING:
            self.progress.advance(done, total)
            self.run.setEnabled(False)
            self.run_all.setEnabled(False)

    def _on_finished(self, kind: str) -> None:
        if kind in RUNNING:
            self.progress.hide()
            self.run.setEnabled(True)
            self.run_all.setEnabled(True)

    def _on_region(self, region: Region) -> None:
        self.controller.proposing.region = region

    def _on_settings(self) -> None:
        proposing = self.controller.proposing
        settings = proposing.settings
        try:
            for form in (self.sampler, *self.finding.values()):
                settings = form_values(form, settings)
        except SettingsError as error:
            self.status.complain(str(error))
            return
        proposing.settings = settings
        self._show_settings()

    def _on_filters(self) -> None:
        proposing = self.controller.proposing
        proposing.settings = form_values(self.filters, proposing.settings)
        proposing.refilter()

    def _on_linking(self) -> None:
        through = self.controller.through
        through.linking = form_values(self.linking, through.linking)

    def _on_run(self) -> None:
        self.controller.proposing.run()

    def _on_target(self, layer: Labels | None) -> None:
        try:
            self.controller.accepting.write_to(layer)
        except ImageError as error:
            self.status.complain(str(error))
        self._show_found()
