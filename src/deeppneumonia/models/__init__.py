"""Networks that look at lung slices: by name, with their losses and their start weights."""

from deeppneumonia.models.cost import giga_macs
from deeppneumonia.models.network import DetailOutput, Network, NetworkOutput, parameter_count
from deeppneumonia.models.registry import create_model, list_models, unwritten
from deeppneumonia.models.weights import StartWeights, load_start_weights

__all__ = [
    "DetailOutput",
    "Network",
    "NetworkOutput",
    "StartWeights",
    "create_model",
    "giga_macs",
    "list_models",
    "load_start_weights",
    "parameter_count",
    "unwritten",
]
