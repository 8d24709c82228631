"""The command line: ``parity-exp COMMAND [Hydra overrides]``.

This file finds the command, hands the rest to Hydra, and turns what went wrong into an exit status: 0 done, 1 a
defect of ours (with its traceback), 2 something the user can mend (one line), 130 Ctrl-C.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from omegaconf import DictConfig

import parity_exp
from parity_exp import suggestions
from parity_exp.errors import Refused, UserError

COMMANDS = {
    "train": "train a base model and a code for it, and measure them on the test split",
    "evaluate": "measure a trained run again, from its checkpoints",
    "serve": "serve a trained run under stragglers, with each redundancy policy in turn",
    "simulate": "serve in simulated time, on as many instances as you like, without models or data",
    "run": "train, evaluate, serve and report, from one config into one run directory",
    "report": "gather run directories into tidy tables and one page that compares them",
}
"""Commands with one line each; command ``x`` is ``run`` in ``parity_exp/commands/x.py``."""

HYDRAS_FLAGS = ("Only one of --run", "The --resolve flag")
"""How Hydra's ValueErrors begin that are about its flags."""

PROGRAM = "parity-exp"
OMEGACONF_NOTES = ("full_key:", "object_type=", "reference_type=")
"""How lines begin that say nothing to users."""

DONE, DEFECT, MEND, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(word in ("-sc", "--shell-completion", "--shell_completion") for word in given):
        return _complete(given)
    if given and given[0] in ("-h", "--help"):
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
        _run_hydra(command, [*overrides, *_resume_in_place(command, overrides)])
    except KeyboardInterrupt:
        _take_back()
        print(f"{PROGRAM} {command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as ended:
        if isinstance(ended, Refused):
            _take_back()
            print(f"{PROGRAM} {command}: {ended.line}", file=sys.stderr)
            return MEND
        # Hydra's own flags and its parser end the program themselves.
        hint = suggestions.for_flags(overrides) if ended.code == MEND else ""
        if hint:
            print(f"{PROGRAM} {command}: {hint}", file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else DONE
    except Exception as error:
        line = explanation(error)
        if line is None:
            raise
        _take_back()
        print(f"{PROGRAM} {command}: {line}", file=sys.stderr)
        return MEND
    finally:
        _dismiss()
    return DONE


def _take_back() -> None:
    """Leave no trace of a job that has not begun; what it has written itself stays, as does what was there before."""
    if "hydra" in sys.modules:
        from parity_exp.commands.hydra_record import HydraRecord

        HydraRecord.restore()


def _follows() -> bool:
    """Do as the first process says, where this is another of those that were started together; True: it was one."""
    if not {"RANK", "SUBMITIT_EXECUTOR"} & os.environ.keys():
        return False
    from parity_exp.commands import world

    world.enter()
    if world.follows():
        world.follow()
    return world.follows()


def _dismiss() -> None:
    """Let those end that this process has led."""
    if "RANK" in os.environ:
        from parity_exp.commands import world

        world.dismiss()


def usage() -> str:
    """The commands with one line each."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {line}" for name, line in COMMANDS.items())
    return (
        f"usage: {PROGRAM} COMMAND [key=value ...] [Hydra's flags]\n\n{commands}\n\n"
        f"`{PROGRAM} COMMAND --help` lists the config groups, `--cfg job` shows the config, `-m` sweeps."
    )


def _unknown_command(given: Sequence[str]) -> str:
    if not given:
        return usage()
    hint = suggestions.did_you_mean(given[0], COMMANDS)
    return f"{PROGRAM}: {given[0]!r} is not a command{hint and f'; {hint}'}\n\n{usage()}"


def _resume_in_place(command: str, overrides: Sequence[str]) -> list[str]:
    """A resumed job goes on in its own run directory, and keeps Hydra's first record of it."""
    from parity_exp.errors import ConfigError
    from parity_exp.run_directory import RunDirectory

    values = [word.partition("=")[2] for word in overrides if word.startswith("resume=")]
    if command != "train" or not values or values[-1] in ("", "null"):
        return []
    if any(word in ("-m", "--multirun") for word in overrides):
        raise ConfigError("resume= goes on with one run and cannot be used with a multirun")
    path = values[-1].strip("'\"")
    RunDirectory.existing(path, "resume")
    return [f"hydra.run.dir='{path}'", "hydra.output_subdir=.hydra-resume"]


def config_folder() -> Path:
    """Where the config groups are: beside the package's modules when installed, else at the top of the checkout."""
    packaged = Path(str(resources.files("parity_exp"))) / "conf"
    return packaged if packaged.is_dir() else packaged.parent.parent / "conf"


def _run_hydra(command: str, overrides: Sequence[str]) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from parity_exp.commands.hydra_record import HydraRecord

    HydraRecord.before = None
    # The console script and `python -m` shall find the same classes of the user's: those in the current folder.
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    # Hydra's own handler would print and exit with 1; we tell the user's mistakes from ours first.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # Hydra's parser wants all overrides in one place, so ours goes beside the user's first.
    place = next((at for at, word in enumerate(overrides) if "=" in word and word[0] != "-"), len(overrides))
    sys.argv = [PROGRAM, *overrides[:place], f"hydra.job.name={command}", *overrides[place:]]

    @hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")
    def task(config: DictConfig) -> float:
        if _follows():
            return 0.0
        try:
            # Imported here, for help and config need none of what a job needs.
            result: float = importlib.import_module(f"parity_exp.commands.{command}").run(config)
        except Exception as error:
            line = explanation(error)
            if line is None or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # a sweep goes on with its other jobs
            raise Refused(line) from error
        finally:
            if "SUBMITIT_EXECUTOR" in os.environ:
                _dismiss()
        return result

    task()


def explanation(error: BaseException) -> str | None:
    """The one line for an error that the user can mend; None for a defect of ours."""
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return suggestions.for_choice(str(error), error.options, config_folder())
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        words = " ".join(word for word in sys.argv[1:] if word.endswith("=null"))
        return f"{words}: a config group takes the name of a choice, or a list of names; leave it out for the default"
    if isinstance(error, HydraException | OmegaConfBaseException):
        cause = error.__cause__
        unknown_key = suggestions.for_key(str(error), config_folder(), sys.argv[1:])
        if unknown_key is not None:
            return unknown_key
        reason = str(cause) if isinstance(cause, HydraException | OmegaConfBaseException) else ""
        lines = [line.strip() for text in (str(error), reason) for line in text.splitlines()]
        return " ".join(line for line in lines if line and not line.startswith(OMEGACONF_NOTES))
    if isinstance(error, ValueError) and str(error).startswith(HYDRAS_FLAGS):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space" if full else "make it a folder that can be written to"
        return f"{os.fsdecode(error.filename)}: {error.strerror}; {remedy}, or set outputs=FOLDER to another place"
    return None


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
