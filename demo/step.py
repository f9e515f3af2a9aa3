"""One step on the screen: its name, a spinner while it runs, how long it took."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console


@contextmanager
def step(console: Console, name: str, about: str) -> Iterator[Callable[[str], None]]:
    """Yields what tells the spinner the present task. A failed step prints no time."""
    console.print(f"\n[bold]{name}[/bold] [dim]{about}[/dim]")
    started = perf_counter()
    with console.status(f"{name} …") as status:
        yield lambda task: status.update(f"{task} …")
    console.print(f"[dim]{perf_counter() - started:.1f} s[/dim]")
