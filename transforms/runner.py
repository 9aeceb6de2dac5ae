"""What steps must know of the runner that their graph is for: Prism (2.77) wants two things done its own way (`docs/decisions/0017`, `0018`)."""

from apache_beam.options.pipeline_options import DebugOptions
from apache_beam.pipeline import Pipeline

# Prism splits a slow bundle between its elements, also where two of them are of one key: both parts then keep state from the same beginning, and what
# the first to end has kept is lost.
NO_SPLITS = "prism_disable_sdf_split"
_CHOOSES_PRISM = "SwitchingDirectRunner"  # behind the name DirectRunner: it runs on Prism what it thinks fits, known only when the graph is complete


def on_prism(pipeline: Pipeline) -> bool:
    """Whether the graph is for Prism, by its runner. Not seen: a Prism started elsewhere, behind PortableRunner."""
    return "PrismRunner" in _kinds(pipeline)


def keep_state_whole(pipeline: Pipeline) -> None:
    """Call it where a step that keeps state is wired: tells Prism, if the graph may run there, to split no bundle. No other runner is told."""
    if on_prism(pipeline) or _CHOOSES_PRISM in _kinds(pipeline):
        pipeline.options.view_as(DebugOptions).add_experiment(NO_SPLITS)


def _kinds(pipeline: Pipeline) -> set[str]:
    """The names of the runner's class and of those that it's made of: to import Prism's would cost each job some time."""
    return {kind.__name__ for kind in type(pipeline.runner).__mro__}
