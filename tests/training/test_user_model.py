"""Models from a file of the user's: what a function may take and return, and what is said where it does not."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import bitesize as bs
from bitesize.cli.app import app
from bitesize.training.backend import choose_backend

try:
    choose_backend()
except bs.MissingPackage as error:
    pytest.skip(str(error), allow_module_level=True)

from bitesize.errors import BadSetting, NotFound, WrongModel
from bitesize.training.model_output import choose_output
from bitesize.training.models import build_model

LAYERS = "keras.Sequential([keras.layers.Flatten(), keras.layers.Dense({})])"


@pytest.fixture
def file(tmp_path):
    def write(text, name="net.py"):
        (tmp_path / name).write_text("import keras\n" + text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(
    "text",
    [
        f"def make(): return {LAYERS.format(2)}",
        f"def make(shape, classes): return {LAYERS.format('classes')}",
        f"def make(input_shape, num_classes=7): return {LAYERS.format('num_classes')}",
        f"def make(classes): return {LAYERS.format('classes')}",
        f"def make(units=2): return {LAYERS.format('units')}",
        f"make = {LAYERS.format(2)}",
        f"from os.path import join\ndef _other(): pass\nmake = {LAYERS.format(2)}",
        f"def other(): pass\ndef make(): return {LAYERS.format(2)}",
    ],
)
def test_functions_and_ready_models_are_taken(text, file):
    path = file(text)
    for name in (path, f"{path}:make"):
        assert build_model(name, (4, 4, 3), 2).output_shape == (None, 2)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("def make(): pass", WrongModel, "returned None: is a return statement missing"),
        ("def make(): return 3", WrongModel, "returned int, which is not a Keras model"),
        ("def make(width, depth, heads): return 3", BadSetting, r"make\(width, depth, heads\) takes other arguments"),
        ("def make(): return 1 / 0", WrongModel, "line 2: ZeroDivisionError: division by zero"),
        ("def make(:", WrongModel, "cannot be imported: line 2: SyntaxError"),
        ("import nowhere_at_all", WrongModel, "cannot be imported: line 2: ModuleNotFoundError"),
        ("def one(): pass\ndef two(): pass", BadSetting, r"several functions \(one, two\): name one"),
        ("x = 1", BadSetting, "has no function"),
        (
            f"def make(): return {LAYERS.format(3)}",
            WrongModel,
            r"2 classes need \(None, 2\): end it in keras.layers.Dense\(2\)",
        ),
    ],
)
def test_what_is_no_model_is_said(text, error, says, file):
    with pytest.raises(error, match=says):
        build_model(file(text), (4, 4, 3), 2)


@pytest.mark.parametrize("loss", ["'categorical_crossentropy'", "keras.losses.MeanSquaredError()", "'binary_crossentropy'"])
def test_a_model_that_comes_compiled_needs_a_loss_for_class_numbers(loss, file):
    with pytest.raises(WrongModel, match="labels are class numbers: compile it with sparse_categorical_crossentropy"):
        build_model(file(f"m = {LAYERS.format(2)}\nm.compile('sgd', {loss})"), (4, 4, 3), 2)


@pytest.mark.parametrize(
    "loss",
    [
        "keras.losses.SparseCategoricalCrossentropy(from_logits=True)",
        "lambda y, out: keras.ops.mean(out)",
    ],
)
def test_a_model_that_comes_compiled_stays_so(loss, file):
    assert build_model(file(f"m = {LAYERS.format(2)}\nm.compile('sgd', {loss})"), (4, 4, 3), 2).compiled


def test_a_module_of_torch_is_refused_in_the_same_words_everywhere(file):
    torch = pytest.importorskip("torch")
    with (
        bs.Loader(bs.open([[1.0]], [0]), batch_size=1, memory="16 MiB", threads=1) as loader,
        pytest.raises(WrongModel, match="the model is a PyTorch module, but bitesize trains Keras models"),
    ):
        bs.keras.fit(torch.nn.Linear(1, 2), loader, epochs=1)
    path = file("import torch\ndef make(): return torch.nn.Linear(3, 2)")
    with pytest.raises(WrongModel, match="returned a PyTorch module, but bitesize trains Keras models"):
        build_model(path, (3,), 2)


def test_names_that_are_not_there_are_guessed(file):
    for name, meant in (("resnet", "ResNet50"), ("vgg", "VGG16"), ("mobilenetv2", "MobileNetV2"), ("mpl", "mlp")):
        with pytest.raises(BadSetting, match=f"unknown model '{name}'; did you mean {meant}\\?") as raised:
            build_model(name, (32, 32, 3), 2)
        assert len(str(raised.value)) < 250
    with pytest.raises(NotFound, match="does not exist"):
        build_model("nowhere.py:make", (4,), 2)
    with pytest.raises(BadSetting, match=r"no function 'nothing'; its functions and models: make"):
        build_model(file("def make(): pass") + ":nothing", (4,), 2)


SOFTMAX = "keras.layers.Dense(2, activation='softmax')"
# A model's last layers, and what its outputs are.
ENDINGS = {
    "keras.layers.Dense(2)": "logits",
    f"{SOFTMAX}": "probabilities",
    "keras.layers.Dense(2, activation=keras.ops.softmax)": "probabilities",
    "keras.layers.Dense(2, activation='log_softmax')": "logits",
    f"keras.Sequential([{SOFTMAX}])": "probabilities",
    f"keras.Sequential([keras.Sequential([{SOFTMAX}]), keras.layers.Dropout(0.1)])": "probabilities",
    f"keras.Sequential([{SOFTMAX}]), keras.layers.Dense(2)": "logits",
    f"{SOFTMAX}, keras.layers.Activation('linear'), keras.layers.Reshape((2,))": "probabilities",
    "keras.layers.Dense(2), keras.layers.Softmax(), keras.layers.Flatten()": "probabilities",
    "keras.layers.Dense(2), keras.layers.Activation('softmax'), keras.layers.Activation('linear')": "probabilities",
    "functional(lambda x: keras.layers.Softmax()(keras.layers.Dense(2)(x)))": "probabilities",
    "functional(lambda x: keras.ops.cast(keras.ops.softmax(keras.layers.Dense(2)(x)), 'float32'))": "probabilities",
    f"functional(lambda x: keras.Sequential([keras.layers.Dropout(0.1)])({SOFTMAX}(x)))": "probabilities",
    f"functional(lambda x: keras.layers.Dense(2)({SOFTMAX}(x)))": "logits",
}
# What only the user's code knows.
HIDDEN = {
    "keras.layers.Dense(2), keras.layers.Lambda(lambda x: keras.ops.softmax(x))": "probabilities",
    "keras.layers.Dense(2), keras.layers.Lambda(lambda x: 3 * x)": "logits",
    "Own()": "probabilities",
    "keras.layers.Dense(2, activation=lambda x: keras.ops.softmax(x))": "probabilities",
    f"functional(lambda x: keras.layers.Average()([{SOFTMAX}(x), {SOFTMAX}(x)]))": "probabilities",
}
HELP = """
def functional(call, shape=(12,)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, call(inputs))

class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, x):
        return keras.ops.softmax(self.dense(x))
"""


def ending(layers, compiled=""):
    return f"{HELP}\nm = keras.Sequential([keras.layers.Flatten(), {layers}])\n{compiled}"


def rows():
    return np.random.default_rng(0).normal(size=(8, 2, 2, 3)).astype(np.float32)


@pytest.mark.parametrize("layers", ENDINGS)
def test_the_last_layer_that_computes_says_what_outputs_are(layers, file):
    name = file(ending(layers)) + ":m"
    assert choose_output(build_model(name, (2, 2, 3), 2), name, rows) == (ENDINGS[layers], [])


@pytest.mark.parametrize("layers", HIDDEN)
def test_where_no_layer_says_it_a_few_rows_do_and_a_line_tells(layers, file):
    name = file(ending(layers)) + ":m"
    output, said = choose_output(build_model(name, (2, 2, 3), 2), name, rows)
    assert output == HIDDEN[layers]
    assert said[0].startswith(f"output: taken as {output}, because the model's outputs for 8 rows")
    assert "end the model in keras.layers.Softmax() for probabilities" in said[0]


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ("keras.layers.Dense(2, activation='sigmoid')", "sigmoid"),
        ("keras.layers.Dense(2, activation='tanh'), keras.layers.Dropout(0.1)", "tanh"),
        ("keras.Sequential([keras.layers.Dense(2), keras.layers.ReLU()])", "relu"),
        ("functional(lambda x: keras.ops.sigmoid(keras.layers.Dense(2)(x)))", "sigmoid"),
    ],
)
def test_outputs_that_are_neither_logits_nor_probabilities_are_refused(layers, named, file):
    wanted = (
        rf"ends in {named}, .*: end it in keras.layers.Dense\(2\), or in keras.layers.Dense\(2, activation=\"softmax\"\)"
    )
    with pytest.raises(WrongModel, match=wanted):
        build_model(file(ending(layers)) + ":m", (2, 2, 3), 2)


@pytest.mark.parametrize(
    ("layers", "loss", "says"),
    [
        ("keras.layers.Dense(2)", "'sparse_categorical_crossentropy'", r"probabilities \(from_logits=False\), but its outputs are logits"),
        ("keras.layers.Dense(2)", "keras.losses.sparse_categorical_crossentropy", r"activation=\"softmax\"\), or leave compile out"),
        ("keras.layers.Dense(2)", "keras.losses.SparseCategoricalCrossentropy()", r"compile it with .*from_logits=True\)"),
        (
            SOFTMAX,
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)",
            r"logits \(from_logits=True\), but its outputs are probabilities: compile it with .*from_logits=False\)",
        ),
    ],
)  # fmt: skip
def test_a_loss_that_contradicts_the_outputs_is_refused(layers, loss, says, file):
    with pytest.raises(WrongModel, match=says):
        build_model(file(ending(layers, f"m.compile('sgd', {loss})")) + ":m", (2, 2, 3), 2)


def test_a_loss_that_contradicts_outputs_that_were_looked_at_is_refused(file):
    name = file(ending("Own()", "m.compile('sgd', keras.losses.SparseCategoricalCrossentropy(from_logits=True))")) + ":m"
    model = build_model(name, (2, 2, 3), 2)
    with pytest.raises(WrongModel, match="its outputs are probabilities"):
        choose_output(model, name, rows)


def test_a_run_notes_what_a_models_outputs_are_and_predicts_with_them(file, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(24, 6)).astype(np.float32))
    np.save(tmp_path / "y.npy", np.arange(24) % 2)
    for layers in (f"keras.Sequential([{SOFTMAX}])", "Own()"):
        out = tmp_path / f"run of {len(layers)}"
        arguments = ["train", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "--model", file(ending(layers)) + ":m"]
        arguments += ["--epochs", 1, "--normalize", "none", "--memory", "16MiB", "--out", out, "--json"]
        done = CliRunner().invoke(app, list(map(str, arguments)))
        assert done.exit_code == 0, done.output
        assert any(line.startswith("output: taken as probabilities") for line in json.loads(done.stdout)["understood"]) == (
            layers == "Own()"
        )
        assert json.loads((out / "config.json").read_text())["output"] == "probabilities"
        if layers != "Own()":
            model = bs.load(out)
            x = np.load(tmp_path / "x.npy")
            np.testing.assert_allclose(model.predict(x).probabilities, model.model.predict(x, verbose=0), atol=1e-5)
