"""The nightly service: a sweep with today's code, compared with the night before."""
