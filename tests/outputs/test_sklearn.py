"""Estimators that learn batch by batch, and results in order."""

import numpy as np
import pytest

import bitesize as bs

sklearn = pytest.importorskip("sklearn")

from sklearn import cluster, decomposition, dummy, linear_model, naive_bayes, neural_network, pipeline, preprocessing  # noqa: E402

random = np.random.default_rng(0)
X = random.normal(size=(900, 2, 3)).astype(np.float32)
Y = (X[:, 0, 0] + X[:, 1, 2] > 0).astype(np.int64)
FLAT = X.reshape(900, 6)


def make_loader(y=Y, x=X, **settings):
    return bs.Loader(bs.open(x, y), **({"batch_size": 64, "memory": "16 MiB"} | settings))


@pytest.mark.parametrize(
    "estimator",
    [
        linear_model.SGDClassifier(random_state=0),
        linear_model.Perceptron(random_state=0),
        naive_bayes.GaussianNB(),
        neural_network.MLPClassifier(random_state=0, hidden_layer_sizes=(16,), learning_rate_init=0.02),
        pipeline.make_pipeline(
            preprocessing.StandardScaler(),
            preprocessing.Normalizer(),  # learns nothing
            "passthrough",
            decomposition.IncrementalPCA(6),
            linear_model.SGDClassifier(random_state=0),
        ),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_classifiers_and_pipelines_learn(estimator):
    with make_loader() as loader:
        assert bs.partial_fit(estimator, loader, epochs=6) is estimator
    with make_loader(shuffle=False) as loader:
        predicted = bs.predict(estimator, loader)
    assert (predicted == Y).mean() > 0.9
    assert np.array_equal(predicted, estimator.predict(FLAT))


def test_regressors_learn_and_what_needs_no_labels_gets_none():
    target = (FLAT @ np.arange(6)).astype(np.float32)
    with make_loader(target) as loader:
        model = bs.partial_fit(linear_model.SGDRegressor(random_state=0), loader, epochs=10)
    assert model.score(FLAT, target) > 0.98
    with make_loader(None) as loader:
        clusters = bs.partial_fit(cluster.MiniBatchKMeans(3, random_state=0, n_init=1), loader, epochs=1)
        scaler = bs.partial_fit(preprocessing.StandardScaler(), loader, epochs=1)
    assert clusters.cluster_centers_.shape == (3, 6)
    np.testing.assert_allclose(scaler.mean_, FLAT.mean(axis=0), atol=1e-5)
    assert scaler.n_samples_seen_ == 900


def test_batches_are_those_of_a_loop_and_a_second_call_goes_on():
    class Own:
        """An estimator of somebody's own."""

        def __init__(self):
            self.seen = []

        def partial_fit(self, x):
            self.seen.append(x[:, 0].tolist())

    with make_loader() as loader:
        expected = [batch["x"][:, 0, 0].tolist() for _ in range(3) for batch in loader]
    own = Own()
    with make_loader() as loader:
        bs.partial_fit(own, loader, epochs=2)
        bs.partial_fit(own, loader, epochs=1)
    assert own.seen == expected


def test_a_callback_sees_progress_and_ends_learning_softly():
    told = []

    def callback(done):
        told.append(done)
        return done.epoch == 1 and done.batch == 3

    with make_loader() as loader:
        model = bs.partial_fit(naive_bayes.GaussianNB(), loader, epochs=9, callback=callback)
        assert loader.state_dict()["position"] == 3 * 64
    assert len(told) == 15 + 3
    assert (told[-1].rows, told[-1].batches, told[-1].epochs) == (900 + 3 * 64, 15, 9)
    assert model.class_count_.sum() == told[-1].rows


def test_all_classes_are_known_from_the_first_batch():
    labels = np.sort(np.arange(900) % 3)  # the first batches have one class only
    with make_loader(labels, shuffle=False) as loader:
        model = bs.partial_fit(linear_model.SGDClassifier(), loader, epochs=1)
    assert model.classes_.tolist() == [0, 1, 2]
    with make_loader(FLAT[:, 0].round()) as loader:
        with pytest.raises(bs.BadSetting, match="pass classes="):
            bs.partial_fit(linear_model.SGDClassifier(), loader)
        model = bs.partial_fit(linear_model.SGDClassifier(), loader, classes=np.unique(FLAT[:, 0].round()))
    assert len(model.classes_) > 3


def test_what_cannot_learn_batch_by_batch_is_refused_before_anything_is_read():
    with make_loader() as loader:
        with pytest.raises(bs.BadSetting, match="LogisticRegression cannot learn batch by batch"):
            bs.partial_fit(linear_model.LogisticRegression(), loader)
        steps = pipeline.make_pipeline(preprocessing.QuantileTransformer(), linear_model.SGDClassifier())
        with pytest.raises(bs.BadSetting, match="'quantiletransformer'"):
            bs.partial_fit(steps, loader)
        with pytest.raises(bs.BadSetting, match="epochs"):
            bs.partial_fit(linear_model.SGDClassifier(), loader, epochs=0)
    with make_loader(None) as loader, pytest.raises(bs.BadSetting, match="have none"):
        bs.partial_fit(linear_model.SGDClassifier(), loader)


def test_results_go_to_a_file_in_order(tmp_path):
    model = linear_model.SGDClassifier(loss="log_loss", random_state=0).fit(FLAT, Y)
    with make_loader(shuffle=False, last="pad") as loader:
        assert bs.predict(model, loader, method="predict_proba", out=tmp_path / "p.npy") is None
        again = bs.predict(model, loader, method="predict_proba")
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), again)
    np.testing.assert_allclose(again, model.predict_proba(FLAT), atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["p.npy"]


def test_a_row_that_cannot_be_read_has_no_result(tmp_path):
    for i in range(60):
        np.save(tmp_path / f"{i:02}.npy", FLAT[i])
    (tmp_path / "33.npy").write_bytes(b"nothing")
    model = linear_model.SGDRegressor().fit(FLAT, FLAT[:, 1])
    with bs.Loader(bs.open(tmp_path), batch_size=16, memory="16 MiB", shuffle=False, on_error="skip") as loader:
        results = bs.predict(model, loader)
        numbers = bs.predict(linear_model.SGDClassifier().fit(FLAT, Y), loader)
        learned = bs.partial_fit(preprocessing.StandardScaler(), loader, epochs=1)
    assert np.flatnonzero(np.isnan(results)).tolist() == [33]
    assert numbers[33] == -1
    assert learned.n_samples_seen_ == 59


def test_predict_wants_every_row_once_in_order():
    model = dummy.DummyClassifier().fit(FLAT, Y)
    for settings in ({}, {"shuffle": False, "last": "drop"}, {"order": bs.Order(900, shuffle=False, limit_rows=9)}):
        with make_loader(**settings) as loader, pytest.raises(bs.BadSetting, match="predict"):
            bs.predict(model, loader)
    with make_loader(shuffle=False) as loader:
        with pytest.raises(bs.BadSetting, match="no transform"):
            bs.predict(model, loader, method="transform")

        class Wrong:
            def predict(self, x):
                return x[:3]

        with pytest.raises(bs.BadResult, match="64 rows"):
            bs.predict(Wrong(), loader)
