"""The command line: ``parity-exp COMMAND [Hydra overrides]``.

This file finds the command, hands the rest to Hydra, and turns what went wrong into an exit status: 0 done, 1 a
defect of ours (with its traceback), 2 something the user can mend (one line), 130 Ctrl-C. It imports nothing that takes
time before it listens to Ctrl-C.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import parity_exp
from parity_exp.errors import Refused
from parity_exp.process import interrupts

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMANDS = {
    "train": "train a base model and a code for it, and measure them on the test split",
    "evaluate": "measure a trained run again, from its checkpoints",
    "serve": "serve a trained run under stragglers, with each redundancy policy in turn",
    "endpoint": "put a trained run behind the Open Inference Protocol, for clients of its own",
    "load": "play a load against any server of the Open Inference Protocol, and record what it answers",
    "simulate": "serve in simulated time, on as many instances as you like, without models or data",
    "run": "train, evaluate, serve and report, from one config into one run directory",
    "compare": "train codes, simulate them and their rivals, and put all into one table and one picture",
    "report": "gather run directories into tidy tables and one page that compares them",
    "doctor": "say what there is on this machine and what is missing, and try each device",
}
"""Commands with one line each; command ``x`` is ``run`` in ``parity_exp/commands/x.py``."""

WITHOUT_FOLDER = ("doctor",)
"""Commands that have no run directory; they read their own overrides, and Hydra shows their config only."""

PROGRAM = "parity-exp"

HELP = ("-h", "--help", "--hel", "--he")
"""Flags that ask for help, as whoever is used to argparse abbreviates them."""

SHOWING = ("--cfg", "-c", "--info", "-i", "--hydra-help")
"""How Hydra's flags begin by which it shows something and runs nothing."""

DONE, DEFECT, MEND, INTERRUPTED = 0, 1, 2, interrupts.STATUS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status.

    Args:
        arguments: those behind the program's name; None: those of this process, which ends afterwards.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with interrupts.listening(to_the_end=arguments is None):
        try:
            if arguments is None:
                from parity_exp.process import outputs

                outputs.secure()
            status = _main(given)
            interrupts.check()
        except BaseException as error:
            if not interrupts.arrived() and not isinstance(error, KeyboardInterrupt):
                raise
            with interrupts.ctrl_c_waits():
                _take_back()
                print(f"{' '.join([PROGRAM, *given[:1]])}: interrupted", file=sys.stderr)
            status = INTERRUPTED
    return status


def _main(given: list[str]) -> int:
    if any(word in ("-sc", "--shell-completion", "--shell_completion") for word in given):
        return _complete(given)
    if given and given[0] in HELP:
        print(usage())
        return DONE
    if given and given[0] == "--version":
        print(f"parity_exp {parity_exp.__version__}")
        return DONE
    if not given or given[0] not in COMMANDS:
        print(_unknown_command(given), file=sys.stderr)
        return MEND
    command, *overrides = given
    try:
        if _follows():
            return DONE
        if any(word in HELP for word in overrides):
            print(_help(command, overrides))
            return DONE
        if command in WITHOUT_FOLDER and not any(word.startswith(SHOWING) for word in overrides):
            status: int = importlib.import_module(f"parity_exp.commands.{command}").run(overrides)
            return status
        _run_hydra(command, overrides)
    except SystemExit as ended:
        interrupts.check()
        if isinstance(ended, Refused):
            return _refuse(command, ended.line)
        # Hydra's own flags and its parser end the program themselves.
        from parity_exp.experiment import suggestions

        hint = suggestions.for_flags(overrides) if ended.code == MEND else ""
        if hint:
            print(f"{PROGRAM} {command}: {hint}", file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else DONE
    except Exception as error:
        interrupts.check()
        line = _explanation(error)
        if line is None:
            raise
        return _refuse(command, line)
    finally:
        _dismiss()
    return DONE


def _help(command: str, words: Sequence[str]) -> str:
    """The command's own screen, from what it says of itself."""
    from parity_exp.experiment.config_folder import config_folder
    from parity_exp.experiment.help_screen import asked_for

    usage = importlib.import_module(f"parity_exp.commands.usages.{command}").USAGE
    return asked_for(PROGRAM, command, COMMANDS[command], usage, words, config_folder())


def _refuse(command: str, line: str) -> int:
    _take_back()
    print(f"{PROGRAM} {command}: {line}", file=sys.stderr)
    return MEND


def _explanation(error: BaseException) -> str | None:
    from parity_exp.experiment.explanations import explanation

    return explanation(error)


def _take_back() -> None:
    """Leave no trace of a job that has not begun; what it has written itself stays, as does what was there before."""
    if "hydra" in sys.modules:
        from parity_exp.experiment.hydra_record import HydraRecord

        HydraRecord.restore()


def _follows() -> bool:
    """Do as the first process says, where this is another of those that were started together; True: it was one."""
    if not {"RANK", "SUBMITIT_EXECUTOR"} & os.environ.keys():
        return False
    from parity_exp.process import world

    world.enter()
    if world.follows():
        world.follow()
    return world.follows()


def _dismiss() -> None:
    """Let those end that this process has led."""
    if "RANK" in os.environ:
        from parity_exp.process import world

        world.dismiss()


def usage() -> str:
    """The commands with one line each."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {line}" for name, line in COMMANDS.items())
    return (
        f"usage: {PROGRAM} COMMAND [key=value ...] [Hydra's flags]\n\n{commands}\n\n"
        f"`{PROGRAM} COMMAND --help` shows a command's overrides and config groups; `--version` tells this program's."
    )


def _unknown_command(given: Sequence[str]) -> str:
    if not given:
        return usage()
    from parity_exp.experiment import suggestions

    hint = suggestions.did_you_mean(given[0], COMMANDS)
    return f"{PROGRAM}: {given[0]!r} is not a command{hint and f'; {hint}'}\n\n{usage()}"


def _run_hydra(command: str, overrides: Sequence[str]) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from parity_exp.experiment.command_line import as_hydra_reads
    from parity_exp.experiment.config_folder import config_folder
    from parity_exp.experiment.hydra_record import HydraRecord
    from parity_exp.experiment.moved_keys import as_hydra_takes, move, say
    from parity_exp.experiment.searching.own_configs import prefer_own_configs

    HydraRecord.before = None
    prefer_own_configs()
    from parity_exp.experiment.schema.composed import check_composed

    # The console script and `python -m` shall find the same classes of the user's: those in the current folder.
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    # Hydra's own handler would print and exit with 1; we tell the user's mistakes from ours first.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    assumed = importlib.import_module(f"parity_exp.commands.usages.{command}").USAGE.assumed
    overrides = [*assumed, *(as_hydra_takes(word) for word in as_hydra_reads(command, overrides))]
    # Hydra's parser wants all overrides in one place, so ours goes beside the user's first; where there is none, before
    # all flags, of which the last may lack its value.
    place = next(
        (at for at, word in enumerate(overrides) if word.startswith("~") or ("=" in word and word[0] != "-")), 0
    )
    sys.argv = [PROGRAM, *overrides[:place], f"hydra.job.name={command}", *overrides[place:]]

    @hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")
    def task(config: "DictConfig") -> float:
        interrupts.check()  # in a sweep, the job before may have been what it came in
        if _follows():
            return 0.0
        try:
            if HydraConfig.get().job.chdir:
                # Whatever is given by its path, here or in an earlier run's config, is meant from where commands are
                # given; what a job writes goes to its run directory anyway.
                os.chdir(HydraConfig.get().runtime.cwd)
            say(move(config))  # what a callback has done already, but for the jobs of a sweep
            check_composed(config, HydraConfig.get().overrides.task, command)
            # Imported here, for help and config need none of what a job needs.
            result: float = importlib.import_module(f"parity_exp.commands.{command}").run(config)
            interrupts.check()
        except Exception as error:
            interrupts.check()
            line = _explanation(error)
            if line is None or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # a sweep goes on with its other jobs
            raise Refused(line) from error
        finally:
            if "SUBMITIT_EXECUTOR" in os.environ:
                _dismiss()
        return result

    task()


def _complete(given: Sequence[str]) -> int:
    """Complete commands ourselves, and let Hydra complete what follows a command."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split(" ")
    if "COMP_LINE" in os.environ and (len(words) < 3 or words[1] not in COMMANDS):
        start = words[1] if len(words) > 1 else ""
        print("\n".join(name for name in COMMANDS if name.startswith(start)))
        return DONE
    command = words[1] if len(words) > 2 else next(iter(COMMANDS))
    os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
    if "COMP_POINT" in os.environ:
        os.environ["COMP_POINT"] = str(int(os.environ["COMP_POINT"]) - len(command) - 1)
    _run_hydra(command, [word for word in given if word not in COMMANDS])
    return DONE
