"""Studies: analyses of heads and layers, one file each; their reports are in `reports.studies`."""
