"""What rendered archives show: whole kitchens, 24 kinds of object, 23 verbs, two busy hands."""
