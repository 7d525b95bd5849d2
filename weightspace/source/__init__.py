"""Where a network comes from, and the network as a function of its weights.

`resolve_source` reads what a user typed; the `Source` that it returns builds the module (on `meta` where only the
architecture matters) and example inputs for it; a `Program` runs the module on any state dict.

```python
source = resolve_source("timm:resnet18")
program = Program.from_source(source)
logits = program.outputs(program.state())[0]
```
"""

from weightspace.source.base import Inputs, Labelled, Source
from weightspace.source.program import Program
from weightspace.source.resolve import resolve_source
from weightspace.source.stack import ACTIVATIONS, StackSource
from weightspace.source.timm_models import TimmSource
from weightspace.source.transformers_models import TransformersSource
from weightspace.source.untie import Untied, untie
from weightspace.source.user_code import UserCodeSource

__all__ = [
    "ACTIVATIONS",
    "Inputs",
    "Labelled",
    "Program",
    "Source",
    "StackSource",
    "TimmSource",
    "TransformersSource",
    "Untied",
    "UserCodeSource",
    "resolve_source",
    "untie",
]
