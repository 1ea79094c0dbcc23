"""Where in a slice the evidence lies: heat maps of a layer."""

from deeppneumonia.explanation.grad_cam import grad_cam_of

__all__ = ["grad_cam_of"]
