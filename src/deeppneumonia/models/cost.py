"""What a network costs: how many multiplications one picture takes."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from deeppneumonia.models.network import Network


def giga_macs(network: Network, picture_px: int) -> float:
    """Multiply-accumulate operations for one picture, in thousands of millions.

    Convolutions and matrix products are counted as they run, so a backbone that reads eight crops
    counts eight times. Batch norm, activations, pooling and the cutting of crops are not counted,
    as is usual. The network comes back in the mode it had.

    Args:
        network: on any device.
        picture_px: side of the picture.
    """
    was_training = network.training
    device = next(network.parameters()).device
    picture = torch.zeros(1, 1, picture_px, picture_px, dtype=torch.uint8, device=device)
    counter = FlopCounterMode(display=False)
    network.eval()
    with torch.no_grad(), counter:
        network(picture)
    network.train(was_training)
    return float(counter.get_total_flops()) / 2 / 1e9  # a multiplication and an addition each
