"""The rendered archive: a procedural first-person kitchen, its videos and their truth."""
