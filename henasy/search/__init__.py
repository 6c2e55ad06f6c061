"""Search of one index by text: what is asked, how it is answered, why."""
