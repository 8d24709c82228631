"""For :data:`parity_exp.devices.backends.MODULES`: two devices, also in processes whose environment has none."""

import os

from tests.stand_in import device

os.environ[device.COUNT] = "2"
device.plug_in()
