"""What the joint design of width and clocks is compared with: the baselines of arXiv 2602.13052.

`fixed` runs at the highest clocks and chooses only the width, `sampled` draws feasible widths at random, and
`ppo` learns a policy (extra `torch`, imported when it is trained). All answer the same problem P1 as
`co_inference.solve`, in the same terms, and none returns a point that breaks a limit.
"""
