"""Keepers of one kind of kernel object each: they ask the decisions and hand wishes to a driver."""
