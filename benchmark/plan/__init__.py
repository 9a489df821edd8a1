"""What is to be run: names resolved, trials and prerequisites laid out, fingerprinted and ordered."""
