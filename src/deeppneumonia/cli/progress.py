"""A progress bar on stderr, for people only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deeppneumonia.cli.console import is_interactive

Progress = Callable[[int, int], None]


@contextmanager
def progress_bar(what: str, *, quiet: bool) -> Iterator[Progress | None]:
    """A function to call with (done, total); None where nobody would see the bar."""
    if not is_interactive(quiet=quiet):
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    with RichProgress(console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
