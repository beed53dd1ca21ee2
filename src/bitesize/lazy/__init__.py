"""Arrays that stay where they are: joined, cut and calculated with, and read only where they are asked for."""
