"""Errors of libraries that the user can mend, in one line, wherever they arise.

Rules:

* A kind is known by its text, for libraries raise the same classes for everything.
* Some texts may as well be those of a defect of ours, such as a shape that does not fit. They are explained only where
  somebody else's code was running, and the line says where; otherwise the traceback stays.
* Nothing is imported here that is slow to import.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

OURS = __name__.partition(".")[0]

OUR_NETWORKS = (f"{OURS}.models", f"{OURS}.coding")

LIBRARIES = {
    "torch", "pytorch_lightning", "lightning_fabric", "lightning_utilities", "torchmetrics", "numpy", "scipy", "hydra",
    "omegaconf", "pytest", "_pytest", "pluggy", *sys.stdlib_module_names,
}  # fmt: skip
"""Packages whose code calls that of others, or fails for its sake."""

LONGEST = 240
"""Characters of a library's own words in a line."""


@dataclass(frozen=True)
class Kind:
    """Errors with one remedy.

    Attributes:
        text: what they say.
        remedy: the line; ``{}`` is where the library's own words go.
        of_others: whether the same text may be that of a defect of ours.
    """

    text: str
    remedy: str
    of_others: bool = False


LESS = "lower base.batch_size and batch_groups, or choose a smaller architecture"

KINDS = (
    Kind(
        r"(CUDA|HIP|XPU|MPS backend) out of memory|CUDA error: out of memory|STATUS_ALLOC_FAILED",
        f"the GPU has no memory left ({{}}); {LESS}, put fewer instances on it, or run on the processor",
    ),
    Kind(
        r"DefaultCPUAllocator|not enough memory: you tried|bad_alloc|Unable to allocate|Cannot allocate memory|"
        r"MemoryError",
        f"this machine has no memory left ({{}}); {LESS}, or use less data (dataset.limit=)",
    ),
    Kind(
        r"Expected more than 1 (value per channel|spatial element) when training",
        "a network with batch normalisation cannot learn from one sample at a time ({}); set base.batch_size and "
        "batch_groups to 2 or more, and leave more samples for training",
    ),
    Kind(
        r"Kernel size can't be greater than actual input size|Output size is too small|Padding size should be less than"
        r"|[Nn]on-empty .*(tensor|spatial)|non-zero size for input",
        "the images are too small for the network ({}); choose larger ones (dataset.size=) or a network for small ones",
    ),
    Kind(
        r"not implemented for '(Half|BFloat16|Float8\w*|Double|Complex\w+)'|(does not|doesn't) support "
        r"(float64|bfloat16|float16)|(bf16|bfloat16|float16|fp16|16-\w+).*not supported|same dtype|"
        r"[Ll]ow precision dtypes not supported|"
        r"expected scalar type|Input type \((?!.*cuda).*\) and (weight|bias) type \((?!.*cuda)",
        "this precision does not work here ({}); set trainer.precision=32-true",
    ),
    Kind(
        r"Expected all tensors to be on the same device|different from other tensors on|not on the expected device|"
        r"Input type \(.*\) and (weight|bias) type \(",
        "tensors are on different devices ({}); make every tensor in a network's forward on its input's device, and "
        "keep constants in buffers",
        of_others=True,
    ),
    Kind(
        r"cannot be multiplied|must match|invalid for input of size|to have \d+ channels|Expected \d+D|size mismatch|"
        r"Expected .*input|expanded size|normalized_shape|broadcast|Dimension out of range|view size is not compatible|"
        r"should contain \d+ elements|[Ss]hape.*(mismatch|invalid)|dimensions? .*(mismatch|expected)",
        "shapes do not fit each other ({}); mend that code, or give it the shapes that it wants",
        of_others=True,
    ),
    Kind(
        r"Target -?\d+ is out of bounds|index out of range in self",
        "a number is beyond what there is ({}): number classes and entries from 0",
        of_others=True,
    ),
    Kind(
        r"device-side assert",
        "an index was out of range on the GPU ({}), such as a label that no class has; run once with "
        "trainer.accelerator=cpu to see which",
    ),
    Kind(
        r"does not require grad and does not have a grad_fn",
        "the loss depends on nothing that can be trained ({}); a network or an objective detaches its output, or all "
        "parameters are frozen",
    ),
    Kind(
        r"modified by an inplace operation",
        "a network changes a tensor in place that its gradient needs ({}); use inplace=False",
    ),
    Kind(
        r"does not have a deterministic implementation",
        "an operation has no deterministic form ({}); set trainer.deterministic=warn",
    ),
    Kind(r"fused=True", "the optimizer's fused form does not work here ({}); set its fused=false"),
    Kind(
        r"linalg|[Ss]ingular matrix|matrix is singular",
        "a system of equations has no solution ({}); with k, r and generator as they are, losses cannot be repaired: "
        "choose generator=chebyshev",
    ),
    Kind(
        r"DataLoader worker .*(killed|exited)",
        "a process that loads data was ended by the system ({}), as where memory or /dev/shm is short; free some, or "
        "use fewer workers",
    ),
    Kind(
        r"shared memory|/torch_\d+|ancdata|Bus error|/dev/shm",
        "shared memory is short ({}); enlarge /dev/shm (docker: --shm-size=2g) or raise `ulimit -n`",
    ),
    Kind(
        r"SIGKILL|terminated abruptly|process \d+ terminated|Signal 9\b",
        f"a process was ended by the system ({{}}), most likely for want of memory; use fewer processes, {LESS}",
    ),
    Kind(r"Too many open files", "too many files are open ({}); raise the limit, `ulimit -n 65536`"),
    Kind(
        r"can't start new thread|Resource temporarily unavailable|pthread_create",
        "the system starts no more processes or threads ({}); raise `ulimit -u`, or set OMP_NUM_THREADS=1",
    ),
    Kind(
        r"no NVIDIA driver|driver .*(too old|insufficient)|no kernel image|invalid device ordinal|No CUDA GPUs|"
        r"not compiled with CUDA|No supported gpu|You requested gpu|CUDA-capable device|CUDA unknown error",
        "torch cannot use the GPU ({}); install a torch that fits the driver and the GPU, name GPUs that are there, or "
        "set trainer.accelerator=cpu",
    ),
    Kind(
        r"Address already in use|EADDRINUSE|failed to listen",
        "a port is taken ({}); set MASTER_PORT to a free one",
    ),
    Kind(
        r"NCCL|[Gg]loo|Connection (closed|reset) by peer|DistBackendError|DistStoreError",
        "processes that train together have lost each other ({}); look for what the first of them to end has said",
    ),
    Kind(
        r"urlopen error|HTTP Error \d+|Max retries exceeded|Name or service not known|Temporary failure in name",
        "a download failed ({}); without a network put the files in place yourself, as weights by base.checkpoint=",
    ),
    Kind(
        r"[Cc]an't pickle|cannot pickle|Can't get (local object|attribute)",
        "an object cannot be sent to another process ({}); define its class at the top of a module that is imported",
    ),
)
"""The first that fits explains an error."""

ABOUT_MEMORY = re.compile(r"[Tt]ried to allocate [\d.]+ \w+|Unable to allocate [\d.]+ \w+")


def explained(error: BaseException) -> str | None:
    """One line that says what happened and what to do; None where it may be a defect of ours.

    Args:
        error: what was raised; what it was raised from counts, too.
    """
    for one in _chain(error):
        text = f"{type(one).__name__}: {one}"
        for kind in KINDS:
            if not re.search(kind.text, text):
                continue
            place = _foreign_place(one) if kind.of_others else ""
            if place is None:
                break
            line = kind.remedy.format(_words(one, kind.text).replace("{", "{{").replace("}", "}}"))
            return f"{place}: {line}" if place else line
    return None


def in_one_line(error: BaseException) -> str:
    """An error's first line, with its class where the text alone says little."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0][:LONGEST] if lines else ""
    if isinstance(error, RuntimeError | ValueError | AssertionError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def all_lines(error: BaseException) -> str:
    """All that an error says, as one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, the innermost last."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__


def _words(error: BaseException, text: str) -> str:
    """What a library says, as far as it says anything to a reader."""
    said = str(error)
    memory = ABOUT_MEMORY.search(said)
    if memory:
        return memory[0]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = next((line for line in lines if re.search(text, line)), lines[0] if lines else type(error).__name__)
    return telling if len(telling) <= LONGEST else f"{telling[:LONGEST]} ..."


def _foreign_place(error: BaseException) -> str | None:
    """Where somebody else's code failed, or whose network did; None where it was ours."""
    frames = list(_frames(error))
    last = max((at for at, frame in enumerate(frames) if _root(frame) == OURS), default=-1)
    after = frames[last + 1 :]
    others = [frame for frame in after if _root(frame) not in LIBRARIES]
    if others:
        frame = others[-1]
        return f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}, in {frame.f_code.co_name}"
    if last >= 0 and _module_of(frames[last]).startswith(OUR_NETWORKS):
        return None
    called = [name for name in map(_module_of, after) if name]
    return called[0].rpartition(".")[2] if called else None


def _frames(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _root(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _module_of(frame: FrameType) -> str:
    """The class of the network whose method a frame is, with its module; empty where it is none."""
    torch = sys.modules.get("torch")
    owner = frame.f_locals.get("self")
    if torch is None or not isinstance(owner, torch.nn.Module):
        return ""
    return f"{type(owner).__module__}.{type(owner).__qualname__}"
