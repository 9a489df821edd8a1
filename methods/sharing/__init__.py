"""Methods that use the same weights in several places."""
