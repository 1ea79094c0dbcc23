"""DRE-Net as a whole: what it gives, what trains what, and that it is deterministic."""

import pytest
import torch

from deeppneumonia.models import NetworkOutput
from deeppneumonia.models.dre_net import DreNet
from deeppneumonia.models.losses import detail_losses, ranking_loss
from deeppneumonia.models.registry import BACKBONES


@pytest.fixture
def network() -> DreNet:
    """DRE-Net on the small backbone, with its three classes and fixed weights."""
    torch.manual_seed(0)
    return DreNet("drenet", BACKBONES["resnet18"](3), 3).eval()


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """Two smooth pictures (2, 1, 448, 448) that differ from place to place."""
    coarse = torch.rand(2, 1, 14, 14, generator=torch.Generator().manual_seed(0)) * 255
    return torch.nn.functional.interpolate(coarse, 448, mode="bilinear").to(torch.uint8)


def test_drenet_gives_six_details_beside_its_answer(
    network: DreNet, pictures: torch.Tensor
) -> None:
    with torch.no_grad():
        output = network(pictures)
    assert output.logits.shape == output.image_logits.shape == (2, 3)
    assert output.features.shape == (2, 512)
    assert output.details.scores.shape == (2, 6)
    assert output.details.logits.shape == (2, 6, 3)
    sides = output.details.boxes[..., 2:] - output.details.boxes[..., :2]  # (2, 6, 2)
    assert sides[:, :3].unique().tolist() in ([48], [96], [48, 96])
    assert sides[:, 3:].unique().tolist() == [192]


def test_the_same_picture_gives_the_same_answer_alone_twice_and_in_company(
    network: DreNet, pictures: torch.Tensor
) -> None:
    with torch.no_grad():
        together, alone, again = network(pictures), network(pictures[1:]), network(pictures[1:])
    assert torch.equal(alone.logits, again.logits)
    assert torch.equal(alone.image_logits, again.image_logits)  # so dropout is off as well
    assert torch.equal(together.details.boxes[1:], alone.details.boxes)
    # 1e-5: sums in another order differ in the last bits of float32.
    for mine, other in [
        (together.logits, alone.logits),
        (together.image_logits, alone.image_logits),
        (together.details.scores, alone.details.scores),
        (together.details.logits, alone.details.logits),
    ]:
        torch.testing.assert_close(mine[1:], other, rtol=1e-5, atol=1e-5)


def test_dropout_acts_on_the_pictures_own_logits_in_training_only(
    network: DreNet, pictures: torch.Tensor
) -> None:
    network.freeze_batchnorm()
    network.train()
    with torch.no_grad():
        first, second = network(pictures[:1]), network(pictures[:1])
    assert not torch.equal(first.image_logits, second.image_logits)
    assert torch.equal(first.logits, second.logits)


def gradients(network: DreNet, loss: torch.Tensor) -> set[str]:
    """The parts of the network that a loss trains."""
    loss.backward()
    return {key.split(".")[0] for key, p in network.named_parameters() if p.grad is not None}


def test_the_ranking_loss_trains_the_proposals_only(
    network: DreNet, pictures: torch.Tensor
) -> None:
    details = network(pictures[:1]).details
    assert not details.boxes.requires_grad
    losses = detail_losses(details.logits, torch.tensor([0]))
    # One hinge at least is open: no two scores of a fresh network lie 1 apart.
    assert gradients(network, ranking_loss(details.scores, losses)) == {"proposals"}
    assert network.proposals.down1.weight.grad.abs().sum() > 0


def test_the_cross_entropies_train_all_but_the_proposals(
    network: DreNet, pictures: torch.Tensor
) -> None:
    network.freeze_stages(2)
    output: NetworkOutput = network(pictures[:1])
    logits = output.logits + output.image_logits + output.details.logits.mean(dim=1)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([2]))
    assert gradients(network, loss) == {"backbone", "detail_head", "relation"}


def test_frozen_stages_take_no_gradient_from_any_stream(
    network: DreNet, pictures: torch.Tensor
) -> None:
    network.freeze_stages(5)
    network.train()
    output = network(pictures)
    network.loss(output, torch.tensor([0, 1])).backward()
    trained = {key for key, p in network.backbone.named_parameters() if p.grad is not None}
    assert trained == {"fc.weight", "fc.bias"}
    assert all(p.grad is not None for p in network.relation.parameters())


def test_under_bfloat16_autocast_and_channels_last_a_step_still_works_in_float32_where_it_counts(
    network: DreNet, pictures: torch.Tensor
) -> None:
    network.to(memory_format=torch.channels_last)
    network.freeze_stages(3)
    network.freeze_batchnorm()
    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(pictures[:1])
        loss = network.loss(output, torch.tensor([2]))
    loss.backward()
    assert torch.isfinite(loss)
    for value in (output.logits, output.image_logits, output.features, loss):
        assert value.dtype == torch.float32
    assert output.details.boxes.dtype == output.details.scores.dtype == torch.float32
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_another_size_does_not_fit_the_anchors(network: DreNet) -> None:
    with pytest.raises(ValueError, match="drenet reads 448 px, not 224 px"):
        network(torch.zeros(1, 1, 224, 224))


def test_the_backbone_loads_torchvisions_keys_strictly(network: DreNet) -> None:
    network.backbone.load_state_dict(BACKBONES["resnet18"](3).state_dict(), strict=True)
