"""Between the wire contract and the types of the search. Only these files build or read protobuf messages."""
