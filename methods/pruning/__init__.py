"""Methods that remove parts of a fine-tuned encoder."""
