"""HTML: pages, tables, charts, and what notebooks show."""
