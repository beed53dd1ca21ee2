"""Tasks on several ranks: losses and metrics of training and validation are those of one process."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cluster.rank_runs import BACKENDS, FULL, finished, history, start, torchrun

pytest.importorskip("torch", reason="torchrun is a part of torch")
pytestmark = [pytest.mark.slow, pytest.mark.ranks, pytest.mark.timeout(600)]

# Of 57 rows, 17 are validated on: the last batch of 5 is divided among two ranks with padding.
ROWS, BATCH = 57, 12
MODEL = """
import keras

def dense(shape, outputs):
    return keras.Sequential([keras.Input(shape), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(outputs)])

def pixels(shape, outputs):
    return keras.Sequential([keras.Input(shape), keras.layers.Conv2D(8, 3, padding="same", activation="tanh"), keras.layers.Conv2D(outputs, 1)])
"""
METRICS = {"regress": ["mae", "r2"], "multilabel": ["auc"], "segment": ["pixel_accuracy", "mean_iou", "dice"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Write data of each task: labels that the inputs decide in part, pixels without a class, and weights of rows."""
    top, random = tmp_path_factory.mktemp("tasks"), np.random.default_rng(0)
    x, weight = random.normal(size=(ROWS, 6)), random.uniform(0.5, 2, ROWS)
    numbers = x[:, :2] * [3, 50] + random.normal(0, [1, 20], (ROWS, 2))
    np.savez(top / "regress.npz", x=x, y=numbers, weight=weight)
    tags = (x[:, :3] + random.normal(size=(ROWS, 3)) > [0, 0.5, 1]).astype(np.uint8)
    np.savez(top / "multilabel.npz", x=x, y=tags, weight=weight)
    images = random.integers(0, 256, (ROWS, 8, 8, 3)).astype(np.uint8)
    masks = (images[..., 0] > 128) + (images[..., 1] > 200).astype(np.uint8)
    masks[random.random(masks.shape) < 0.1] = 255
    np.savez(top / "segment.npz", x=images, y=masks.astype(np.uint8), weight=weight)
    (top / "model.py").write_text(MODEL)
    return top


def words(task: str, out: str, *more: str) -> list[str]:
    """Return the words of a training command."""
    return [
        "train", f"{task}.npz", "--task", task, "--model", f"model.py:{'pixels' if task == 'segment' else 'dense'}", "--epochs", "6",
        "--batch-size", str(BATCH), "--early-stopping", "0", "--memory", "256MiB", "--val-split", "0.3", "--out", out, *more,
    ]  # fmt: skip


def figures(out, task):
    """Return losses and metrics of training and validation by epoch."""
    names = [f"{part}{name}" for part in ("", "val_") for name in ("loss", *METRICS[task])]
    return np.array([[float(line[name]) for name in names] for line in history(out)])


@pytest.mark.parametrize(
    "weighted", [False, True] if FULL else [True], ids=lambda weighted: "weighted" if weighted else "plain"
)
@pytest.mark.parametrize(
    ("task", "backend"),
    [(task, backend) for task in METRICS for backend in BACKENDS]
    if FULL
    else [("regress", "jax"), ("multilabel", "torch"), ("segment", "torch")],
)
def test_two_ranks_have_the_figures_of_one_process(place, backend, task, weighted):
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    more = ["--sample-weights", "weight"] if weighted else ["--sample-weights", ""]
    more += ["--class-weights"] if weighted and task != "regress" else []
    one, two = (f"{task}-{backend}-{weighted}-{count}" for count in (1, 2))
    text = finished(start(place, backend, "bitesize", *words(task, one, *more)))
    assert "40 rows to train on, 17 to validate on" in " ".join(text.split())
    launcher = torchrun(2, "unused")
    finished(start(place, backend, *launcher[: launcher.index("bitesize") + 1], *words(task, two, *more)))
    expected = figures(place / one, task)
    assert expected.shape == (6, 2 * (1 + len(METRICS[task])))
    np.testing.assert_allclose(figures(place / two, task), expected, rtol=2e-4, atol=2e-5)
