"""The rooms and what they may import, as pyproject.toml states it."""

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_every_room_imports_only_from_rooms_below():
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS
