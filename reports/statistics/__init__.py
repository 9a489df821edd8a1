"""Tests of a method against the baseline, over seeds and examples at once.

A claim about a method must hold for new seeds and for new examples. Five seeds are too few for a
percentile bootstrap over both (it rejects a true null up to 16 % of the time), so the seed part is
calibrated by Student's t and only the example part is bootstrapped:

- `replicates`: metrics under resampled examples, shared by all trials of a task;
- `paired`: seed-paired differences and their two variances;
- `unpaired`: the same for two groups of trials with different seeds;
- `combined`: the distribution of `sqrt(A) t + sqrt(B) z`, its p-values and intervals;
- `power`: what could have been detected;
- `families`: corrections for many comparisons;
- `verdicts`: from p-values to words;
- `ranks`: intervals of ranks.
"""
