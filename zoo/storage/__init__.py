"""File storage: atomic writes, JSON files, checksums and file names."""
