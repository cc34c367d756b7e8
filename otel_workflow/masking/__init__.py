"""Takes secrets out of free text before it is journalled: by their values, then by their shape.

Values are those of the environment whose names look secret, and what was registered with
``mask()``, each as it is and in the forms tools encode it in. Shapes are well-known tokens, and
what follows a word for a secret. Each becomes ``***``; what names it stays.
"""

from __future__ import annotations

from otel_workflow.masking.environ import learn_environment, watch_environment
from otel_workflow.masking.logs import mask_logs
from otel_workflow.masking.names import names_secret
from otel_workflow.masking.resources import masked_resource
from otel_workflow.masking.texts import MASK, excerpt, hidden, in_force, mask, masked, masked_value

__all__ = (
    "MASK",
    "excerpt",
    "hidden",
    "in_force",
    "learn_environment",
    "mask",
    "mask_logs",
    "masked",
    "masked_resource",
    "masked_value",
    "names_secret",
    "watch_environment",
)
