"""What happened in each epoch: which was the best, as a table, and as a picture."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One line of history.csv."""

    epoch: int
    """The first is 1."""

    learning_rate: float
    training_loss: float
    """Mean over the pictures, while the weights moved."""

    validation_loss: float
    """Mean over the pictures, after the epoch."""

    validation_auc: float
    """Patient level, after the epoch; macro one-versus-rest for more than two classes."""

    pictures_per_s: float
    """Training only; the one column that differs from run to run."""


def best_of(history: Sequence[EpochRecord]) -> EpochRecord:
    """The epoch with the highest validation AUC; among equals the lowest validation loss.

    A small validation set has few different AUCs and ties are common: the loss, which sees more
    than the order of patients, settles them. Among full equals the earliest stands.
    """
    return max(history, key=lambda record: (record.validation_auc, -record.validation_loss))


def has_stalled(history: Sequence[EpochRecord], patience: int) -> bool:
    """Whether the last `patience` epochs brought nothing better; never with patience 0."""
    if not history or patience == 0:
        return False
    return history[-1].epoch - best_of(history).epoch >= patience


def as_csv(history: Sequence[EpochRecord]) -> bytes:
    """A header and one line per epoch, numbers in full precision."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, [field.name for field in fields(EpochRecord)])
    writer.writeheader()
    writer.writerows(asdict(record) for record in history)
    return table.getvalue().encode()


def as_picture(history: Sequence[EpochRecord]) -> bytes:
    """A PNG: losses on the left, validation patient AUC on the right, the best epoch marked."""
    figure = Figure(figsize=(9, 3.6))
    canvas = FigureCanvasAgg(figure)
    losses, aucs = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.14, top=0.91, wspace=0.22)
    epochs = [record.epoch for record in history]
    losses.plot(epochs, [record.training_loss for record in history], ".-", label="training")
    losses.plot(epochs, [record.validation_loss for record in history], ".-", label="validation")
    losses.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    losses.legend()
    best = best_of(history)
    aucs.plot(epochs, [record.validation_auc for record in history], ".-", color="C1")
    aucs.axvline(best.epoch, color="0.6", linestyle=":")
    aucs.set(xlabel="epoch", ylabel="validation patient AUC", ylim=(None, 1.005))
    aucs.set_title(f"best: {best.validation_auc:.3f} in epoch {best.epoch}", fontsize="medium")
    for axes in (losses, aucs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    png = io.BytesIO()
    canvas.print_png(png)  # type: ignore[no-untyped-call]
    return png.getvalue()
