"""What each op computes, on blocks of rows, in NumPy. These define the semantics.

Every function writes into arrays it is given and allocates nothing that grows with
its input. Arrays are blocks of rows (m, W) unless a docstring says otherwise.
"""
