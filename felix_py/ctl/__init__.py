"""felixctl: one module per verb."""
