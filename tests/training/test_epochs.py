"""How many epochs are trained, and when training stops, where that is left open."""

import pytest

from bitesize.errors import BadSetting
from bitesize.training.epochs import choose_epochs
from bitesize.training.settings import TrainSettings


@pytest.mark.parametrize(
    ("batches", "epochs"), [(1, 50), (20, 50), (25, 40), (84, 12), (200, 5), (281, 4), (1000, 3), (40_000, 3)]
)
def test_epochs_follow_from_steps_within_3_and_50(batches, epochs):
    settings, said = choose_epochs(TrainSettings("data"), batches, validates=True)
    assert settings.epochs == epochs
    assert said[0].startswith(f"epochs: {epochs}, for {epochs * batches:,} steps of {batches:,} batch")
    assert said[0].endswith("--epochs sets it")


def test_pretrained_models_and_those_of_scikit_learn_take_fewer_steps():
    for settings in (TrainSettings("data", weights="imagenet"), TrainSettings("data", model="sklearn:SGDClassifier")):
        assert choose_epochs(settings, 25, validates=True)[0].epochs == 24


def test_patience_follows_epochs_and_needs_validation():
    def patience(validates=True, **given):
        return choose_epochs(TrainSettings("data", **given), 25, validates)[0].early_stopping

    assert [patience(epochs=epochs) for epochs in (1, 5, 15, 40, 300)] == [5, 5, 8, 20, 150]
    assert patience(validates=False) == 0
    assert patience(early_stopping=0) == 0
    assert patience(early_stopping=2) == 2


def test_what_is_given_is_kept_and_needs_no_line():
    settings = TrainSettings("data", epochs=7, early_stopping=0)
    assert choose_epochs(settings, 25, validates=True) == (settings, [])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"epochs": 0}, "--epochs must be at least 1, or auto, not 0"),
        ({"early_stopping": -1}, "--early-stopping must be a number of epochs, or auto, not -1"),
        ({"early_stopping": 3, "val_split": 0}, "--early-stopping needs validation data"),
        ({"frozen_epochs": 3}, "it needs --weights"),
    ],
)
def test_numbers_that_cannot_be_are_refused(given, says):
    with pytest.raises(BadSetting, match=says):
        TrainSettings("data", **given)


def test_settings_of_runs_that_called_weights_otherwise_are_read():
    old = {"data": "d", "model": "VGG16", "pretrained": "v.h5", "weights": "w", "epochs": 5, "early_stopping": 0, "gone": 1}
    settings = TrainSettings.from_dict(old)
    assert (settings.weights, settings.sample_weights, settings.frozen_epochs) == ("v.h5", "w", 0)
    assert not settings.tunes
    assert settings.opening["weights"] == "w"
    plain = TrainSettings.from_dict({"data": "d", "pretrained": None, "weights": None})
    assert (plain.weights, plain.sample_weights, plain.frozen_epochs) == (None, None, "auto")
    now = TrainSettings("d", weights="v.h5", sample_weights="w", frozen_epochs=2)
    assert TrainSettings.from_dict(now.as_dict()) == now
