"""Layouts of corpora on disk, one file each; and finding out which layout a folder has."""
