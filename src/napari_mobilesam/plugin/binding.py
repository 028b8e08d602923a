"""One controller a viewer, shared by its widgets, and closed with the last of them."""

from weakref import WeakKeyDictionary

from napari.components import ViewerModel

from napari_mobilesam.plugin.controller import Controller
from napari_mobilesam.plugin.keys import KeyBindings
from napari_mobilesam.plugin.threads import MainThread
from napari_mobilesam.session.jobs import Jobs


class Binding:
    """A controller with its workers and keys, and how many widgets use it."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.main_thread = MainThread()
        live, long = Jobs(self.main_thread), Jobs(self.main_thread)
        self.controller = Controller(viewer, live, long, self.main_thread.later)
        self.keys = KeyBindings(self.controller)
        self.users = 0

    def close(self) -> None:
        """Leave the viewer as it was, but for the user's layers."""
        self.keys.close()
        self.controller.close()


_bindings: WeakKeyDictionary[ViewerModel, Binding] = WeakKeyDictionary()


def bind(viewer: ViewerModel) -> Controller:
    """Return the controller of a viewer, made for its first user; :func:`release` it later."""
    viewer = _itself(viewer)
    binding = _bindings.get(viewer)
    if binding is None:
        binding = _bindings[viewer] = Binding(viewer)
    binding.users += 1
    return binding.controller


def find(viewer: ViewerModel | None) -> Controller | None:
    """Return the controller of a viewer if it has one."""
    binding = None if viewer is None else _bindings.get(_itself(viewer))
    return None if binding is None else binding.controller


def release(controller: Controller) -> None:
    """Tell that a user of a controller is gone."""
    binding = _bindings.get(controller.viewer)
    if binding is None or binding.controller is not controller:
        return
    binding.users -= 1
    if not binding.users:
        del _bindings[controller.viewer]
        binding.close()


def _itself(viewer: ViewerModel) -> ViewerModel:
    """Return the viewer that a proxy stands for.

    A plugin's widget is given a proxy, and with it proxies of layers: they are equal to the layers
    that events tell of, but none is the same object, and one is not in the viewer's own lists.
    """
    viewer_itself: ViewerModel = getattr(viewer, "__wrapped__", viewer)
    return viewer_itself
