"""The controllers on an API server and a store in memory."""
