"""Training: models, fitting, and run folders. Keras is loaded only here and in outputs."""
