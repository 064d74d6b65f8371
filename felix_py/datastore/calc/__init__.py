"""Pure functions of datastore values that several daemons need."""
