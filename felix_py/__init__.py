"""What the daemons share: how a process runs, the datastore, the kernel; and the agent, the CLI, the lab."""
