"""Pure: what felixctl concludes from what it collected."""
