"""Records in, leaderboard out. Knows only records; works where torch is not installed."""
