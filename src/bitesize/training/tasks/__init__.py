"""What a model learns: one class per row, several tags, or numbers. Each task is a small frozen class with one interface."""
