"""Assemblies of the model beside each other."""
