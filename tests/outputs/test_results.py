"""`bs.sklearn.predict`: classes, probabilities, scores or transformed rows of any estimator, in order, in memory or on disk."""

import numpy as np
import pytest

import bitesize as bs

pytest.importorskip("sklearn")

from sklearn import cluster, decomposition, linear_model, pipeline, preprocessing

random = np.random.default_rng(0)
X = random.normal(size=(900, 2, 3)).astype(np.float32)
Y = (X[:, 0, 0] + X[:, 1, 2] > 0).astype(np.int64)
FLAT = X.reshape(900, 6)


def make_loader(**settings):
    return bs.Loader(bs.open(X, Y), **({"batch_size": 64, "memory": "16 MiB", "shuffle": False} | settings))


@pytest.mark.parametrize(
    "estimator",
    [
        decomposition.IncrementalPCA(3),
        preprocessing.StandardScaler(),
        pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.IncrementalPCA(2)),
        preprocessing.StandardScaler().set_output(transform="default"),
    ],
    ids=["IncrementalPCA", "StandardScaler", "pipeline", "set_output"],
)
def test_what_only_transforms_transforms_by_default(estimator, caplog):
    caplog.set_level("INFO", "bitesize")
    with make_loader(shuffle=True) as loader:
        bs.sklearn.partial_fit(estimator, loader, epochs=1)
    with make_loader() as loader:
        results = bs.sklearn.predict(estimator, loader)
    np.testing.assert_allclose(results, estimator.transform(FLAT), rtol=1e-5, atol=1e-5)
    assert f"by {type(estimator).__name__}.transform" in caplog.text


def test_a_method_is_chosen_or_said(caplog):
    caplog.set_level("INFO", "bitesize")
    model = linear_model.SGDClassifier(loss="log_loss", random_state=0).fit(FLAT, Y)
    groups = cluster.MiniBatchKMeans(3, random_state=0, n_init=1).fit(FLAT)
    with make_loader() as loader:
        assert np.array_equal(bs.sklearn.predict(model, loader), model.predict(FLAT))
        assert "by SGDClassifier.predict (method= chooses another: predict_proba, decision_function)" in caplog.text
        for method in ("predict_proba", "decision_function"):
            np.testing.assert_allclose(
                bs.sklearn.predict(model, loader, method=method), getattr(model, method)(FLAT), rtol=1e-4, atol=1e-5
            )
        np.testing.assert_allclose(bs.sklearn.predict(groups, loader, method="transform"), groups.transform(FLAT), rtol=1e-5)
        assert bs.sklearn.predict(groups, loader).shape == (900,)
        with pytest.raises(bs.BadSetting, match="no transform: it has predict, predict_proba, decision_function"):
            bs.sklearn.predict(model, loader, method="transform")
        with pytest.raises(bs.BadSetting, match="object cannot predict: it has none of predict"):
            bs.sklearn.predict(object(), loader)


def test_data_frames_and_sparse_results_come_as_arrays():
    sparse = preprocessing.OneHotEncoder(handle_unknown="ignore").fit(np.sign(FLAT))

    class Signs:
        def transform(self, x):
            return sparse.transform(np.sign(x))

    with make_loader() as loader:
        assert np.array_equal(bs.sklearn.predict(Signs(), loader), sparse.transform(np.sign(FLAT)).toarray())
        pytest.importorskip("pandas")
        frames = preprocessing.StandardScaler().fit(FLAT).set_output(transform="pandas")
        np.testing.assert_allclose(
            bs.sklearn.predict(frames, loader), frames.transform(FLAT).to_numpy(), rtol=1e-5, atol=1e-6
        )


class Wide:
    """Makes of each row 5,000 numbers."""

    def transform(self, x):
        return np.repeat(x[:, :1], 5000, axis=1)


def test_results_are_charged_to_the_budget_and_larger_ones_go_to_a_file_or_an_array(tmp_path):
    with make_loader() as loader:
        before = loader.budget.in_use
        with pytest.raises(
            bs.DoesNotFit, match=r"results of shape \(900, 5000\) float32 needs 17.* Or write them to a file: out="
        ):
            bs.sklearn.predict(Wide(), loader)
        assert bs.sklearn.predict(Wide(), loader, out=tmp_path / "wide.npy") is None
        mapped = np.lib.format.open_memmap(tmp_path / "mapped.npy", "w+", np.float64, (900, 5000))
        assert bs.sklearn.predict(Wide(), loader, out=mapped) is mapped
        assert loader.budget.in_use == before
    expected = np.repeat(FLAT[:, :1], 5000, axis=1)
    assert np.array_equal(np.load(tmp_path / "wide.npy"), expected)
    assert np.array_equal(mapped, expected)
    del mapped
    with make_loader(memory="64 MiB") as loader:
        assert np.array_equal(bs.sklearn.predict(Wide(), loader), expected)
        assert loader.budget.peak > expected.nbytes


def test_an_array_that_results_do_not_fit_is_refused():
    class Never:
        def predict(self, x):
            raise AssertionError("asked")

    fixed = np.empty((900, 6))
    fixed.flags.writeable = False
    with make_loader() as loader:
        for out in (np.empty((899, 6)), fixed, np.empty(())):
            with pytest.raises(bs.BadSetting, match=r"shape \(900, \.\.\.\)"):
                bs.sklearn.predict(Never(), loader, out=out)
        scaler = preprocessing.StandardScaler().fit(FLAT)
        for out in (np.empty((900, 5)), np.empty((900, 6), np.int64)):
            with pytest.raises(bs.BadSetting, match=r"results are float\d\d of shape \(900, 6\)"):
                bs.sklearn.predict(scaler, loader, out=out)


def test_results_that_are_views_of_batches_keep_none():
    same = preprocessing.FunctionTransformer()
    with make_loader(batch_size=8, threads=1) as loader:
        assert np.array_equal(bs.sklearn.predict(same, loader), FLAT)
