"""invoke's program with what our contract adds: bare words as products or paths, our exit codes, Ctrl-C as 130."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from invoke import Collection, Exit, ParseError, Program, UnexpectedExit

from core.errors import ExitCode, FromscratchError, UsageError
from core.files import storage_error
from core.suggest import suggestion


class Inv(Program):
    """`inv TASK [WORD…] [--flags]`."""

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        """Run the command line; always ends the process with a code of the contract."""
        words = list(sys.argv if argv is None else argv)
        if "--debug" in words[1:]:
            words.remove("--debug")
            os.environ["FROMSCRATCH_DEBUG"] = "1"
        # What ends a service or a CI job is Ctrl-C by another name.
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _interrupt)
        sys.exit(self.outcome(words))

    def outcome(self, argv: list[str]) -> int:
        """Run and return the exit code; every error is explained on standard error."""
        try:
            self.create_config()
            self.parse_core(argv)
            self.parse_collection()
            self.parse_tasks()
            self.parse_cleanup()
            self.update_config()
            self.execute()
            sys.stdout.flush()  # a reader that has gone away is found out here, not at exit
        except FromscratchError as error:
            _explain(error)
            return error.code
        except ParseError as error:
            _explain(UsageError(f"{error}", next="inv --list, or inv TASK --help"))
            return ExitCode.USAGE
        except UnexpectedExit as error:
            return int(error.result.exited)
        except Exit as stop:
            if stop.message:
                print(stop.message, file=sys.stderr)
            return int(stop.code)
        except KeyboardInterrupt:
            print("Interrupted: nothing is left running or half-written.", file=sys.stderr)
            return ExitCode.INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has seen enough: `inv list | head`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitCode.DONE
        except OSError as error:
            storage = storage_error(error, Path.cwd())
            _explain(storage)
            return storage.code
        return ExitCode.DONE

    def parse_tasks(self) -> None:
        """Turn bare words into values of the task's list: ``build a b`` is ``build --product a …``."""
        words: list[str] = list(self.core.unparsed)
        if words and not words[0].startswith("-"):
            contexts = contexts_of(self.collection)
            if words[0] not in contexts:
                msg = f"There is no command '{words[0]}'.{suggestion(words[0], contexts)}"
                raise UsageError(msg, next=f"choose one of: {', '.join(sorted(contexts))}")
            self.core.unparsed = [words[0], *spread(contexts[words[0]], words[1:])]
        with kept_help(self.collection):
            super().parse_tasks()


def contexts_of(collection: Collection) -> dict[str, Any]:
    """Return the commands with their flags."""
    with kept_help(collection):
        return {str(context.name): context for context in collection.to_contexts()}


@contextmanager
def kept_help(collection: Collection) -> Iterator[None]:
    """Keep the tasks' help texts: invoke takes them out of the tasks when it looks at them."""
    tasks = list(collection.tasks.values())
    helps = [dict(task.help) for task in tasks]
    try:
        yield
    finally:
        for task, texts in zip(tasks, helps, strict=True):
            task.help = texts


def spread(context: Any, words: Sequence[str]) -> list[str]:
    """Give each bare word the flag of the task's list argument, if it has one."""
    lists = [argument for argument in context.args.values() if argument.kind is list]
    if not lists:
        return list(words)
    flag = f"--{lists[0].names[0].replace('_', '-')}"
    result: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            result += [flag, word]
            continue
        result.append(word)
        # Not `get`, which knows no short names: https://github.com/bitprophet/lexicon
        argument = context.flags[word] if word in context.flags else None  # noqa: SIM401
        # A value that may be left out is given as --flag=VALUE only: the next word is one of the list.
        if argument and argument.takes_value and not argument.optional:
            result += [value for value in [next(rest, None)] if value is not None]
    return result


def _explain(error: FromscratchError) -> None:
    if os.environ.get("FROMSCRATCH_DEBUG", "0") != "0":
        traceback.print_exception(error)
    print(
        f"error: {error}\n  exit code:    {int(error.code)} ({error.code.name.lower()})",
        file=sys.stderr,
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    # One is enough: a second one would interrupt the tidying up.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
