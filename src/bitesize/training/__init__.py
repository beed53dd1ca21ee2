"""Training: models, fitting, and the folder that a run leaves behind. Keras is loaded only here and in outputs."""
