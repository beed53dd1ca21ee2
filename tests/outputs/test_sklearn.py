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
        assert bs.sklearn.partial_fit(estimator, loader, epochs=6) is estimator
    with make_loader(shuffle=False) as loader:
        predicted = bs.sklearn.predict(estimator, loader)
    assert (predicted == Y).mean() > 0.9
    assert np.array_equal(predicted, estimator.predict(FLAT))


def test_regressors_learn_and_what_needs_no_labels_gets_none():
    target = (FLAT @ np.arange(6)).astype(np.float32)
    with make_loader(target) as loader:
        model = bs.sklearn.partial_fit(linear_model.SGDRegressor(random_state=0), loader, epochs=10)
    assert model.score(FLAT, target) > 0.98
    with make_loader(None) as loader:
        clusters = bs.sklearn.partial_fit(cluster.MiniBatchKMeans(3, random_state=0, n_init=1), loader, epochs=1)
        scaler = bs.sklearn.partial_fit(preprocessing.StandardScaler(), loader, epochs=1)
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
        bs.sklearn.partial_fit(own, loader, epochs=2)
        bs.sklearn.partial_fit(own, loader, epochs=1)
    assert own.seen == expected


def test_a_callback_sees_progress_and_ends_learning_softly():
    told = []

    def callback(done):
        told.append(done)
        return done.epoch == 1 and done.batch == 3

    with make_loader() as loader:
        model = bs.sklearn.partial_fit(naive_bayes.GaussianNB(), loader, epochs=9, callback=callback)
        assert loader.state_dict()["position"] == 3 * 64
    assert len(told) == 15 + 3
    assert (told[-1].rows, told[-1].batches, told[-1].epochs) == (900 + 3 * 64, 15, 9)
    assert model.class_count_.sum() == told[-1].rows


def test_all_classes_are_known_from_the_first_batch():
    labels = np.sort(np.arange(900) % 3)  # the first batches have one class only
    with make_loader(labels, shuffle=False) as loader:
        model = bs.sklearn.partial_fit(linear_model.SGDClassifier(), loader, epochs=1)
    assert model.classes_.tolist() == [0, 1, 2]
    with make_loader(FLAT[:, 0].round()) as loader:
        with pytest.raises(bs.BadSetting, match="pass classes="):
            bs.sklearn.partial_fit(linear_model.SGDClassifier(), loader)
        model = bs.sklearn.partial_fit(linear_model.SGDClassifier(), loader, classes=np.unique(FLAT[:, 0].round()))
    assert len(model.classes_) > 3


def test_what_cannot_learn_batch_by_batch_is_refused_before_anything_is_read():
    with make_loader() as loader:
        with pytest.raises(bs.BadSetting, match="LogisticRegression cannot learn batch by batch"):
            bs.sklearn.partial_fit(linear_model.LogisticRegression(), loader)
        steps = pipeline.make_pipeline(preprocessing.QuantileTransformer(), linear_model.SGDClassifier())
        with pytest.raises(bs.BadSetting, match="'quantiletransformer'"):
            bs.sklearn.partial_fit(steps, loader)
        with pytest.raises(bs.BadSetting, match="epochs"):
            bs.sklearn.partial_fit(linear_model.SGDClassifier(), loader, epochs=0)
    with make_loader(None) as loader, pytest.raises(bs.BadSetting, match="needs labels, but the data has none"):
        bs.sklearn.partial_fit(linear_model.SGDClassifier(), loader)


def test_results_go_to_a_file_in_order(tmp_path):
    model = linear_model.SGDClassifier(loss="log_loss", random_state=0).fit(FLAT, Y)
    with make_loader(shuffle=False, last="pad") as loader:
        assert bs.sklearn.predict(model, loader, method="predict_proba", out=tmp_path / "p.npy") is None
        again = bs.sklearn.predict(model, loader, method="predict_proba")
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), again)
    np.testing.assert_allclose(again, model.predict_proba(FLAT), atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["p.npy"]


def test_a_row_that_cannot_be_read_has_no_result(tmp_path):
    for i in range(60):
        np.save(tmp_path / f"{i:02}.npy", FLAT[i])
    (tmp_path / "33.npy").write_bytes(b"nothing")
    model = linear_model.SGDRegressor().fit(FLAT, FLAT[:, 1])
    with bs.Loader(bs.open(tmp_path), batch_size=16, memory="16 MiB", shuffle=False, on_error="skip") as loader:
        results = bs.sklearn.predict(model, loader)
        numbers = bs.sklearn.predict(linear_model.SGDClassifier().fit(FLAT, Y), loader)
        learned = bs.sklearn.partial_fit(preprocessing.StandardScaler(), loader, epochs=1)
    assert np.flatnonzero(np.isnan(results)).tolist() == [33]
    assert numbers[33] == -1
    assert learned.n_samples_seen_ == 59


def weighed(labels=Y, **settings):
    source = bs.zip(bs.open(X, labels), w=bs.open((np.arange(900) % 3).astype(np.float64)))
    source.weight_name = "w"
    return bs.Loader(source, **({"batch_size": 64, "memory": "16 MiB", "shuffle": False} | settings))


WEIGHTS = (np.arange(900) % 3).astype(np.float64)


@pytest.mark.parametrize(
    ("estimator", "values"),
    [
        (linear_model.SGDClassifier(random_state=0), "coef_"),
        (linear_model.SGDRegressor(random_state=0), "coef_"),
        (naive_bayes.GaussianNB(), "theta_"),
        (cluster.MiniBatchKMeans(3, random_state=0, n_init=1), "cluster_centers_"),
        (preprocessing.StandardScaler(), "mean_"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_weights_of_the_data_are_the_sample_weight(estimator, values, caplog):
    caplog.set_level("INFO", "bitesize")
    expected = sklearn.clone(estimator)
    known = {"classes": [0, 1]} if isinstance(estimator, linear_model.SGDClassifier | naive_bayes.GaussianNB) else {}
    for start in range(0, 900, 64):
        rows = slice(start, start + 64)
        expected.partial_fit(FLAT[rows], Y[rows], **known, sample_weight=WEIGHTS[rows])
    for settings in ({}, {"weights": "w"}):
        with weighed() as loader:
            model = bs.sklearn.partial_fit(sklearn.clone(estimator), loader, epochs=1, **settings)
        np.testing.assert_allclose(getattr(model, values), getattr(expected, values), rtol=1e-6)
    assert f"'w' is the sample_weight of {type(estimator).__name__} (weights=False leaves it out)" in caplog.text
    with weighed() as loader:
        without = bs.sklearn.partial_fit(sklearn.clone(estimator), loader, epochs=1, weights=False)
    assert not np.allclose(getattr(without, values), getattr(expected, values), rtol=1e-6)


def test_weights_that_an_estimator_does_not_take_are_said_or_refused(caplog):
    with weighed() as loader:
        bs.sklearn.partial_fit(decomposition.IncrementalPCA(2), loader, epochs=1)
        assert (
            "partial_fit of IncrementalPCA takes no sample_weight: the weights of the data, 'w', are not used" in caplog.text
        )
        with pytest.raises(bs.BadSetting, match="partial_fit of Perceptron does not take sample_weight"):

            class Perceptron:
                def partial_fit(self, x, y):
                    raise AssertionError

            bs.sklearn.partial_fit(Perceptron(), loader, weights="w")
        with pytest.raises(bs.BadSetting, match="no field 'v'"):
            bs.sklearn.partial_fit(linear_model.SGDClassifier(), loader, weights="v")
    caplog.clear()
    with make_loader() as loader:
        bs.sklearn.partial_fit(linear_model.SGDClassifier(), loader, epochs=1)
    assert not caplog.text


def test_one_hot_labels_are_no_class_numbers():
    with (
        bs.Loader(bs.open(X, Y).one_hot(), batch_size=64, memory="16 MiB") as loader,
        pytest.raises(bs.BadSetting, match="not class numbers"),
    ):
        bs.sklearn.partial_fit(linear_model.SGDClassifier(), loader)


def test_predict_takes_a_loader_that_drops_nothing():
    with make_loader(shuffle=False, last="drop", batch_size=90) as loader:
        assert len(bs.sklearn.predict(dummy.DummyClassifier().fit(FLAT, Y), loader)) == 900


def test_predict_wants_every_row_once_in_order():
    model = dummy.DummyClassifier().fit(FLAT, Y)
    for settings in ({}, {"shuffle": False, "last": "drop"}, {"order": bs.Order(900, shuffle=False, limit_rows=9)}):
        with make_loader(**settings) as loader, pytest.raises(bs.BadSetting, match="predict"):
            bs.sklearn.predict(model, loader)
    with make_loader(shuffle=False) as loader:
        with pytest.raises(bs.BadSetting, match="no transform"):
            bs.sklearn.predict(model, loader, method="transform")

        class Wrong:
            def predict(self, x):
                return x[:3]

        with pytest.raises(bs.BadResult, match="64 rows"):
            bs.sklearn.predict(Wrong(), loader)


def test_what_a_callback_ends_with_an_epoch_is_not_learned_again():
    with make_loader(batch_size=300) as loader:
        epochs = []
        for _ in range(2):
            seen = []

            class Notes:
                def partial_fit(self, x, labels, seen=seen):  # whatever the parameter is called
                    seen.append((x[:, 0].tolist(), labels.tolist()))

            bs.sklearn.partial_fit(Notes(), loader, epochs=5, callback=lambda done: done.batch == done.batches)
            epochs.append([value for batch, _ in seen for value in batch])
        assert len(epochs[0]) == len(epochs[1]) == 900
        assert epochs[0] != epochs[1]
        assert sorted(epochs[0]) == sorted(epochs[1])


def test_progress_of_an_epoch_that_goes_on_counts_its_batches_to_the_end():
    with make_loader(batch_size=300) as loader:
        next(iter(loader))
        state = loader.state_dict()
    with make_loader(batch_size=300) as loader:
        loader.load_state_dict(state)
        seen = []
        bs.sklearn.partial_fit(linear_model.SGDClassifier(), loader, epochs=1, callback=lambda done: seen.append(done.batch))
        assert seen == [2, 3]


def test_estimators_that_keep_their_rows_get_copies_and_results_that_are_views_are_copied():
    with make_loader() as loader:
        assert len(bs.sklearn.partial_fit(cluster.Birch(threshold=0.5), loader, epochs=1).subcluster_centers_) > 1

    class First:
        def predict(self, x):
            return x[:, 0]

    with make_loader(shuffle=False) as loader:
        assert np.array_equal(bs.sklearn.predict(First(), loader), FLAT[:, 0])
        same = preprocessing.FunctionTransformer()
        assert np.array_equal(bs.sklearn.predict(same, loader, method="transform"), FLAT)


def test_steps_that_give_data_frames_and_estimators_of_several_outputs_learn():
    pytest.importorskip("pandas")
    frames = preprocessing.StandardScaler().set_output(transform="pandas")
    with make_loader() as loader:
        model = bs.sklearn.partial_fit(
            pipeline.make_pipeline(frames, linear_model.SGDClassifier(random_state=0)), loader, epochs=3
        )
        assert (model[-1].predict((FLAT - frames.mean_) / frames.scale_) == Y).mean() > 0.9
    multioutput = pytest.importorskip("sklearn.multioutput")
    both = np.stack([Y, (X[:, 0, 1] > 0).astype(np.int64) + (X[:, 0, 1] > 1)], axis=1)
    with make_loader(both) as loader:
        several = multioutput.MultiOutputClassifier(linear_model.SGDClassifier(random_state=0))
        bs.sklearn.partial_fit(several, loader, classes=[[0, 1], [0, 1, 2]], epochs=2)
        assert several.predict(FLAT[:5]).shape == (5, 2)


@pytest.mark.parametrize(
    ("result", "nothing"),
    [
        (lambda x: np.full(len(x), "dog"), ""),
        (lambda x: np.ones(len(x), np.uint8), -1),
        (lambda x: np.ones(len(x), bool), -1),
        (lambda x: np.ones(len(x), np.int32), -1),
    ],
    ids=["text", "unsigned", "bool", "signed"],
)
def test_no_result_can_be_told_from_every_result(tmp_path, result, nothing):
    for i in range(10):
        np.save(tmp_path / f"{i}.npy", np.zeros(3))
    (tmp_path / "4.npy").write_bytes(b"no array")

    class Model:
        def predict(self, x):
            return result(x)

    settings = {"batch_size": 4, "memory": "16 MiB", "shuffle": False, "on_error": "skip", "max_bad": 0.2}
    with bs.Loader(bs.open(tmp_path), **settings) as loader:
        made = bs.sklearn.predict(Model(), loader)
    assert made[4] == nothing
    assert (np.delete(made, 4) == result(np.zeros(9))).all()


def test_where_results_cannot_be_written_is_told_before_the_work(tmp_path):
    class Never:
        def predict(self, x):
            raise AssertionError("asked")

    (tmp_path / "folder.npy").mkdir()
    with make_loader(shuffle=False) as loader:
        for out, error, says in (
            (tmp_path / "x.csv", bs.BadSetting, "must end so"),
            (tmp_path / "none" / "x.npy", bs.NotFound, "does not exist"),
            (tmp_path / "folder.npy", bs.BadSetting, "is a folder"),
        ):
            with pytest.raises(error, match=says):
                bs.sklearn.predict(Never(), loader, out=out)


def test_a_disk_that_is_full_is_told_and_nothing_is_kept(tmp_path):
    resource = pytest.importorskip("resource")

    class Wide:
        def predict(self, x):
            return np.zeros((len(x), 500))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with make_loader(shuffle=False) as loader:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(bs.DiskFull, match="nothing was written"):
                bs.sklearn.predict(Wide(), loader, out=tmp_path / "wide.npy")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_loader_or_no_estimator_is_told():
    source = bs.open(X, Y)
    for use in (bs.sklearn.predict, bs.sklearn.partial_fit):
        with pytest.raises(bs.BadSetting, match="takes a Loader"):
            use(linear_model.SGDClassifier(), source)
    with make_loader() as loader, pytest.raises(bs.BadSetting, match=r"pass an estimator, SGDClassifier\(\), not its class"):
        bs.sklearn.partial_fit(linear_model.SGDClassifier, loader)


def test_a_rank_that_would_get_padding_alone_is_told_at_once():
    settings = {"batch_size": 4, "memory": "16 MiB", "shuffle": False}
    for rank in (0, 1):
        loader = bs.Loader(bs.open(np.zeros((9, 1))), shard=bs.Shard(rank, 2), **settings)
        with loader, pytest.raises(bs.BadSetting, match="too few for 2 ranks"):
            bs.sklearn.partial_fit(cluster.MiniBatchKMeans(2), loader)
    with pytest.raises(bs.BadSetting, match="divided among 5 ranks"):
        bs.Loader(bs.open(np.zeros((9, 1))), shard=bs.Shard(0, 5), **settings)
