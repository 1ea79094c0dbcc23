"""DeepPneumonia: a chest CT study in, a diagnosis that a radiologist can check out."""
