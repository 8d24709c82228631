import os
from pathlib import Path

import pytest
import torch

from parity_exp.errors import CheckpointError
from parity_exp.models import MLP, VGG11, load_weights, save_weights


def network(seed: int = 0) -> MLP:
    torch.manual_seed(seed)
    return MLP((1, 4, 4), 3, hidden=(8, 8))


def assert_loads(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "net.pt")
    other = network(1)
    load_weights(tmp_path / "net.pt", other, "base.checkpoint")
    query = torch.rand(2, 1, 4, 4)
    torch.testing.assert_close(other(query), network()(query))


def test_our_own_checkpoint_comes_back(tmp_path: Path) -> None:
    save_weights(tmp_path / "net.ckpt", "base", network().state_dict())
    other = network(1)
    load_weights(tmp_path / "net.ckpt", other, "base.checkpoint")
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), network().parameters(), strict=True))


def test_prefixes_wrappers_and_other_names_are_matched(tmp_path: Path) -> None:
    weights = network().state_dict()
    assert_loads(weights, tmp_path)
    assert_loads({f"module.{key}": value for key, value in weights.items()}, tmp_path)
    assert_loads({"state_dict": {f"model.{key}": value for key, value in weights.items()}}, tmp_path)
    assert_loads({key.replace("layers", "nn"): value for key, value in weights.items()}, tmp_path)


def test_batch_norms_counters_may_be_absent(tmp_path: Path) -> None:
    source = VGG11((1, 16, 16), 3)
    torch.save({k: v for k, v in source.state_dict().items() if "num_batches" not in k}, tmp_path / "vgg.pt")
    load_weights(tmp_path / "vgg.pt", VGG11((1, 16, 16), 3), "base.checkpoint")


def test_another_network_is_refused_with_both_lists(tmp_path: Path) -> None:
    torch.save(MLP((1, 4, 4), 5).state_dict(), tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"expected 6 tensors.*found 6 tensors"):
        load_weights(tmp_path / "other.pt", network(), "base.checkpoint")


@pytest.mark.parametrize("content", [b"", b"junk", b"junk\n", b"\x80\x02" * 50, os.urandom(500)])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk").write_bytes(content)
    with pytest.raises(CheckpointError, match="junk"):
        load_weights(tmp_path / "junk", network(), "base.checkpoint")


@pytest.mark.parametrize("left", [0.01, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("hidden", [8, 400])
def test_a_checkpoint_cut_short_is_refused(tmp_path: Path, left: float, hidden: int) -> None:
    path = tmp_path / "net.ckpt"
    larger = MLP((1, 4, 4), 3, hidden=(hidden, hidden))
    save_weights(path, "base", larger.state_dict())
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    with pytest.raises(CheckpointError, match=r"net\.ckpt"):
        load_weights(path, larger, "base.checkpoint")


class _Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch marker",)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": _Runs()}, "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt"):
        load_weights("evil.pt", network(), "base.checkpoint")
    assert not Path("marker").exists()


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.ckpt"
    save_weights(path, "base", network().state_dict())
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"net\.ckpt"):
        save_weights(path, "base", network(1).state_dict())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
