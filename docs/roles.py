"""Shows the cross-references of our docstrings, :class:`~a.b.C`, as plain code: `C`."""

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":\w+:`~?(?:\w+\.)*(\w+)`")


class Roles(Extension):
    """A griffe extension, named in mkdocs.yml."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite a docstring as soon as it has been collected."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value)
