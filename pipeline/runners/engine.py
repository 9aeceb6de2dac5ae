"""Which runner a job goes to, unless one is named."""

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions


def runner_of(options: PipelineOptions) -> str:
    """The runner of a bounded job. See docs/decisions/0002: DirectRunner would choose its engine by what it finds on the machine."""
    runner = options.view_as(StandardOptions).runner
    return "FnApiRunner" if runner in (None, "DirectRunner") else str(runner)


def on_prism(options: PipelineOptions) -> bool:
    """Whether a live job runs on Prism: unless another runner is named."""
    return options.view_as(StandardOptions).runner in (None, "DirectRunner", "PrismRunner")


def workers_are_here(options: PipelineOptions) -> bool:
    """Whether a bounded job's workers share this machine's folders."""
    return options.view_as(PortableOptions).environment_type in (None, "LOOPBACK")
