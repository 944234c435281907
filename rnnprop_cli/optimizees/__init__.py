"""The functions that are optimised.

An optimizee is a stochastic function of (params, step), bound to its data and to its seeds: everything random in it is
a pure function of a seed and a step. It is batched. With S seeds it accepts C = S K cells, the K cells of one seed
side by side (cell c belongs to seed c // K): they share theta_0 and every minibatch, which is what makes a comparison
paired, and lets all of them read one minibatch in one matrix product.

Transforms (Random Scaling, combination) wrap an optimizee and are optimizees themselves. Given up: an optimizee as a
torch.nn.Module; one flat vector per cell is what a coordinatewise optimizer needs, and is many times faster.
"""
