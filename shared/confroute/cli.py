"""The command line: `confroute demo`, `confroute ask`, `confroute calibrate` and `confroute check`."""

import errno
import os
import sys
from collections.abc import Callable
from functools import wraps
from inspect import getdoc
from typing import TYPE_CHECKING, Annotated, Any

from confroute import __version__
from confroute.errors import ConfrouteError

if TYPE_CHECKING:
    from typer import Typer

_INTERRUPTED = 130
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def app() -> "Typer":
    """All commands. What they are made of is imported here, where `main` can tell an interrupt from an error."""
    import typer

    from confroute.calibration.command import calibrate
    from confroute.conformance.command import check
    from confroute.demo.command import ask, demo

    commands = typer.Typer(
        help="Answers on the edge what the edge is sure of; the rest goes to the cloud.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )

    @commands.callback(invoke_without_command=True)
    def root(  # pyright: ignore[reportUnusedFunction]
        version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    ) -> None:
        if version:
            typer.echo(f"confroute {__version__}")
            raise typer.Exit

    def interruptible(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*arguments: Any, **settings: Any) -> None:
            try:
                command(*arguments, **settings)
            except KeyboardInterrupt:
                typer.echo("Interrupted.", err=True)
                raise typer.Exit(_INTERRUPTED) from None

        return run

    for command in (demo, ask, calibrate, check):
        commands.command(help=_flowing(command))(interruptible(command))
    return commands


def _flowing(command: Callable[..., None]) -> str:
    """Its docstring as paragraphs of one line each, which a terminal breaks where it ends."""
    paragraphs = (getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def main() -> None:
    """Run the command line; a confroute error, or a full disk, becomes one line on stderr and exit code 2, Ctrl-C exit
    code 130."""
    _open_streams()
    # A character that its encoding lacks must not end the work of an hour.
    reconfigure: Any = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    try:
        app()()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(_INTERRUPTED)
    except ConfrouteError as error:
        from confroute.consoles import console

        console(stderr=True).print(f"Error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        sys.stderr.write(f"Error: The output could not be written: {error.strerror}.\n")
        # What is left to be written would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)


def _open_streams() -> None:
    """A stream that the caller closed takes all and shows nothing; its number would else go to the next file opened."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


if __name__ == "__main__":
    main()
