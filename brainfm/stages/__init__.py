"""The path, one public verb a file: read, call the science, write."""
