"""Which layer runs on which device: the problem, its cost, and ways to solve it.

`problem` says what a placement costs; `greedy` is the paper's algorithm, as printed and corrected; `exact`
gives the optimum (dynamic programming over contiguous pipelines, mixed-integer programming over all);
`pareto` searches the trade-offs. Pure functions of numbers, as all of planning.
"""
