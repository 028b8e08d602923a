"""What the terminal shows: results on standard output, progress and errors beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def show_error(error: Exception, subject: str = "") -> None:
    """Say what went wrong, in one message; ``subject`` is what it happened to, named once."""
    about = f"{escape(subject)}: " if subject and subject not in str(error) else ""
    err.print(f"[bold red]Error:[/] {about}{escape(str(error))}", soft_wrap=True)


def note(message: str) -> None:
    """Say something in passing."""
    err.print(f"[dim]{escape(message)}[/]", soft_wrap=True)


class Bars:
    """Progress bars that come and go with the work they belong to."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def bar(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar; what is yielded takes (done, in all), 0 if that is unknown."""
        task = self._progress.add_task(escape(title), total=None)
        try:
            yield lambda done, total: self._progress.update(
                task, completed=done, total=total or None
            )
        finally:
            self._progress.remove_task(task)


@contextmanager
def bars(*, of_bytes: bool = False, hidden: bool = False) -> Iterator[Bars]:
    """Make room for progress bars at the bottom of the terminal, unless they are hidden."""
    count = DownloadColumn() if of_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=hidden) as progress:
        yield Bars(progress)
