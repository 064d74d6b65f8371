"""Pure decisions of the agent: from a Snapshot to wishes."""
