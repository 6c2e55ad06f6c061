"""The HENASY model: one idea of the paper per file, put together by `build`."""
