"""The former name of `methods.pruning.masked_predictions`."""

from methods.pruning.masked_predictions import predict_without

__all__ = ["predict_without"]
