"""Networks as sequences of tokens, and self-supervised embeddings of them (SANE, Schuerholt et al. 2024).

```python
layout, model = TokenLayout.of(spec, size=64), TokenAutoencoder(64)
views = [layout.tokens(random_view(spec, tensors, generator)) for _ in range(2)]
token_loss(model, *views).total.backward()
embedding = model.embed(layout.tokens(tensors))
```
"""

from weightspace.nn.tokens.autoencoder import TokenAutoencoder
from weightspace.nn.tokens.batch import TokenBatch, collated
from weightspace.nn.tokens.layout import TokenLayout
from weightspace.nn.tokens.loss import TokenLoss, nt_xent, reconstruction_error, token_loss
from weightspace.nn.tokens.views import random_view

__all__ = [
    "TokenAutoencoder",
    "TokenBatch",
    "TokenLayout",
    "TokenLoss",
    "collated",
    "nt_xent",
    "random_view",
    "reconstruction_error",
    "token_loss",
]
