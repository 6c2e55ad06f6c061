"""Offline: encodes folders of video with Ray and writes the index. `henasy-index`."""
