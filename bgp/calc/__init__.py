"""Pure decisions of the BGP agent."""
