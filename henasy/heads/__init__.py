"""Small networks trained on an encoder's features for one task each; the encoder itself stays as it is."""
