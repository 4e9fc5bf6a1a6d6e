"""From a device's name in the config to the device."""

from paretune.errors import UserError
from paretune.evaluators.devices.device import GROUP, Device, DevicePlugin, DeviceSpec
from paretune.plugins import load_plugin


def connect(spec: DeviceSpec) -> Device:
    """Connect to a device; the caller closes it.

    Raises:
        UserError: there is no such type, an option is wrong, or it does not answer.
    """
    try:
        plugin: DevicePlugin = load_plugin(GROUP, spec.type)
    except UserError as error:
        raise UserError(f"device '{spec.name}': {error}") from error
    return plugin.connect(spec.name, spec.options)
