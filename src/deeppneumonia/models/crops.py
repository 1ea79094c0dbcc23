"""Cutting boxes out of pictures, enlarged to one size, for a whole batch at once."""

import torch
from torch import Tensor
from torch.nn import functional as F


def crop_boxes(pixels: Tensor, boxes: Tensor, out_px: int) -> Tensor:
    """Cut boxes out of pictures and resize each to out_px by bilinear interpolation.

    Beyond the picture lie zeros on the scale of `pixels`, as if it had been padded. For
    normalised pixels, zero is the grey 255 * pixel_mean, and not black.

    Args:
        pixels: (N, C, S, S), float32.
        boxes: (N, K, 4): x0, y0, x1, y1, where x 0 is the left edge of the first pixel and S
            the right edge of the last. Meant for enlarging: nothing is smoothed before it is
            made smaller.
        out_px: side of the result.

    Returns:
        (N * K, C, out_px, out_px), channels-last; the K crops of a picture lie together.
    """
    n, channels, side, _ = pixels.shape
    k = boxes.shape[1]
    steps = (torch.arange(out_px, device=boxes.device) + 0.5) / out_px  # (P,) 0..1, pixel centres
    corner, extent = boxes[..., None, :2], boxes[..., None, 2:] - boxes[..., None, :2]
    at = (corner + steps[:, None] * extent) * (2 / side) - 1  # (N, K, P, 2) x and y, -1..1
    x = at[..., 0][:, :, None, :].expand(n, k, out_px, out_px)
    y = at[..., 1][:, :, :, None].expand(n, k, out_px, out_px)
    grid = torch.stack([x, y], dim=-1).reshape(n, k * out_px, out_px, 2)
    crops = F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)
    crops = crops.view(n, channels, k, out_px, out_px).transpose(1, 2)
    crops = crops.reshape(n * k, channels, out_px, out_px)
    return crops.contiguous(memory_format=torch.channels_last)
