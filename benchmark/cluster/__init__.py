"""Ray: connecting, shipping code, handing out nodes, and what its workers report."""
