"""One record as one page: what was run, what it gave, image by image, and how to do it again."""
