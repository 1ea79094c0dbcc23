"""VGG16, with torchvision's state-dict keys.

Source: Simonyan and Zisserman, ICLR 2015 (arXiv 1409.1556), table 1, configuration D.
"""

from torch import Tensor, nn

from deeppneumonia.models.backbone import Backbone, initialise_convolutions

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the 3x3 convolutions in each block; a 2x2 max pooling ends a block."""

POOLED_CELLS = 7
"""Any map is averaged to 7x7 cells, so that 448 px pictures meet the layers made for 224 px."""


class Vgg16(Backbone):
    """Thirteen convolutions and three linear layers, 138.4 M parameters with 1000 classes.

    M = 512, D = 4096.
    """

    head_key = "classifier.6"
    name = "vgg16"
    pyramid_channels = (256, 512, 512)
    map_channels = 512
    feature_count = 4096

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels_in = 3
        for block in BLOCKS:
            for channels in block:
                layers += [nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU(inplace=True)]
                channels_in = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(POOLED_CELLS)
        self.classifier = nn.Sequential(
            nn.Linear(self.map_channels * POOLED_CELLS**2, self.feature_count),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(self.feature_count, self.feature_count),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(self.feature_count, num_classes),
        )
        initialise_convolutions(self)
        for module in self.classifier:
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The five blocks of convolutions, each with its pooling."""
        layers = list(self.features)
        stages = []
        for block in BLOCKS:
            length = 2 * len(block) + 1
            stages.append(tuple(layers[:length]))
            layers = layers[length:]
        return tuple(stages)

    def pool(self, feature_map: Tensor) -> Tensor:
        """The first two linear layers over 7x7 averaged cells."""
        features: Tensor = self.avgpool(feature_map).flatten(1)  # (N, 25088)
        for layer in list(self.classifier)[:-1]:
            features = layer(features)
        return features.float()
