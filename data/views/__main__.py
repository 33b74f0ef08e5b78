"""Draws what the networks see of a dataset: `python -m data.views`."""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

from absl import flags

from data.common import cli
from data.common.errors import InputError
from data.views import sheet

cli.define_config("configs/msn_base.py", "configuration whose views are drawn")
sheet.define_flags()
flags.adopt_module_key_flags(sheet)  # for --help
cli.run(sheet.main, wrong_input=(InputError,))
