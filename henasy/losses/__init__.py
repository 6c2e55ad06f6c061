"""Training losses of HENASY: pure functions of tensors, one file per equation of the paper."""
