"""Report: write HTML pages, methods text and tables of participants and of the group."""
