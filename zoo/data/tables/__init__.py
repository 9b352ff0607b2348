"""Tables: cells, columns, rows and labels, and what encodes them."""
