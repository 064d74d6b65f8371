"""How a process of ours runs: settings, logs, threads, mailboxes, clocks, health, metrics.

Imports the standard library, structlog, yaml, msgspec and prometheus_client, nothing of ours.
Start reading at supervisor.py.
"""
