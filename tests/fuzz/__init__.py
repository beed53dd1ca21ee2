"""Coverage-guided fuzzing of everything that parses bytes from files: `python -m tests.fuzz --seconds 120` (needs atheris)."""
