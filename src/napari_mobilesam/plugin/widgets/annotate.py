"""The Annotate widget: embed, prompt, choose a candidate, accept, export."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QMessageBox
from superqt import QCollapsible

from napari_mobilesam.core.edits import Taken
from napari_mobilesam.core.errors import MobileSAMError
from napari_mobilesam.io.annotations import FORMATS
from napari_mobilesam.plugin.models import model_choices
from napari_mobilesam.plugin.widgets.bound import BoundWidget
from napari_mobilesam.plugin.widgets.canvas_key import CanvasKey
from napari_mobilesam.plugin.widgets.channels_menu import ChannelsMenu
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
from napari_mobilesam.plugin.widgets.save_dialog import ask_for_file

LIVE = ("live", "hover", "keep_prompts")
WRITING = ("target", "taken")
MORE = (
    "device",
    "appearance",
    "objects",
    "input_size",
    "field",
    "auto_embed",
    "neighbours",
    "cache_gigabytes",
    "journal_days",
)
RUNNING = ("model", "embed", "follow")
FOLLOWING = (
    ("backwards", "<<", "towards the first plane"),
    ("both", "< >", "both ways"),
    ("forwards", ">>", "towards the last plane"),
)
FROM_FILE = "checkpoint file ..."
CHECKPOINTS = "Checkpoints (*.pt *.pth *.safetensors)"
SESSIONS = {"MobileSAM session": (".mobilesam.json",)}


class AnnotateWidget(BoundWidget):
    """Label objects by pointing at them.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer that it is docked in.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self._forms = [
            settings_form(self.controller.preferences, names) for names in (LIVE, WRITING, MORE)
        ]
        self._lay_out()
        self._connect()
        self.controller.accepting.ask_about_taken = self._ask_about_taken
        self.lease.closing.append(CanvasKey("Tab", self, self.controller.prompting.step).close)
        self._show_all()

    def _lay_out(self) -> None:
        viewer = self.controller.viewer
        live, writing, more = (form.native for form in self._forms)
        self.image = LayerCombo(viewer, Image, "no image", "The image that is annotated.")
        self.pin = button("Pin", "Stay with this image, whichever layer is active.")
        self.pin.setCheckable(True)
        self.channels = ChannelsMenu(self.controller.channels)
        self.restore = button("Restore", "Give back what a crash has interrupted.", primary=True)
        self.discard = button("Discard", "Do not offer it again.")
        self.offer = row(self.restore, self.discard)
        self.model = self._model_combo()
        self.embed = button("Embed", "Run the encoder on the displayed plane (G).", primary=True)
        self.progress = Progress()
        self.status = Status("Click on an object, or draw around one, to begin.")
        self.tools = Choice(
            {
                "point": ("Points", "Click on objects, or beside them (8)."),
                "box": ("Boxes", "Drag boxes around objects (9)."),
                "outline": ("Outlines", "Draw around objects (0)."),
                "scribble": ("Scribbles", "Draw paths along objects."),
            }
        )
        self.kind = Choice(
            {
                "positive": ("+ on it", "Draw prompts that lie on the object (Q switches)."),
                "negative": ("- beside it", "Draw prompts that lie beside it (Q switches)."),
            }
        )
        self.mode = Choice(
            {
                "one": ("One object", "All prompts describe one object (J switches)."),
                "many": ("Many objects", "Every prompt is an object of its own (J switches)."),
            }
        )
        self.candidates = Choice({str(i): ("-", "Next candidate: Tab.") for i in range(3)})
        self.points = LayerCombo(viewer, Points, "no points", "Points that are prompts.")
        self.shapes = LayerCombo(viewer, Shapes, "no shapes", "Shapes that are prompts.")
        self.objects = LayerCombo(viewer, Labels, "no labels", "Labels whose objects are prompts.")
        self.target = LayerCombo(viewer, Labels, "new layer", "Labels that masks are written to.")
        self.decode = button("Decode", "Decode the prompts now; for when Live is off.")
        self.accept = button("Accept", "Write the previewed masks (N).", primary=True)
        self.clear = button("Clear", "Remove the prompts of this plane (W).")
        self.undo = button("Undo", "Take the last accept back (U).")
        self.redo = button("Redo", "Accept again what was undone.")
        self.follow = {
            way: button(text, f"Follow the previewed object, or the selected label, {where}.")
            for way, text, where in FOLLOWING
        }
        self.following = settings_form(self.controller.through.following, ("max_planes",))
        self.export = button("Export ...", "Write the labels of this plane to a file.")
        self.save = button("Save session ...", "Write prompts and settings, to be replayed.")
        sources = QCollapsible("Prompts are read from")
        sources.addWidget(row("Points", self.points))
        sources.addWidget(row("Shapes", self.shapes))
        sources.addWidget(row("Objects", self.objects))
        settings = QCollapsible("Settings")
        settings.addWidget(more)
        parts = (
            row(heading("Image"), help_button()),
            row(self.image, self.pin),
            self.offer,
            self.channels,
            row("Model", self.model),
            self.embed,
            self.progress,
            heading("Prompts"),
            self.mode,
            self.tools,
            self.kind,
            live,
            self.decode,
            sources,
            heading("Candidates"),
            self.candidates,
            heading("Labels"),
            row("Write to", self.target),
            writing,
            self.accept,
            row(self.clear, self.undo, self.redo),
            row("Follow", *self.follow.values()),
            self.following.native,
            row(self.export, self.save),
            settings,
        )
        self.stack(parts, self.status)

    def _model_combo(self) -> QComboBox:
        combo = QComboBox()
        combo.setToolTip("The network; those that are not here yet are downloaded at first use.")
        for model in model_choices():
            combo.addItem(model.label, model.name)
            combo.setItemData(combo.count() - 1, model.purpose, Qt.ItemDataRole.ToolTipRole)
        combo.addItem(FROM_FILE, None)
        combo.activated.connect(self._on_model)
        return combo

    def _connect(self) -> None:
        controller, prompting = self.controller, self.controller.prompting
        connect = self.lease.connections.connect
        connect(controller.said, self.status.say)
        connect(controller.failed, self.status.complain)
        connect(controller.progressed, self._on_progress)
        connect(controller.finished, self._on_finished)
        connect(controller.image_changed, self._show_layers)
        for event in ("inserted", "removed", "renamed"):
            connect(getattr(controller.viewer.layers.events, event), self._on_layers)
        connect(controller.channels.changed, self.channels.refresh)
        connect(controller.plane_changed, self._show_readiness)
        connect(controller.embedding_changed, self._show_readiness)
        connect(controller.preferences_changed, self._show_preferences)
        connect(controller.restoring.offers_changed, self._show_offer)
        connect(prompting.layers_changed, self._show_layers)
        connect(prompting.candidates_changed, self._show_candidates)
        connect(prompting.kind_changed, self.kind.show_value)
        self.image.chosen.connect(controller.set_image)
        self.pin.toggled.connect(controller.pin)
        self.channels.chosen.connect(self._on_channels)
        self.restore.clicked.connect(controller.restoring.restore)
        self.discard.clicked.connect(controller.restoring.discard)
        self.embed.clicked.connect(lambda: controller.embed())
        self.progress.cancelled.connect(controller.cancel)
        self.progress.cancelled.connect(controller.through.cancel)
        for way, pressed in self.follow.items():
            pressed.clicked.connect(lambda _checked, way=way: controller.through.follow(way))
        self.following.changed.connect(self._on_following)
        self.tools.chosen.connect(prompting.take_tool)
        self.kind.chosen.connect(prompting.set_kind)
        self.mode.chosen.connect(lambda mode: controller.set_preferences(mode=mode))
        self.candidates.chosen.connect(lambda index: prompting.choose(int(index)))
        for combo in (self.points, self.shapes, self.objects):
            combo.chosen.connect(self._on_sources)
        self.target.chosen.connect(self._on_target)
        self.decode.clicked.connect(lambda: prompting.update(even_if_not_live=True))
        self.accept.clicked.connect(prompting.accept)
        self.clear.clicked.connect(prompting.clear)
        self.undo.clicked.connect(controller.accepting.undo)
        self.redo.clicked.connect(controller.accepting.redo)
        self.export.clicked.connect(self.ask_where_to_export)
        self.save.clicked.connect(self.ask_where_to_save)
        for form in self._forms:
            form.changed.connect(self._on_preferences)

    def _show_all(self) -> None:
        self._show_layers()
        self._show_offer()
        self._show_preferences()
        self._show_readiness()
        self._show_candidates()
        self.kind.show_value(self.controller.prompting.kind)

    def _show_layers(self) -> None:
        prompting = self.controller.prompting
        self.status.greet(has_image=self.controller.image is not None)
        self.channels.refresh()
        self.image.show_layer(self.controller.image)
        self.points.show_layer(prompting.points)
        self.shapes.show_layer(prompting.shapes)
        self.objects.show_layer(prompting.objects)
        if self.controller.image is not None:
            self.target.show_layer(self.controller.target.layer)

    def _show_offer(self) -> None:
        restoring = self.controller.restoring
        self.offer.setVisible(bool(restoring.offers))
        if restoring.offers:
            self.restore.setText(restoring.text)

    def _show_preferences(self) -> None:
        preferences = self.controller.preferences
        for form in self._forms:
            show_values(form, preferences)
        self.mode.show_value(preferences.mode)
        self.decode.setVisible(not preferences.live)
        index = self.model.findData(preferences.model)
        if index < 0:
            index = self.model.count() - 1
            self.model.insertItem(index, Path(preferences.model).name, preferences.model)
        self.model.setCurrentIndex(index)

    def _show_readiness(self) -> None:
        ready = self.controller.is_ready()
        self.embed.setText("Embedded" if ready else "Embed")
        self.embed.setEnabled(self.controller.plane is not None and not ready)

    def _show_candidates(self) -> None:
        session = None if self.controller.here is None else self.controller.here.session
        scores = () if session is None else session.candidate_scores
        self.candidates.show_texts([f"{score:.2f}" for score in scores])
        if session is not None and scores:
            self.candidates.show_value(str(session.candidate_index))
        self.accept.setEnabled(session is not None and bool(session.masks))

    def _on_progress(self, kind: str, done: int, total: int) -> None:
        if kind in RUNNING:
            self.progress.advance(done, total)

    def _on_finished(self, kind: str) -> None:
        if kind in RUNNING:
            self.progress.hide()
            self._show_readiness()

    def _on_preferences(self) -> None:
        values = {row.name: row.value for form in self._forms for row in form}
        self._try(lambda: self.controller.set_preferences(**values))

    def _on_layers(self, event: object = None) -> None:  # noqa: ARG002
        self._show_layers()

    def _on_channels(self, layers: list[Image]) -> None:
        self._try(lambda: self.controller.channels.choose(layers))
        self.channels.refresh()

    def _on_following(self) -> None:
        through = self.controller.through
        through.following = form_values(self.following, through.following)

    def _on_model(self) -> None:
        name = self.model.currentData()
        if name is None:
            name, _ = QFileDialog.getOpenFileName(self, "Checkpoint", "", CHECKPOINTS)
        if name:
            self.controller.set_preferences(model=name)
        self._show_preferences()

    def _on_sources(self) -> None:
        self.controller.prompting.use(
            points=self.points.layer, shapes=self.shapes.layer, objects=self.objects.layer
        )

    def _on_target(self, layer: Labels | None) -> None:
        self._try(lambda: self.controller.accepting.write_to(layer))
        self._show_layers()

    def ask_where_to_export(self) -> None:
        """Ask for a file and a format, and export the labels of the displayed plane."""
        types = {known.title: known.extensions for known in FORMATS.values()}
        self._ask_and_write("Export labels", types, self.controller.accepting.export)

    def ask_where_to_save(self) -> None:
        """Ask for a file, and save the session."""
        self._ask_and_write("Save session", SESSIONS, self.controller.accepting.save)

    def _ask_and_write(
        self, title: str, types: Mapping[str, Sequence[str]], write: Callable[[Path], None]
    ) -> None:
        def act() -> None:
            path = ask_for_file(self, title, types)
            if path is not None:
                write(path)

        self._try(act)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except MobileSAMError as error:
            self.status.complain(str(error))

    def _ask_about_taken(self) -> Taken | None:
        """Ask what happens to pixels of other labels; None if nothing shall be written."""
        box = QMessageBox(self)
        box.setText("Some of these pixels belong to other labels.")
        keep = box.addButton("Leave them", QMessageBox.ButtonRole.AcceptRole)
        replace = box.addButton("Take them", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        if box.clickedButton() is keep:
            return "keep"
        return "replace" if box.clickedButton() is replace else None
