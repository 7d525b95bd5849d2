"""Learned probes: networks are told apart by what they answer (ProbeGen, Kahana et al. 2024).

```python
probes = ProbeGenerator(32, (1, 28, 28))
model = ProbeModel(program, spec, probes, outputs=1)
predicted = model(stacked(networks, Blocks(spec).names))
```
"""

from weightspace.nn.probes.inputs import FreeProbes, ProbeGenerator
from weightspace.nn.probes.model import ProbeModel

__all__ = ["FreeProbes", "ProbeGenerator", "ProbeModel"]
