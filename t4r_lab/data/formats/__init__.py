"""The formats of files, a row each (`FORMAT`), and the readers that choose among them. Imports what reads a format."""
