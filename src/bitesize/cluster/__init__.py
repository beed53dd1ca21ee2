"""Several processes and machines: training, scoring and packing on Ray."""
