"""Meta-training: how the meta-params of a learned optimizer are found.

The inner problem (an optimizee), the truncation schedule (`truncation`) and the estimator of the meta-gradient
(`meta_gradient`) are three separate things. The estimator rests on one fact: the gradients that enter the network are
detached, so theta_T = theta_1 + sum of the steps, and the derivative of a later loss with respect to any earlier step
is that loss's own gradient. Backpropagation through the window is then backpropagation through the network alone, with
an output gradient that the forward pass has already computed; no graph over the optimizee is ever built.
"""
