"""The second repertoire of the rendered archive: whole kitchens, 24 kinds of object, 23 verbs, two busy hands."""
