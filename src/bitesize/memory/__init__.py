"""Memory: sizes in bytes, limits of this process, budgets and charges, and the plan."""
