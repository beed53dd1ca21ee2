"""The command with a pause before each batch of training, so that a test can signal it midway, however fast the machine.

`python paced_training.py SECONDS COMMAND...`
"""

from __future__ import annotations

import sys
import time
from typing import Any

from bitesize.cli.app import main
from bitesize.training.backend import load_keras

PAUSE = float(sys.argv.pop(1))
CALLBACKS = load_keras().callbacks.CallbackList
begin = CALLBACKS.on_train_batch_begin


def pause(self: Any, batch: int, logs: Any = None) -> None:
    time.sleep(PAUSE)
    begin(self, batch, logs)


CALLBACKS.on_train_batch_begin = pause
main()
