"""The `bitesize` command: its subcommands, its errors and its exit codes."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from bitesize.cli import (
    bench,
    cache,
    check,
    concat,
    demo,
    doctor,
    evaluate,
    formats,
    info,
    inspect,
    models,
    pack,
    plan,
    predict,
    report,
    stats,
    train,
)
from bitesize.cli.alone import refuse_several_processes
from bitesize.cli.completion import completed, join_words
from bitesize.cli.console import console, errors, in_options, plain, show_log
from bitesize.cli.help import Command, Group
from bitesize.cli.interrupt import INTERRUPT, interruptible, leave
from bitesize.cli.output import open_streams, writing
from bitesize.cli.train_ranks import is_follower, is_rank

EXIT_ERROR = 1

# Commands in the groups of `bitesize --help`.
_COMMANDS: dict[str, list[Callable[..., Any]]] = {
    "Train and use models": [train.train, evaluate.evaluate, predict.predict, report.report, models.models],
    "Look at data": [info.info, check.check, stats.stats, inspect.inspect, formats.formats],
    "Memory and speed": [plan.plan, bench.bench, cache.cache, pack.pack, concat.concat],
    "Try it, and find out what is wrong": [demo.demo, doctor.doctor],
}
app = typer.Typer(
    name="bitesize",
    cls=Group,
    help="Train on data larger than memory, in bites that fit.",
    no_args_is_help=True,
    rich_markup_mode=None,  # help is written by `Command`, and errors of usage are plain lines
    pretty_exceptions_enable=False,
)
for _title, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(cls=Command, rich_help_panel=_title)(completed(_command))


def _show_version(wanted: bool) -> None:
    """Show the version and exit, before a command is asked for."""
    if wanted:
        from bitesize._version import __version__

        console.print(f"bitesize {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and the library's log.")] = False,
) -> None:
    """Train on data larger than memory, in bites that fit."""
    del version  # shown by its callback
    if debug:
        os.environ["BITESIZE_DEBUG"] = "1"
    show_log(all_of_it=debug)
    if not {"--help"} & set(sys.argv[1:]):
        refuse_several_processes(context.invoked_subcommand)


def main() -> None:
    """Run the command and exit with one of `bitesize.cli.help.EXIT_CODES`."""
    from bitesize.errors import BitesizeError

    code: object = 0
    open_streams()
    join_words()
    completes = {"--install-completion", "--show-completion"} & set(sys.argv[1:])
    try:
        with interruptible() as interrupt:
            app(prog_name="bitesize" if completes else None)  # completion is for the command, also from python -m
            interrupt.check()
    except SystemExit as ended:  # typer exits like this; it has printed wrong usage, with code 2
        code = ended.code
    except KeyboardInterrupt:
        leave()
    except Exception as error:
        if is_rank() and not isinstance(error, BitesizeError):
            traceback.print_exc()  # and end below: others wait for this rank
            code = EXIT_ERROR
        else:
            code = _report(error)
    try:
        with writing(sys.stdout):
            sys.stdout.flush()
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        leave()
    if INTERRUPT.pressed:
        leave()
    if code and is_rank():  # without the wait for other ranks, which wait for this one
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else EXIT_ERROR)
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception) -> int:
    """Print a `BitesizeError` as one line; other errors are bugs and keep their traceback."""
    from bitesize.errors import BitesizeError, DoesNotFit, NoPermission, RequestFailed, TooManyBadRows, WorkerFailed

    if not isinstance(error, BitesizeError) or os.environ.get("BITESIZE_DEBUG"):
        raise error
    if is_follower() and isinstance(error, WorkerFailed):
        return EXIT_ERROR  # rank 0 prints the cause
    errors.print(f"[bold red]error:[/] {plain(_in_options(error))}", highlight=False, soft_wrap=True)
    if isinstance(error, TooManyBadRows):
        errors.print("bitesize check DATA lists all of them; a larger --max-bad allows more.", highlight=False)
    elif error.row is not None and not isinstance(error, DoesNotFit | NoPermission | RequestFailed):  # no fault of a file
        errors.print(
            "bitesize check DATA lists all files that cannot be read (--move-bad DIR moves damaged files away); --on-error skip continues "
            "without them.",
            highlight=False,
            soft_wrap=True,
        )
    return EXIT_ERROR


def _in_options(error: Exception) -> str:
    """Return an error's message with the library's settings written as command-line options."""
    from bitesize.errors import DoesNotFit
    from bitesize.sources.splits import SplitRequired

    if isinstance(error, DoesNotFit):
        text = str(error).replace("ower batch_size", "ower --batch-size").replace("with batch_size=", "with --batch-size ")
        text = re.sub(
            r'([Rr])aise memory to "(\S+) (\w+)"',
            lambda found: f"{'Give' if found[1] == 'R' else 'give'} --memory {found[2]}{found[3]}",
            text,
        )
        return re.sub(r'or to "(\S+) (\w+)" with', r"or \1\2 with", text)
    return error.message("--split {}") if isinstance(error, SplitRequired) else in_options(str(error))
