# /// script
# requires-python = ">=3.11"
# dependencies = ["hub-tools[eval,scale]==0.1.0"]
#
# [tool.hf-jobs]
# flavor = "a10g-small"
# timeout = "12h"
# secrets = ["HF_TOKEN"]
# ///
"""The whole job on Hugging Face Jobs: `hf jobs uv run job_script.py --teacher ... --lang ... --push-to-hub ...`.

It needs nothing but uv, which reads the header above, and takes the options of hub-distill.
"""

from hub_tools.cli import run

if __name__ == "__main__":
    run()
