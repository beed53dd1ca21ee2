"""Train in a notebook's kernel that is interrupted, and run the cell again. See test_keyboard.py.

`interrupted_notebook.py FOLDER` prints the reply to the first run, the checkpoints then, and the status and output of the second run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

START = """
import os
os.environ["KERAS_BACKEND"] = "jax"
import keras, numpy as np, time, bitesize as bs
x = np.random.default_rng(0).random((400, 5), np.float32)

class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.02)
        if batch == 30:
            print("going", flush=True)
"""
CELL = """
model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
with bs.Loader(bs.open(x, x.sum(1)), batch_size=4, memory="16 MiB") as loader:
    checkpoint = bs.keras.Checkpoint("checkpoints")
    history = bs.keras.fit(model, loader, epochs=2, checkpoint=checkpoint, callbacks=[Slow()], verbose=0)
print(history.epoch)
"""

folder = Path(sys.argv[1])
kernel, client = start_new_kernel(kernel_name="python3", cwd=str(folder))
outputs: list[str] = []


def hear(message: dict[str, Any]) -> None:
    """Keep what a cell prints."""
    outputs.append(message["content"].get("text", ""))


def interrupt(message: dict[str, Any]) -> None:
    """Interrupt the kernel when its first epoch has 31 batches."""
    hear(message)
    if outputs[-1] == "going\n":
        kernel.interrupt_kernel()


def saved() -> list[str]:
    """List the checkpoints by name."""
    return sorted(path.name for path in folder.glob("checkpoints/*.npz"))


try:
    client.execute_interactive(START, timeout=120)
    stopped = client.execute_interactive(CELL, timeout=120, output_hook=interrupt)["content"]
    then = saved()
    outputs.clear()
    done = client.execute_interactive(CELL, timeout=120, output_hook=hear)
finally:
    client.stop_channels()
    kernel.shutdown_kernel(now=True)
reply = {name: stopped.get(name) for name in ("ename", "evalue")}
print(json.dumps([reply, then, done["content"]["status"], "".join(outputs)]))
