"""What happens in a training, as events: in the log of the run, and where teams look (TensorBoard, MLflow, Weights & Biases, Prometheus)."""
