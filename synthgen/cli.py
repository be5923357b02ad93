"""The command line: a click group that imports a command only when it is called, and the one place where errors end.

Every failure is one line on standard error and an exit code: 0 done, 1 the work failed, 2 bad usage or bad input,
3 partly done (the same command goes on), 4 verification found damage, 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import click

from synthgen import __version__
from synthgen.errors import SynthgenError
from synthgen.processes import INTERRUPTS

_COMMANDS = {
    "build": "Make a synthetic cohort from a fitted generator.",
    "diff": "Say how two datasets differ.",
    "evaluate": "Measure what networks learn from a cohort.",
    "export": "Write a dataset in another format.",
    "extend": "Make the next version of a dataset, with more subjects.",
    "fit": "Fit a generator on patients or virtual hearts.",
    "hearts": "Simulate a labelled population of virtual hearts.",
    "pack": "Write a dataset into one file.",
    "render": "Make new images of the label maps of a cohort.",
    "replay": "Make subjects again from their records and compare.",
    "segment": "Label nine tissues on real images.",
    "show": "Say what is in a dataset or a bundle.",
    "unpack": "Make a dataset of one file, and verify it.",
    "verify": "Check every byte of a dataset.",
}
"""Name and help line of each command; `synthgen.commands.<name>.<name>` is the command itself."""


@dataclass
class _Settings:
    """What the group's own options say."""

    debug: bool = False


class _LazyGroup(click.Group):
    """A group whose help needs no command to be imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command `cmd_name`; None when there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"synthgen.commands.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="synthgen")
@click.option("--debug", is_flag=True, help="On a failure, show the traceback too.")
@click.pass_obj
def _group(settings: _Settings, *, debug: bool) -> None:
    """Make labelled synthetic short-axis cardiac MR cohorts: by pathology, vendor and severity, with exact counts.

    The first cohort needs nothing but this program: synthgen build --target ARV --count 168
    """
    settings.debug = debug


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; `arguments` are those of the process when None."""
    settings = _Settings()
    try:
        code = _group.main(arguments, prog_name="synthgen", standalone_mode=False, obj=settings)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _fail(_usage(error), error.exit_code)
    except Exception as error:
        if settings.debug:
            click.echo(traceback.format_exc(), err=True, nl=False)
        return _fail(*_explain(error))
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line of the process and end it; batch systems stop it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = run()
    for number in INTERRUPTS:  # Python ends slowly, and a second Ctrl-C would change the code
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _usage(error: click.ClickException) -> str:
    """Return the message of a usage error with where to read more."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{error.format_message().rstrip('.')}. See `{context.command_path if context else 'synthgen'} --help`."


def _explain(error: Exception) -> tuple[str, int]:
    """Return the line and the exit code of a failure."""
    if isinstance(error, SynthgenError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}." if error.filename else str(error), 1
    return f"unexpected {type(error).__name__}: {error}; `synthgen --debug COMMAND ...` shows where", 1


def _fail(message: str, code: int) -> int:
    """Write `message` as one line on standard error and return `code`."""
    click.echo(f"synthgen: {' '.join(message.split())}", err=True)
    return code
