"""Lightning's view of the stand-in: ``trainer.accelerator=pretend``."""

from typing import Any

import torch
from pytorch_lightning.accelerators import Accelerator, AcceleratorRegistry

from tests.stand_in.device import KIND


class PretendAccelerator(Accelerator):
    """As many devices as there are."""

    def setup_device(self, device: torch.device) -> None:
        if device.type != KIND:
            raise ValueError(f"Device should be {KIND}, got {device} instead")
        torch.get_device_module(KIND).set_device(device.index or 0)

    def teardown(self) -> None:
        pass

    def get_device_stats(self, device: Any) -> dict[str, Any]:
        return {}

    @staticmethod
    def parse_devices(devices: Any) -> list[int]:
        return list(devices) if isinstance(devices, list) else list(range(int(devices)))

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return [torch.device(KIND, index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        count: int = torch.get_device_module(KIND).device_count()
        return count

    @staticmethod
    def is_available() -> bool:
        return PretendAccelerator.auto_device_count() > 0

    @staticmethod
    def name() -> str:
        return KIND


AcceleratorRegistry.register(KIND, PretendAccelerator, description="a device for tests", override=True)
