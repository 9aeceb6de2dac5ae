"""Steps of several outputs, and elements with a time of their own, as Beam can check them while they run."""

from typing import Any

import apache_beam as beam


def named_outputs(elements: Any, label: str, fn: beam.DoFn, **types: Any) -> Any:
    """Applies a DoFn under a label; its outputs by name, the first of `types` being the main one.

    Beam's `--runtime_type_check` (2.77) holds whatever a DoFn yields against the type of its main output, other outputs too, and so would refuse
    those of another type. So the step has no type of its own: the collections behind it have.
    """
    main, *others = types
    step = beam.ParDo(fn).with_output_types(Any, **{name: types[name] for name in others})
    found = elements | label >> step.with_outputs(*others, main=main)
    found[main].element_type = types[main]
    return found
