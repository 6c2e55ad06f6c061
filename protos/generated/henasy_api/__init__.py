"""Generated stubs of the wire contract henasy.v1."""
