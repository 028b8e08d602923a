"""The keys of the plugin: free in napari for every layer type, listed by the widgets' "?"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari.components import ViewerModel
from napari.layers import Layer

if TYPE_CHECKING:
    from napari_mobilesam.plugin.controller import Controller


@dataclass(frozen=True, slots=True)
class Key:
    """A key, what it does in words, and what it does."""

    name: str
    help: str
    act: Callable[[Controller], None]


KEYS = (
    Key("G", "Embed the plane", lambda c: c.embed()),
    Key("8", "Draw points", lambda c: c.prompting.take_tool("point")),
    Key("9", "Draw boxes", lambda c: c.prompting.take_tool("box")),
    Key("0", "Draw outlines", lambda c: c.prompting.take_tool("outline")),
    Key("Q", "Switch between positive and negative", lambda c: c.prompting.switch_kind()),
    Key("Tab", "Next candidate", lambda c: c.prompting.step()),
    Key("H", "Preview under the cursor, on and off", lambda c: c.toggle("hover")),
    Key("J", "One object, or many", lambda c: c.toggle_mode()),
    Key("N", "Accept, and on to the next object", lambda c: c.prompting.accept()),
    Key("W", "Wipe the prompts of the plane", lambda c: c.prompting.clear()),
    Key("U", "Undo the last accept", lambda c: c.accepting.undo()),
    Key("K", "Bring back the prompts of the object here", lambda c: c.recall_here()),
)


class KeyBindings:
    """Binds the keys to a viewer and to the prompt layers, and unbinds them again.

    The layers need them because an active layer's keys go before the viewer's.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._bound: list[ViewerModel | Layer] = []
        controller.prompting.layers_changed.connect(self._follow)
        self._follow()

    def close(self) -> None:
        """Unbind the keys everywhere."""
        self._controller.prompting.layers_changed.disconnect(self._follow)
        self._bind_to([])

    def _follow(self) -> None:
        prompting = self._controller.prompting
        drawn_in = [layer for layer in (prompting.points, prompting.shapes) if layer is not None]
        self._bind_to([self._controller.viewer, *drawn_in])

    def _bind_to(self, providers: list[ViewerModel | Layer]) -> None:
        for provider in self._bound:
            for key in KEYS:
                provider.bind_key(key.name, None)
        for provider in providers:
            for key in KEYS:
                provider.bind_key(key.name, self._action(key), overwrite=True)
        self._bound = providers

    def _action(self, key: Key) -> Callable[[object], None]:
        def act(_provider: object) -> None:
            key.act(self._controller)

        return act
