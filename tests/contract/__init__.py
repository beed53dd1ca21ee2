"""The memory contract, measured: `python -m tests.contract`, or `make contract`."""
