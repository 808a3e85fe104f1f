"""invoke's program with what our contract adds: bare words as products or paths, our exit codes, Ctrl-C as 130."""

import os
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from invoke import Collection, Exit, ParseError, Program
from invoke.completion.complete import complete, print_completion_script
from invoke.parser import Argument, Parser, ParserContext
from invoke.parser.context import to_flag

from core.errors import ExitCode, FromscratchError, UsageError
from core.files import storage_error
from core.settings import Settings
from core.suggest import suggestion
from core.visible import visible

SHORT_FLAGS = {"jobs": "j", "recursive": "r", "target": "t"}
"""The only short flags of commands, so that a letter means the same in each; besides -h, -l and -V."""


class Inv(Program):
    """`inv COMMAND [WORD…] [--flags]`."""

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        """Run the command line; always ends the process with a code of the contract."""
        words = list(sys.argv if argv is None else argv)
        if "--debug" in words[1:]:
            words = [word for word in words if word != "--debug"]
            os.environ["FROMSCRATCH_DEBUG"] = "1"
        # What ends a service or a CI job is Ctrl-C by another name.
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _interrupt)
        try:
            code = self.outcome(words)
        except (
            KeyboardInterrupt
        ):  # between the handler and the block that explains it, or while it explains
            code = ExitCode.INTERRUPTED
        except Exception as error:  # a fault of ours, and its message may quote others
            _trace(error)
            code = 1
        sys.exit(code)

    def outcome(self, argv: list[str]) -> int:
        """Run and return the exit code; every error is explained on standard error."""
        try:
            self.create_config()
            self.parse_core(argv)
            self.parse_collection()
            self.parse_tasks()
            self.parse_cleanup()
            self.execute()
            sys.stdout.flush()  # a reader that has gone away is found out here, not at exit
        except FromscratchError as error:
            return _explain(error)
        except ParseError as error:
            return _explain(UsageError(f"{error}", next="inv --list, or inv COMMAND --help"))
        except Exit as end:
            if end.message:
                print(visible(end.message), file=sys.stderr)
            return int(end.code)
        except KeyboardInterrupt:
            print("Interrupted: nothing is left running or half-written.", file=sys.stderr)
            return ExitCode.INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has seen enough: `inv list | head`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            return _explain(storage_error(error, Path.cwd()))
        return ExitCode.DONE

    def core_args(self) -> list[Argument]:
        """Only what we keep the promise of: invoke takes a dozen more (``--dry``), which no command obeys."""

        def switch(*names: str, help: str) -> Argument:
            return Argument(names=names, kind=bool, default=False, help=help)

        return [
            switch("complete", help="Print what can complete the words after --, for a shell."),
            switch("debug", help="Show the traceback of an error."),
            Argument(
                names=("help", "h"), optional=True, help="Show all commands, or how to use one."
            ),
            switch("list", "l", help="List the commands."),
            Argument(
                names=("print-completion-script",),
                help="Print a script for tab completion in bash, fish or zsh.",
            ),
            switch("version", "V", help="Show the version."),
        ]

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the flags before the command; `parse_cleanup` obeys them, with those behind it."""
        self.normalize_argv(argv)
        self.parse_core_args()
        if self.core.remainder and not self.args.complete.value:
            msg = "No command takes words after '--'."
            raise UsageError(msg, next="leave '--' away")

    def parse_tasks(self) -> None:
        """Turn bare words into values of the command's list: ``build a b`` is ``build --product a …``."""
        self.contexts = contexts_of(self.collection)
        self.core.unparsed = spread(self.core.unparsed, self.contexts, core=self.initial_context)
        super().parse_tasks()

    def parse_cleanup(self) -> None:
        """Answer what asks for an answer and not for work."""
        args, names = self.args, self.binary_names
        shell, command = args["print-completion-script"].value, args.help.value
        if shell is not None:
            print_completion_script(shell, names)
        elif args.version.value:
            self.print_version()
        elif args.list.value:
            self.list_tasks()
        elif args.complete.value:
            parser = self._make_parser()
            complete(names, self.core, self.initial_context, self.collection, parser)
        elif command is True or (command is None and not self.tasks):
            self.print_help()
        elif command is None:
            return
        elif command in self.contexts:
            self.print_task_help(command)
        else:
            raise _no_command(command, self.contexts)
        raise Exit

    def _make_parser(self) -> Parser:
        return Parser(self.contexts.values(), initial=self.initial_context)


def contexts_of(collection: Collection) -> dict[str, ParserContext]:
    """Return the commands with their flags, of which only `SHORT_FLAGS` are short."""
    contexts = {}
    for name in collection.task_names:
        task = collection[name]
        texts = dict(task.help)
        arguments = task.get_arguments()  # takes the help texts out of the task
        task.help = texts
        for argument in arguments:
            long = argument.names[0]
            argument.names = (long, SHORT_FLAGS[long]) if long in SHORT_FLAGS else (long,)
        contexts[name] = ParserContext(name=name, args=arguments)
    return contexts


def spread(
    words: Sequence[str], contexts: Mapping[str, ParserContext], *, core: ParserContext
) -> list[str]:
    """Give each bare word the flag of its command's list argument, if it has one.

    Raises UsageError for what is no command, no flag, or a flag without its value: invoke would take some
    of it for the next command.
    """
    context = core
    result: list[str] = []
    given: set[str] = set()
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if not word.startswith("-") or word == "-":
            if lists := [argument for argument in context.args.values() if argument.kind is list]:
                result.append(to_flag(lists[0].names[0]))
            elif word in contexts:
                context, given = contexts[word], set()
            else:
                raise _no_command(word, contexts)
            result.append(word)
            continue
        result.append(word)
        flag, equals, value = word.partition("=")
        if not equals and not flag.startswith("--"):
            flag, value = word[:2], word[2:]  # -j3
        flags = _flags(context) | _flags(core)
        if flag not in flags:
            raise _no_flag(flag, context, contexts, core=core)
        argument, wrong = flags[flag], ""
        if not argument.takes_value:
            wrong = "takes no value" if equals or value else ""
        elif argument.kind is not list and argument.names[0] in given:
            wrong = "is given twice"
        # A value that may be left out is given as --flag=VALUE only: the next word is one of the list.
        elif not (argument.optional or equals or value):
            if rest and rest[-1] not in flags:
                result.append(rest.pop())
            else:
                wrong = "needs a value"
        if wrong:
            msg = f"'{flag}' {wrong}."
            raise UsageError(msg, next=f"inv {context.name or 'COMMAND'} --help")
        given.add(argument.names[0])
    return result


def _flags(context: ParserContext) -> dict[str, Argument]:
    return {
        to_flag(name): argument for argument in context.args.values() for name in argument.names
    }


def _no_command(word: str, known: Iterable[str]) -> UsageError:
    return UsageError(
        f"There is no command '{word}'.{suggestion(word, known)}",
        next=f"choose one of: {', '.join(sorted(known))}",
    )


def _no_flag(
    flag: str, context: ParserContext, contexts: Mapping[str, ParserContext], *, core: ParserContext
) -> UsageError:
    if context is core and any(flag in _flags(command) for command in contexts.values()):
        msg = f"'{flag}' is a command's flag: it comes after the command's name."
        return UsageError(msg, next=f"inv COMMAND {flag}")
    known = [name for name in _flags(context) | _flags(core) if name.startswith("--")]
    # A letter resembles nothing: it stands for the first flag that begins with it.
    word = flag if flag.startswith("--") else next((n for n in known if n[1:3] == flag), "")
    own = sorted({"--help", *_flags(context)} & set(known))
    whose = f"'{context.name}' has" if context.name else "There is"
    msg = f"{whose} no flag '{flag}'.{suggestion(word, known)}"
    return UsageError(msg, next=f"choose one of: {', '.join(own)}")


def _explain(error: FromscratchError) -> ExitCode:
    try:
        debug = Settings.read({}).flag("debug")
    except FromscratchError:  # it is the settings that are wrong
        debug = bool(os.environ.get("FROMSCRATCH_DEBUG"))
    if debug:
        _trace(error)
    print(
        visible(f"error: {error}\n  exit code:    {int(error.code)} ({error.code.name.lower()})"),
        file=sys.stderr,
    )
    return error.code


def _trace(error: Exception) -> None:
    print(visible("".join(traceback.format_exception(error))), end="", file=sys.stderr)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # One is enough: a second one would interrupt the tidying up.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt
