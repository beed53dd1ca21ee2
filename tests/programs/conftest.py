"""Programs are started by tests, not collected: importing one chooses a backend of Keras for the process."""

collect_ignore_glob = ["*.py"]
