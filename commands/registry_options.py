"""How this run speaks to a registry."""

from dataclasses import replace

from flow.context import Context
from publish.registry.client import DEFAULTS, RegistryOptions


def registry_options(context: Context) -> RegistryOptions:
    """Return the options that follow from the settings; a registry ends with the run."""
    return replace(DEFAULTS, cancel=context.cancel, ca_file=context.settings["ca_file"])
