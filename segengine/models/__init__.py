"""Models of customers: numpy, pyarrow and scikit-learn on feature tables; mlflow in `tracking` alone."""
