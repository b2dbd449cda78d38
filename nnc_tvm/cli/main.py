"""Entry point of the command line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from nnc_tvm.errors import NncError

COMMANDS = {
    "compile": "Compile a model into a C package.",
    "run": "Run a package on arrays.",
    "verify": "Compare a package with its source model, layer by layer.",
    "bench": "Measure a package: time or instructions, and bytes.",
    "inspect": "Show a package's layers and costs.",
    "targets": "List the targets and what they need.",
}
"""Each is the function `command` of the module of its name, loaded when it is called: `nnc-tvm --help` answers at once."""

USER_ERROR = 2
INTERRUPTED = 130  # as shells count it: 128 + SIGINT
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
LONGEST_TEXT = 240


class Commands(click.Group):
    """The commands, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"nnc_tvm.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


@click.group(cls=Commands, context_settings=SETTINGS, epilog="nnc-tvm COMMAND --help explains a command.")
@click.version_option(package_name="nnc-tvm", message="nnc-tvm %(version)s")
def cli() -> None:
    """Compiles quantized neural networks into plain C packages for edge targets.

    \b
    nnc-tvm compile model.tflite --target arm_cpu --mcpu cortex-a76 -o model_package
    make -C model_package run
    nnc-tvm bench model_package
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 when all went well, 2 with one line on stderr for anything the user can act on, 130 when interrupted."""
    sys.exit(exit_code(sys.argv[1:] if arguments is None else arguments))


def exit_code(arguments: Sequence[str]) -> int:
    """Runs the command; its exit code. With NNC_TVM_TRACEBACK=1 in the environment, unexpected errors show where they come from."""
    try:
        result = cli.main(list(arguments), prog_name="nnc-tvm", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.UsageError as error:
        hint = f"; see `{error.ctx.command_path} --help`" if error.ctx else ""
        return _say(error.format_message().rstrip(".") + hint, USER_ERROR)
    except click.ClickException as error:
        return _say(error.format_message(), USER_ERROR)
    except NncError as error:
        return _say(str(error), USER_ERROR)
    except (KeyboardInterrupt, click.Abort):
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # the reader of our output is gone; Python would complain once more while it flushes stdout at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USER_ERROR
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{error.strerror or error}", USER_ERROR)
    except Exception as error:
        if os.environ.get("NNC_TVM_TRACEBACK"):
            raise
        text = " ".join(str(error).split())
        if len(text) > LONGEST_TEXT:  # TVM's messages quote whole functions and tell at the end what is wrong
            text = f"{text[:LONGEST_TEXT // 2]} ... {text[-LONGEST_TEXT // 2:]}"
        return _say(f"internal error, please report it: {type(error).__name__}: {text} (NNC_TVM_TRACEBACK=1 shows where)", INTERNAL_ERROR)


def _say(message: str, code: int) -> int:
    line = " ".join(message.split())
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)  # names of a model could steer the terminal
    print(f"nnc-tvm: error: {printable}", file=sys.stderr)
    return code
