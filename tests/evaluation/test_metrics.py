"""Metrics against values worked out by hand, printed in the paper, or given by scikit-learn."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as oracle

from deeppneumonia.evaluation import patient_auc, score
from deeppneumonia.evaluation.metrics import METRICS, weighted_scores

PNEUMONIA = ("covid", "bacterial")
ALL_THREE = ("covid", "bacterial", "healthy")


def two_classes(positive_probability: list[float]) -> NDArray[np.float64]:
    positive = np.array(positive_probability)
    return np.stack([positive, 1 - positive], axis=1)


def random_answers(
    rows: int, classes: int, seed: int, decimals: int = 12
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes)) + np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rounded = probabilities.round(decimals)
    rounded[:, -1] = 1 - rounded[:, :-1].sum(axis=1)
    return labels, rounded


def test_auc_counts_the_pairs_that_are_in_order() -> None:
    # positives 0.9 0.4, negatives 0.6 0.2: in order are (.9,.6) (.9,.2) (.4,.2), not (.4,.6)
    scores = score(np.array([0, 0, 1, 1]), two_classes([0.9, 0.4, 0.6, 0.2]), PNEUMONIA)
    assert scores.metrics["auc"] == pytest.approx(3 / 4)


def test_a_tie_counts_as_half_a_pair() -> None:
    scores = score(np.array([0, 0, 1]), two_classes([0.7, 0.3, 0.3]), PNEUMONIA)
    assert scores.metrics["auc"] == pytest.approx((1 + 0.5) / 2)


def test_the_positive_class_of_two_is_the_first() -> None:
    labels = np.array([0, 1, 1, 1])
    scores = score(labels, two_classes([0.9, 0.8, 0.1, 0.2]), PNEUMONIA)
    assert scores.metrics["recall"] == 1
    assert scores.metrics["precision"] == 1 / 2
    assert scores.metrics["specificity"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("found", "missed", "false_alarms", "right", "printed"),
    [
        (26, 1, 7, 23, {"recall": 0.96, "precision": 0.79, "f1": 0.87, "accuracy": 0.86}),
        (25, 2, 6, 24, {"recall": 0.93, "precision": 0.81, "f1": 0.86, "accuracy": 0.86}),
        (25, 2, 8, 22, {"recall": 0.93, "precision": 0.76, "f1": 0.83, "accuracy": 0.82}),
    ],
    ids=["DRE-Net", "ResNet", "DenseNet"],
)
def test_counts_of_the_paper_give_its_printed_figures(
    found: int, missed: int, false_alarms: int, right: int, printed: dict[str, float]
) -> None:
    labels = np.repeat([0, 1], [found + missed, false_alarms + right])
    covid = np.repeat([0.9, 0.1, 0.9, 0.1], [found, missed, false_alarms, right])
    scores = score(labels, two_classes(covid.tolist()), PNEUMONIA)
    assert scores.confusion.tolist() == [[found, missed], [false_alarms, right]]
    for metric, value in printed.items():
        assert scores.metrics[metric] == pytest.approx(value, abs=0.005)  # two decimals


def test_three_class_confusion_of_the_paper_gives_its_printed_figures() -> None:
    # Song et al. 2021: macro figures 0.93; covid against the rest recall 0.93, precision 0.86
    confusion = np.array([[25, 2, 0], [4, 26, 0], [0, 0, 26]])
    pairs = [(t, d) for t in range(3) for d in range(3) for _ in range(confusion[t, d])]
    labels, decided = np.array(pairs).T
    scores = score(labels, np.eye(3)[decided], ALL_THREE)
    assert scores.confusion.tolist() == confusion.tolist()
    for metric in ("recall", "precision", "f1"):
        assert scores.metrics[metric] == pytest.approx(0.93, abs=0.005)
    assert scores.per_class["covid"]["recall"] == pytest.approx(0.93, abs=0.005)
    assert scores.per_class["covid"]["precision"] == pytest.approx(0.86, abs=0.005)


@pytest.mark.parametrize("decimals", [12, 1], ids=["no ties", "many ties"])
def test_ranking_metrics_agree_with_scikit_learn(decimals: int) -> None:
    labels, probabilities = random_answers(300, 3, seed=1, decimals=decimals)
    weights = np.random.default_rng(2).integers(0, 4, (5, 300)).astype(float)
    _, per_class = weighted_scores(labels, probabilities, weights)
    for repeat, weight in enumerate(weights):
        for c in range(3):
            known = {"sample_weight": weight}
            auc = oracle.roc_auc_score(labels == c, probabilities[:, c], **known)
            precision = oracle.average_precision_score(labels == c, probabilities[:, c], **known)
            assert per_class["auc"][repeat, c] == pytest.approx(auc)
            assert per_class["pr_auc"][repeat, c] == pytest.approx(precision)


@pytest.mark.parametrize("classes", [2, 3])
def test_decision_metrics_agree_with_scikit_learn(classes: int) -> None:
    labels, probabilities = random_answers(300, classes, seed=3)
    weights = np.random.default_rng(4).integers(0, 4, (1, 300)).astype(float)
    ours, _ = weighted_scores(labels, probabilities, weights)
    decided = probabilities.argmax(axis=1)
    how = {"average": "binary", "pos_label": 0} if classes == 2 else {"average": "macro"}
    for name in ("recall", "precision", "f1"):
        theirs = getattr(oracle, f"{name}_score")(labels, decided, sample_weight=weights[0], **how)
        assert ours[name][0] == pytest.approx(theirs)
    accuracy = oracle.accuracy_score(labels, decided, sample_weight=weights[0])
    assert ours["accuracy"][0] == pytest.approx(accuracy)


def test_brier_agrees_with_its_definition() -> None:
    two = score(np.array([0, 1]), two_classes([0.8, 0.4]), PNEUMONIA)
    assert two.metrics["brier"] == pytest.approx((0.2**2 + 0.4**2) / 2)
    three = score(np.array([0]), np.array([[0.5, 0.3, 0.2]]), ALL_THREE)
    assert three.metrics["brier"] == pytest.approx(0.25 + 0.09 + 0.04)


def test_calibration_error_by_hand() -> None:
    # bin (0.867, 0.933]: two at 0.9, one right: |0.5 - 0.9|; bin (0.533, 0.6]: one at 0.6, right
    scores = score(np.array([0, 1, 1]), two_classes([0.9, 0.9, 0.4]), PNEUMONIA)
    assert scores.metrics["ece"] == pytest.approx(2 / 3 * 0.4 + 1 / 3 * 0.4)


def test_a_class_without_rows_has_no_metric() -> None:
    labels, probabilities = random_answers(40, 3, seed=5)
    labels = np.minimum(labels, 1)
    scores = score(labels, probabilities, ALL_THREE)
    assert scores.per_class["healthy"]["auc"] is None
    assert scores.per_class["healthy"]["recall"] is None
    assert scores.metrics["auc"] is None
    assert scores.metrics["accuracy"] is not None
    assert scores.per_class["covid"]["auc"] is not None


def test_a_class_that_is_never_decided_has_precision_zero() -> None:
    scores = score(np.array([0, 1]), two_classes([0.2, 0.1]), PNEUMONIA)
    assert scores.metrics["precision"] == 0
    assert scores.metrics["f1"] == 0


def test_equal_probabilities_share_the_decision() -> None:
    scores = score(np.array([0, 1]), two_classes([0.5, 0.5]), PNEUMONIA)
    assert scores.confusion.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert scores.metrics["accuracy"] == 0.5


def test_refused_rows_are_left_out_of_the_score() -> None:
    probabilities = two_classes([0.9, 0.2, float("nan")])
    scores = score(np.array([0, 1, 1]), probabilities, PNEUMONIA)
    assert scores.confusion.sum(axis=1).tolist() == [1, 1]
    assert scores.metrics["accuracy"] == 1


def test_nothing_answered_gives_no_numbers() -> None:
    scores = score(np.array([0, 1]), np.full((2, 2), np.nan), PNEUMONIA)
    assert all(scores.metrics[name] is None for name in METRICS)


def test_patient_auc_ranks_the_mean_of_the_slices() -> None:
    # slices alone would be out of order; the patients' means 0.55 and 0.45 are in order
    labels = np.array([0, 0, 1, 1])
    probabilities = two_classes([0.9, 0.2, 0.5, 0.4])
    assert patient_auc(labels, probabilities, ["a", "a", "b", "b"]) == 1


def test_patient_auc_of_three_classes_is_the_macro_mean() -> None:
    labels, probabilities = random_answers(60, 3, seed=6)
    groups = [f"patient {row}" for row in range(60)]
    known = oracle.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert patient_auc(labels, probabilities, groups) == pytest.approx(known)


def test_patient_auc_refuses_what_has_no_auc() -> None:
    with pytest.raises(ValueError, match="there are none of \\[1\\]"):
        patient_auc(np.array([0, 0]), two_classes([0.1, 0.2]), ["a", "b"])
    with pytest.raises(ValueError, match="1 of 2 rows of probabilities are NaN"):
        patient_auc(np.array([0, 1]), two_classes([0.1, float("nan")]), ["a", "b"])
