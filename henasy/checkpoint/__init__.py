"""Checkpoints: folders in the Hugging Face layout, the import of LaViLa's, and the encoder that all else uses."""
