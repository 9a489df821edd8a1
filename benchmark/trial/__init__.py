"""One node on a worker: from its assignment to the record or the note of its failure."""
