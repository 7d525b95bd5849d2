"""Statistics of weights as invariant features, and gradient boosting on them: the baseline of every task.

```python
features = weight_statistics(tensors)  # networks of one architecture; else summary_statistics(networks)
predicted = StatisticsRegressor().fit(features, accuracies).predict(weight_statistics(others))
```
"""

from weightspace.nn.statistics.boosting import StatisticsClassifier, StatisticsRegressor
from weightspace.nn.statistics.features import Features
from weightspace.nn.statistics.summary import summary_statistics
from weightspace.nn.statistics.weights import weight_statistics

__all__ = [
    "Features",
    "StatisticsClassifier",
    "StatisticsRegressor",
    "summary_statistics",
    "weight_statistics",
]
