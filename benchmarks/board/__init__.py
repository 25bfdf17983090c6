"""What readers see: records collected from a results folder, joined into tables, written as Markdown pages.

`collect` reads and sorts out, `pool` joins scores by seed and image, `tables` makes tables, `build` makes the pages.
"""
