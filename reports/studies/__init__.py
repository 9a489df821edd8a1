"""Reports of studies: from records and predictions to tables, a figure and a conclusion, one file each."""
