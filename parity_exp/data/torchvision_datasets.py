"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, by torchvision's loaders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision import datasets

from parity_exp.data.dataset import Dataset, Samples
from parity_exp.data.from_clients import pictures_of
from parity_exp.data.preparation import Preparation
from parity_exp.data.sources import CifarSource, IdxSource, Source
from parity_exp.errors import DataError

DEFAULT_ROOT = "data"


class _TorchvisionDataset(Dataset):
    """A data set that torchvision reads, from files that a :class:`Source` finds."""

    loader: type[datasets.VisionDataset]
    shape: tuple[int, int, int]
    brought_by = "it is downloaded when it is first used, where there is a network"

    def look(self) -> Path:
        return self.source(self.root or DEFAULT_ROOT).look()

    def source(self, root: str) -> Source:
        raise NotImplementedError

    def read(self) -> tuple[Samples, Samples, Sequence[str]]:
        with self.source(self.root or DEFAULT_ROOT).ready() as folder:
            try:
                train = self.loader(folder, train=True)
                test = self.loader(folder, train=False)
            except (RuntimeError, ValueError, KeyError, AssertionError) as error:
                raise DataError(f"{self.name}: torchvision cannot read the files ({error})") from None
        names = list(getattr(train, "classes"))  # noqa: B009 - not every VisionDataset has it
        return self._samples(train), self._samples(test), names

    def preparation(self) -> Preparation | None:
        return pictures_of(self.shape)

    def _samples(self, dataset: Any) -> Samples:
        labels = torch.as_tensor(dataset.targets, dtype=torch.int64)
        images = torch.as_tensor(np.asarray(dataset.data))
        if len(images) != len(labels):
            raise DataError(f"{self.name}: {len(images)} images but {len(labels)} labels")
        # Grey images come as (N, H, W), colour as (N, H, W, C).
        images = images.unsqueeze(1) if images.dim() == 3 else images.permute(0, 3, 1, 2)
        return Samples(images.float().div_(255).contiguous(), labels)


class MNIST(_TorchvisionDataset):
    """60,000 and 10,000 grey images of 28x28 handwritten digits."""

    loader = datasets.MNIST
    shape = (1, 28, 28)

    def source(self, root: str) -> Source:
        return IdxSource(self.name, self.loader, root, f"{self.loader.__name__}/raw", "mnist")


class FashionMNIST(_TorchvisionDataset):
    """60,000 and 10,000 grey images of 28x28 pieces of clothing."""

    loader = datasets.FashionMNIST
    shape = (1, 28, 28)
    brought_by = "apt-get install dataset-fashion-mnist, or it is downloaded when it is first used"

    def source(self, root: str) -> Source:
        return IdxSource(self.name, self.loader, root, f"{self.loader.__name__}/raw", "fashion-mnist")


class CIFAR10(_TorchvisionDataset):
    """50,000 and 10,000 colour images of 32x32 in 10 classes."""

    loader: type[datasets.CIFAR10] = datasets.CIFAR10
    shape = (3, 32, 32)

    def source(self, root: str) -> Source:
        official = self.loader
        # The checksums say whether a download is complete. Files that a user put in place are checked by content.
        self.loader = type(
            official.__name__,
            (official,),
            {
                "train_list": [[name, None] for name, _ in official.train_list],
                "test_list": [[name, None] for name, _ in official.test_list],
                "meta": {**official.meta, "md5": None},
            },
        )
        return CifarSource(
            name=self.name,
            loader=official,
            root=Path(root),
            folder=official.base_folder,
            system_folder=self.name,
            batches=[name for name, _ in (*official.train_list, *official.test_list)],
            meta=official.meta["filename"],
        )


class CIFAR100(CIFAR10):
    """50,000 and 10,000 colour images of 32x32 in 100 classes."""

    loader = datasets.CIFAR100
