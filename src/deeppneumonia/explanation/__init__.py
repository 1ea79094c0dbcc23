"""Where in a slice the evidence lies: heat maps of a layer, and the details a network used."""

from deeppneumonia.explanation.details import DETAIL_LEVEL, UsedDetail, used_details
from deeppneumonia.explanation.grad_cam import grad_cam

__all__ = ["DETAIL_LEVEL", "UsedDetail", "grad_cam", "used_details"]
