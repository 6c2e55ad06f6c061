"""How a query is best put."""
