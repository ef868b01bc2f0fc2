"""Families: what a model can be made of, one file a member, and the knobs that describe it.

A member's file holds its knobs, its builder and what it goes with. Unions of specs, choices of forms, names of
`t4r_lab.nn`, scripts and search spaces are made from these files. They are light: a builder imports torch, and the
layers and kernels of `t4r_lab.nn`, when it is called.
"""
