"""Numbers to cells; knows no widget."""
