from lakemark.fluent import ActiveRun as ActiveRun
from lakemark.fluent import active_run as active_run
from lakemark.fluent import end_run as end_run
from lakemark.fluent import log_artifact as log_artifact
from lakemark.fluent import log_artifacts as log_artifacts
from lakemark.fluent import log_metric as log_metric
from lakemark.fluent import log_metrics as log_metrics
from lakemark.fluent import log_model as log_model
from lakemark.fluent import log_param as log_param
from lakemark.fluent import log_params as log_params
from lakemark.fluent import set_experiment as set_experiment
from lakemark.fluent import set_tag as set_tag
from lakemark.fluent import set_tags as set_tags
from lakemark.fluent import start_run as start_run
from lakemark.fluent.lake import catalog as catalog
from lakemark.fluent.lake import table as table
from lakemark.fluent.queries import sql as sql
from lakemark.fluent.splits import split as split
from lakemark.fluent.streams import stream as stream

__version__: str
