"""Training on EgoClip as it lies on disk: annotations, videos, boxes, phrases, and the batches made of them."""
